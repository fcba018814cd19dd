#!/bin/sh
# Start a standby; the first start copies the primary, over the link of the replication.
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
