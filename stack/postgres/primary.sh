#!/bin/sh
# Runs once, when the image's entrypoint has made a new cluster: users, database, schema, replication.
set -eu
run() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres "$@" >/dev/null; }

run --dbname postgres --file /etc/shortener/prepare.sql
run --dbname linkstorm --command "CREATE EXTENSION pg_stat_statements"
run --dbname linkstorm --command "SET ROLE linkstorm" --file /etc/shortener/schema.sql
echo "host replication postgres all trust" >>"$PGDATA/pg_hba.conf"
