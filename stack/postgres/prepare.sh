#!/bin/sh
# Run once by the image's entrypoint on a new cluster, for setup that needs a superuser. The
# application creates its tables.
set -eu
run() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres "$@" >/dev/null; }

run --dbname postgres --file /etc/shortener/prepare.sql
run --dbname linkstorm --command "CREATE EXTENSION pg_stat_statements"
echo "host replication postgres all trust" >>"$PGDATA/pg_hba.conf"
