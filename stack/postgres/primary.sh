#!/bin/sh
# Runs once, when the image's entrypoint has made a new cluster: what needs a superuser. The tables
# are the application's own affair.
set -eu
run() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres "$@" >/dev/null; }

run --dbname postgres --file /etc/shortener/prepare.sql
run --dbname linkstorm --command "CREATE EXTENSION pg_stat_statements"
echo "host replication postgres all trust" >>"$PGDATA/pg_hba.conf"
