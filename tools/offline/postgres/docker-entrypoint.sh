#!/usr/bin/env bash
# The contract of the official image's entrypoint: a server on $PGDATA, which is set up first if it is empty.
set -Eeuo pipefail

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
password=${POSTGRES_PASSWORD:-}

sql() { # sql ARGUMENT…: on the server that is being set up, reached by its socket
  PGHOST='' PGHOSTADDR='' psql --set ON_ERROR_STOP=1 --username "$user" --no-password --no-psqlrc "$@"
}

process_init_files() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql) sql --dbname "$database" --file "$file" ;;
      *.sql.gz) gunzip --stdout "$file" | sql --dbname "$database" ;;
      '/docker-entrypoint-initdb.d/*') ;;
      *) echo "$0: ignoring $file" >&2 ;;
    esac
  done
}

set_up() { # set_up ARGUMENT…: the server's own
  local method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "$password" ] && [ "$method" != trust ]; then
    echo "the database is empty and POSTGRES_PASSWORD is not set: set it, or POSTGRES_HOST_AUTH_METHOD=trust" >&2
    exit 1
  fi
  # Unquoted by intent, as they are several: eval keeps the quotes that are within.
  eval "initdb --username=\"\$user\" ${password:+--pwfile=<(printf '%s\n' \"\$password\")} ${POSTGRES_INITDB_ARGS:-}"
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

  export PGPASSWORD=${PGPASSWORD:-$password}
  # Nobody may connect from outside before everything is there.
  PGUSER=$user pg_ctl -D "$PGDATA" -w start -o "$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")"
  if [ "$database" != postgres ]; then
    sql --dbname postgres --set database="$database" <<<'CREATE DATABASE :"database"'
  fi
  export POSTGRES_USER=$user POSTGRES_DB=$database
  process_init_files
  PGUSER=$user pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
}

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
case " $* " in
  *' --help '* | *' -? '* | *' --version '* | *' -V '* | *' --describe-config '*) exec "$@" ;;
esac
if [ "$1" = postgres ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  if [ "$(id -u)" = 0 ]; then
    find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
  fi
  chmod 700 "$PGDATA" 2>/dev/null || true
  [ -s "$PGDATA/PG_VERSION" ] || set_up "${@:2}"
fi
exec "$@"
