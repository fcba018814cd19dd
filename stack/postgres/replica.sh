#!/bin/sh
# A standby: its first start copies the primary, over the same link that it follows afterwards.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  until pg_basebackup --pgdata="$PGDATA" --dbname="$UPSTREAM" --slot=replica --wal-method=stream \
    --checkpoint=fast; do
    echo "the primary cannot be copied yet; trying again in a second" >&2
    rm -rf "${PGDATA:?}"/*
    sleep 1
  done
  touch "$PGDATA/standby.signal"
fi
exec "$@"
