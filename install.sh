#!/bin/sh
# Installs tailscale2otel: one binary, verified before anything moves. Needs a POSIX shell, gzip, a SHA-256 tool, and curl
# or wget unless it installs from a folder. No root needed.
set -eu

# Where the releases are: "<this>/download/v<version>/<file>", and "<this>/latest/download/VERSION".
default_base_url="https://github.com/tailscale2otel/tailscale2otel/releases"

# The public key (P-256, PEM) that releases are signed with. Empty as long as there is none; then signatures are not verified.
release_key=''

usage() {
  cat <<END
Installs tailscale2otel.

usage: install.sh [options]

  --version <version>  the version to install (default: the latest; with --from, the folder's)
  --prefix <dir>       install to <dir>/bin (default: /usr/local if you may write there, else ~/.local)
  --base-url <url>     where the releases are (default: \$TS2OTEL_INSTALL_BASE_URL, else
                       $default_base_url)
  --from <dir>         install from a folder that holds a release, without network
  --key <file>         verify the signature with this public key in PEM instead of the one in this script
  --allow-unsigned     install a release without a signature
  --uninstall          remove the binary
  --help               print this
END
}

say() {
  printf '%s\n' "$*"
}

fail() {
  shield
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

# From here on nothing interrupts: what is left to do is short, and must be done.
shield() {
  trap '' HUP INT TERM
}

misused() {
  printf 'install.sh: %s\nTry: install.sh --help\n' "$*" >&2
  exit 64
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# The target's name, as the release's files carry it: linux-x64, linux-arm64-musl, darwin-arm64.
detect_target() {
  system=$(uname -s)
  machine=$(uname -m)
  case $machine in
    x86_64 | amd64) arch=x64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) fail "there is no binary for the processor '$machine', only for x86_64 and arm64" ;;
  esac
  case $system in
    Linux)
      target="linux-$arch"
      if is_musl; then target="$target-musl"; fi
      ;;
    Darwin)
      # A shell that runs translated reports the other processor.
      if [ "$arch" = x64 ] && [ "$(sysctl -n sysctl.proc_translated 2>/dev/null || true)" = 1 ]; then arch=arm64; fi
      target="darwin-$arch"
      ;;
    MINGW* | MSYS* | CYGWIN*)
      fail "this script does not install on Windows: unpack tailscale2otel-<version>-windows-x64.zip from $base_url" ;;
    *) fail "there is no binary for the system '$system', only for Linux and macOS" ;;
  esac
}

is_musl() {
  if getconf GNU_LIBC_VERSION >/dev/null 2>&1; then return 1; fi
  case $(ldd --version 2>&1 || true) in
    *musl*) return 0 ;;
  esac
  for loader in /lib/ld-musl-*; do
    if [ -e "$loader" ]; then return 0; fi
  done
  return 1
}

detect_checksum_tool() {
  if has sha256sum; then
    checksum_tool="sha256sum"
  elif has shasum; then
    checksum_tool="shasum -a 256"
  elif has openssl; then
    checksum_tool="openssl dgst -sha256 -r"
  else
    fail "no program to compute SHA-256 is installed, so the download could not be verified: install sha256sum, shasum or openssl"
  fi
}

detect_downloader() {
  if has curl; then
    downloader=curl
  elif has wget; then
    downloader=wget
  else
    fail "neither curl nor wget is installed: install one of them, or use --from with a folder that holds a release"
  fi
}

# What a server may send at most, in blocks of 512 bytes: an endless download must not fill the disk.
small_blocks=2000
binary_blocks=1000000

# download <url> <file> <blocks> [bar]: what begins as https never continues as http, where anybody on the way could replace it.
# Leaves the status of the server's answer in http_status, which is 000 or empty if there was none.
download() {
  blocks=$3
  bar=${4:-}
  if [ ! -t 2 ]; then bar=; fi
  http_status=
  case $1 in
    https:*) redirects="=https" ;;
    *) redirects="=http,https" ;;
  esac
  case $downloader in
    curl)
      if [ -n "$bar" ]; then bar=--progress-bar; else bar=-sS; fi
      http_status=$(
        limit_files "$blocks"
        curl -fL "$bar" --proto-redir "$redirects" --retry 2 --connect-timeout 20 -w '%{http_code}' -o "$2" "$1"
      )
      ;;
    wget)
      # No wget can be told which redirects to follow, so what it followed is looked at before the file is used.
      if [ -n "$bar" ]; then
        show_size "$2" &
        watcher=$!
      fi
      answered=yes
      (
        limit_files "$blocks"
        wget -S -O "$2" "$1" 2>"$staging/headers"
      ) || answered=no
      stop_watcher
      while read -r first second _; do
        case $first in HTTP/*) http_status=$second ;; esac
      done <"$staging/headers"
      if [ "$answered" = no ]; then
        cat "$staging/headers" >&2
        return 1
      fi
      case $redirects$(cat "$staging/headers") in
        =https[!,]*[Ll]ocation:\ [Hh][Tt][Tt][Pp]:*)
          rm -f "$2"
          fail "$1 redirects to an address without https; nothing was installed"
          ;;
      esac
      ;;
  esac
}

# limit_files <blocks>: in a subshell, what is larger breaks off with an error that the downloader reports.
limit_files() {
  ulimit -f "$1" 2>/dev/null || true
  if (trap '' XFSZ) 2>/dev/null; then trap '' XFSZ; fi
}

# Shows how much of a file has arrived, until stop_watcher.
show_size() {
  while sleep 1; do
    if [ -f "$1" ]; then printf '\r  %s MB' "$(($(wc -c <"$1") / 1000000))" >&2; fi
  done
}

stop_watcher() {
  # Bash would return the status that the script ends with, and end there.
  if [ -z "$watcher" ]; then return 0; fi
  kill "$watcher" 2>/dev/null || true
  watcher=
  printf '\n' >&2
}

# fail_download <address> <what its absence means>
fail_download() {
  case $http_status in
    404 | 410) fail "$2" ;;
    '' | 000) fail "cannot reach $1; check the network, https_proxy and --base-url" ;;
    2??) fail "the download of $1 broke off, or is larger than a release; try again" ;;
    *) fail "$1 answers with status $http_status; try again later, or check --base-url" ;;
  esac
}

# The name of a version goes into addresses and paths.
check_version() {
  case $1 in
    '' | *[!0-9A-Za-z.+-]* | [!0-9]*) fail "'$1' is not a version; one looks like 1.2.3" ;;
  esac
}

resolve_version() {
  if [ -n "$version" ]; then
    version=${version#v}
  elif [ -n "$from" ]; then
    [ -d "$from" ] || fail "there is no folder $from"
    [ -f "$from/VERSION" ] || fail "$from holds no VERSION, so it is not a release folder; 'bun run release' makes one"
    version=$(cat "$from/VERSION")
  else
    download "$base_url/latest/download/VERSION" "$staging/VERSION" "$small_blocks" ||
      fail_download "$base_url" "cannot find the latest version at $base_url; name one with --version, or the address with --base-url"
    version=$(cat "$staging/VERSION")
  fi
  check_version "$version"
}

# Brings the compressed binary and the checksums into the staging folder.
fetch_release() {
  if [ -n "$from" ]; then
    [ -f "$from/$packed" ] || fail "there is no $packed in $from"
    [ -f "$from/SHA256SUMS" ] || fail "there is no SHA256SUMS in $from, so $packed cannot be verified"
    cp "$from/$packed" "$staging/$packed"
    cp "$from/SHA256SUMS" "$staging/SHA256SUMS"
  else
    say "Downloading $packed"
    download "$base_url/download/v$version/SHA256SUMS" "$staging/SHA256SUMS" "$small_blocks" ||
      fail_download "$base_url" "there is no version $version at $base_url"
    download "$base_url/download/v$version/$packed" "$staging/$packed" "$binary_blocks" bar ||
      fail_download "$base_url" "version $version at $base_url has no $packed"
  fi
}

# The checksums are as good as what they came with; the signature shows who wrote them. A release without one is refused if
# there should be one: whoever can replace the checksums can also take the signature away.
verify_signature() {
  if [ -n "$key" ]; then
    [ -f "$key" ] || fail "there is no file $key"
  elif [ -n "$release_key" ]; then
    key=$staging/release-key.pem
    printf '%s\n' "$release_key" >"$key"
  else
    say "Signature not verified: this script contains no release key, and --key names none"
    return
  fi
  if ! has openssl; then
    say "Signature not verified: openssl is not installed"
    return
  fi
  signature=$staging/SHA256SUMS.sig
  if [ -n "$from" ]; then
    if [ -f "$from/SHA256SUMS.sig" ]; then cp "$from/SHA256SUMS.sig" "$signature"; fi
  else
    download "$base_url/download/v$version/SHA256SUMS.sig" "$signature" "$small_blocks" || {
      rm -f "$signature"
      if [ "$http_status" != 404 ]; then fail_download "$base_url" ""; fi
    }
  fi
  if [ ! -f "$signature" ]; then
    [ "$allow_unsigned" = yes ] ||
      fail "version $version has no signature (SHA256SUMS.sig); nothing was installed. If that is expected: --allow-unsigned"
    say "Signature not verified: version $version has none"
    return
  fi
  openssl dgst -sha256 -verify "$key" -signature "$signature" "$staging/SHA256SUMS" >/dev/null 2>&1 ||
    fail "the signature of SHA256SUMS is not by the release key, so somebody else may have made it; nothing was installed"
  say "Verified the signature"
}

verify_release() {
  expected=
  while read -r sum name; do
    if [ "${name#\*}" = "$packed" ]; then expected=$sum; fi
  done <"$staging/SHA256SUMS"
  [ -n "$expected" ] || fail "SHA256SUMS does not name $packed, so it cannot be verified; nothing was installed"
  # shellcheck disable=SC2086 # The tool and its flags are words of ours.
  actual=$($checksum_tool "$staging/$packed")
  actual=${actual%% *}
  if [ "$actual" != "$expected" ]; then
    fail "$packed is not what was released: its SHA-256 is $actual, SHA256SUMS says $expected; nothing was installed"
  fi
}

unpack_release() {
  gzip -dc "$staging/$packed" >"$staging/tailscale2otel" || fail "cannot unpack $packed; nothing was installed"
  chmod 755 "$staging/tailscale2otel"
  if [ "$target" = darwin-x64 ]; then
    # The signature that the build leaves on Intel binaries is not valid, and macOS ends what has none.
    codesign --force --sign - "$staging/tailscale2otel" >/dev/null 2>&1 ||
      fail "cannot sign the binary for this Mac; 'xcode-select --install' brings codesign; nothing was installed"
  fi
  if ! answer=$("$staging/tailscale2otel" version 2>&1); then
    say "$answer" >&2
    case $target in
      *-musl) fail "the binary does not start here; it needs libstdc++ (Alpine: apk add libstdc++); nothing was installed" ;;
      *) fail "the binary does not start here; nothing was installed" ;;
    esac
  fi
}

choose_prefix() {
  if [ -n "$prefix" ]; then return; fi
  if may_write /usr/local/bin || { [ ! -e /usr/local/bin ] && may_write /usr/local; }; then
    prefix=/usr/local
  else
    [ -n "${HOME:-}" ] || fail "HOME is not set; say where to install with --prefix"
    prefix=$HOME/.local
  fi
}

may_write() {
  [ -d "$1" ] && [ -w "$1" ]
}

# make_folder <dir>: remembers what it makes, so that an interruption can take it back.
make_folder() {
  if [ -d "$1" ]; then return; fi
  make_folder "$(dirname "$1")"
  made_folders="$1
$made_folders"
  mkdir "$1" || fail "cannot make the folder $1; choose another with --prefix"
}

# What lies beside the binary is ours alone: one folder, named after this process.
make_staging() {
  make_folder "$prefix/bin"
  [ -w "$prefix/bin" ] || fail "you may not write to $prefix/bin; choose another place with --prefix, or run this as root"
  sweep_staging
  staging=$prefix/bin/.tailscale2otel-install.$$
  (umask 077 && mkdir "$staging") || fail "cannot make a folder in $prefix/bin"
}

# Takes away what a run that was killed outright has left behind.
sweep_staging() {
  for left in "$prefix/bin/.tailscale2otel-install."*; do
    owner=${left##*.}
    if [ -d "$left" ] && { [ "$owner" = $$ ] || ! kill -0 "$owner" 2>/dev/null; }; then rm -rf "$left"; fi
  done
}

# Folders of ours are empty unless the binary has arrived, and only empty ones go.
clean_up() {
  shield
  stop_watcher
  if [ -n "$staging" ]; then rm -rf "$staging"; fi
  printf '%s' "$made_folders" | while IFS= read -r folder; do
    rmdir "$folder" 2>/dev/null || true
  done
}

install_release() {
  detect_target
  detect_checksum_tool
  has gzip || fail "gzip is not installed, and the release is compressed with it: install it"
  if [ -z "$from" ]; then detect_downloader; fi
  choose_prefix
  make_staging
  resolve_version
  packed="tailscale2otel-$version-$target.gz"
  fetch_release
  verify_signature
  verify_release
  unpack_release
  destination=$prefix/bin/tailscale2otel
  if [ -d "$destination" ]; then fail "$destination is a folder; nothing was installed"; fi
  # One rename on one file system: there is the old binary or the new one, never a part.
  shield
  mv -f "$staging/tailscale2otel" "$destination"
  say "Installed tailscale2otel $version ($target) to $destination"
  say_what_is_next
}

say_what_is_next() {
  found=$(command -v tailscale2otel || true)
  name=$destination
  if [ "$found" = "$destination" ]; then
    name=tailscale2otel
  elif [ -n "$found" ]; then
    say "Your PATH finds another one first: $found"
  else
    say "$prefix/bin is not in your PATH. To add it:"
    say "  export PATH=\"$prefix/bin:\$PATH\""
  fi
  say "See it work, without a tailnet or a backend:"
  say "  $name demo"
  say "Set it up, with three questions:"
  say "  $name init"
}

uninstall() {
  removed=no
  if [ -n "$prefix" ]; then
    remove_from "$prefix"
  else
    remove_from /usr/local
    if [ -n "${HOME:-}" ]; then remove_from "$HOME/.local"; fi
  fi
  [ "$removed" = yes ] || fail "tailscale2otel is not installed in ${prefix:-/usr/local or ~/.local}"
  say_what_is_left
}

# Names what exists where the program looks for it; a path of one's own is known to its owner alone.
say_what_is_left() {
  unit=/etc/systemd/system/tailscale2otel.service
  if [ -f "$unit" ]; then say "The service is still set up. To end it: systemctl disable --now tailscale2otel && rm $unit"; fi
  unit=${XDG_CONFIG_HOME:-${HOME:-}/.config}/systemd/user/tailscale2otel.service
  if [ -f "$unit" ]; then say "The service is still set up. To end it: systemctl --user disable --now tailscale2otel && rm $unit"; fi
  for unit in "${HOME:-}/Library/LaunchAgents/tailscale2otel.plist" /Library/LaunchDaemons/tailscale2otel.plist; do
    if [ -f "$unit" ]; then say "The service is still set up. To end it: launchctl unload $unit; rm $unit"; fi
  done
  left=
  for place in "${XDG_STATE_HOME:-}" "${HOME:-}/.local/state" "${HOME:-}/Library/Application Support" /var/lib; do
    case $place in /*) say_left "state" "$place/tailscale2otel" ;; esac
  done
  say_left "configuration" /etc/tailscale2otel
  say_left "configuration" "$PWD/tailscale2otel.toml"
  if [ -z "$left" ]; then say "There is no state and no configuration in the usual places."; fi
}

say_left() {
  if [ ! -e "$2" ]; then return; fi
  left=yes
  say "Kept the $1: $2"
}

remove_from() {
  if [ ! -f "$1/bin/tailscale2otel" ]; then return; fi
  rm -f "$1/bin/tailscale2otel" || fail "cannot remove $1/bin/tailscale2otel; run this as its owner"
  say "Removed $1/bin/tailscale2otel"
  removed=yes
}

main() {
  version=
  prefix=
  from=
  base_url=${TS2OTEL_INSTALL_BASE_URL:-$default_base_url}
  action=install_release
  staging=
  made_folders=
  watcher=
  key=
  allow_unsigned=no
  while [ $# -gt 0 ]; do
    case $1 in
      --version | --prefix | --base-url | --from | --key)
        if [ -z "${2:-}" ]; then misused "$1 needs a value"; fi
        case $1 in
          --version) version=$2 ;;
          --prefix) prefix=$2 ;;
          --base-url) base_url=$2 ;;
          --from) from=$2 ;;
          --key) key=$2 ;;
        esac
        shift 2
        ;;
      --version=* | --prefix=* | --base-url=* | --from=* | --key=*)
        flag=${1%%=*}
        value=${1#*=}
        shift
        set -- "$flag" "$value" "$@"
        ;;
      --allow-unsigned) allow_unsigned=yes && shift ;;
      --uninstall) action=uninstall && shift ;;
      --help | -h) usage && exit 0 ;;
      v[0-9]*.* | [0-9]*.*) misused "unexpected argument '$1'; did you mean --version $1?" ;;
      -*) misused "unknown option '$1'" ;;
      *) misused "unexpected argument '$1'" ;;
    esac
  done
  base_url=${base_url%/}
  case $prefix in
    '' | /*) ;;
    .) prefix=$PWD ;;
    ./*) prefix=$PWD/${prefix#./} ;;
    *) prefix=$PWD/$prefix ;;
  esac
  trap clean_up EXIT
  trap 'shield; exit 129' HUP
  trap 'shield; exit 130' INT
  trap 'shield; exit 143' TERM
  "$action"
}

# At the very end, so that a download of this script that breaks off runs nothing.
main "$@"
