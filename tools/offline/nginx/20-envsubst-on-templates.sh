#!/bin/sh
# Renders /etc/nginx/templates/**/NAME.template as NAME, with those variables that are defined.
set -eu

templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}

[ -d "$templates" ] || exit 0
if [ ! -w "$output" ]; then
  echo "$0: $templates exists, but $output is not writable" >&2
  exit 0
fi
defined=$(awk -v filter="${NGINX_ENVSUBST_FILTER:-}" \
  'BEGIN { for (name in ENVIRON) if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/ && name ~ filter) printf "${%s} ", name }')
find "$templates" -follow -type f -name "*$suffix" | while read -r template; do
  rendered=$output/${template#"$templates"/}
  rendered=${rendered%"$suffix"}
  mkdir -p "$(dirname "$rendered")"
  envsubst "$defined" <"$template" >"$rendered"
done
