#!/bin/sh
# A stand-in for systemctl, useradd and id: notes each call, and accepts only those that the real ones would accept.
set -eu
here=$(dirname "$0")
name=$(basename "$0")
echo "$name $*" >>"$here/calls"
case "$name" in
  id) exit 1 ;;
  useradd) exit 0 ;;
esac
folder=/etc/systemd/system
if [ "$1" = --user ]; then
  folder=$HOME/.config/systemd/user
  shift
fi
verb=$1
shift
unit() {
  [ "$1" = tailscale2otel.service ] || { echo "Unit $1 not found." >&2; exit 5; }
  [ -f "$folder/$1" ] || { echo "Failed to $verb: Unit file $1 does not exist." >&2; exit 1; }
}
case "$verb" in
  daemon-reload) [ $# = 0 ] && : >"$here/loaded" ;;
  enable) unit "$1" ;;
  restart)
    unit "$1"
    [ -f "$here/loaded" ] || { echo "Warning: the unit file changed on disk." >&2; exit 1; }
    if [ -f "$here/broken" ]; then
      echo "Job for $1 failed because the control process exited with error code." >&2
      exit 1
    fi
    : >"$here/active"
    ;;
  stop) unit "$1" ;;
  disable)
    [ "$1" = --now ] && shift
    unit "$1"
    rm -f "$here/active"
    ;;
  show)
    if [ "$1" = --property=Version ]; then
      if [ -f "$here/offline" ]; then
        echo "System has not been booted with systemd as init system (PID 1). Can't operate." >&2
        exit 1
      fi
      echo Version=252
    elif [ -f "$here/active" ]; then
      printf 'FragmentPath=/usr/lib/systemd/system/tailscale2otel.service\nUnitFileState=enabled\nActiveState=active\nSubState=running\nMainPID=42\nNRestarts=3\n'
    else
      printf 'FragmentPath=\nUnitFileState=\nActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=0\n'
    fi
    ;;
  *) echo "Unknown command verb $verb." >&2; exit 1 ;;
esac
