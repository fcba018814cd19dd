#!/bin/sh
# Start a server as it is, or as an order in its volume says, which holds for one start:
#   alone           read-only, waiting for no standby and following nobody: to be read
#   follow PRIMARY  as standby of that server, without what it wrote and the primary lacks
#   copy PRIMARY    as standby of that server, with nothing of its own
# Where UPSTREAM is set, the first start copies the primary, over the link of the replication.
set -eu
order=/var/lib/postgresql/order
slot=$(printf %s "$NAME" | tr - _)

copy() { # copy CONNECTION
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  find "$PGDATA" -mindepth 1 -delete
  pg_basebackup --pgdata="$PGDATA" --dbname="$1" --slot="$slot" --wal-method=stream --checkpoint=fast
}

if [ -n "${UPSTREAM:-}" ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  until copy "$UPSTREAM"; do
    echo "the primary cannot be copied yet; trying again in a second" >&2
    sleep 1
  done
  touch "$PGDATA/standby.signal"
fi
if [ -s "$order" ]; then
  read -r how primary <"$order"
  rm "$order"
  case "$how" in
    alone)
      set -- "$@" -cfsync=off -cdefault_transaction_read_only=on \
        -csynchronous_standby_names= -cprimary_conninfo= -crecovery_target_timeline=current
      ;;
    copy)
      copy "host=$primary port=5432 user=postgres"
      touch "$PGDATA/standby.signal"
      ;;
    follow)
      source="host=$primary port=5432 user=postgres dbname=postgres"
      if ! pg_rewind --target-pgdata="$PGDATA" --source-server="$source" --no-sync; then
        echo "pg_rewind failed: $NAME is copied from $primary" >&2
        copy "$source"
      fi
      touch "$PGDATA/standby.signal"
      # It is ready once it has all that the primary has by now, which an idle one sends late.
      psql --quiet --no-psqlrc --dbname "$source" --output /dev/null \
        --command "SELECT pg_logical_emit_message(false, 'linkstorm', '', true)"
      ;;
  esac
fi
exec docker-entrypoint.sh "$@"
