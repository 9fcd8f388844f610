#!/bin/sh
# Assembles the root file system of the container image: the binary, the libraries that it names, the certificates of
# public authorities, and one user. usage: rootfs.sh BINARY FOLDER
set -eu

binary=$1
root=$2
user=65532

mkdir -p "$root/etc/ssl/certs" "$root/usr/bin" "$root/state"
cp "$binary" "$root/usr/bin/tailscale2otel"
chmod 0755 "$root/usr/bin/tailscale2otel"

# Five files of glibc; each is copied to the path under which the loader looks for it.
ldd "$binary" | sed -n -e 's/^[^/]*=> *\(\/[^ ]*\).*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done

cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'root:x:0:0:root:/:/sbin/nologin\ntailscale2otel:x:%s:%s::/state:/sbin/nologin\n' "$user" "$user" >"$root/etc/passwd"
printf 'root:x:0:\ntailscale2otel:x:%s:\n' "$user" >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
chown "$user:$user" "$root/state"
chmod 0700 "$root/state"
