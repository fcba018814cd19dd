#!/bin/sh
# Runs what is in /docker-entrypoint.d before nginx: *.sh as a program, *.envsh to set variables.
set -e

case "$1" in
  nginx | nginx-debug)
    for step in /docker-entrypoint.d/*; do
      case "$step" in
        *.envsh) [ ! -x "$step" ] || . "$step" ;;
        *.sh) [ ! -x "$step" ] || "$step" ;;
      esac
    done
    ;;
esac
exec "$@"
