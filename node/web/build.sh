#!/usr/bin/env bash
# Builds the site into node/web/dist, from where it is embedded. An unchanged tree costs the time to hash it; same sources, same bytes.
#   build.sh            needs Node
#   build.sh if-node    without Node it says that the program will have no site, and is content
set -euo pipefail
cd "$(dirname "$0")"
need_node=20.19

if ! command -v npm >/dev/null || [ "$(printf '%s\n%s\n' "$need_node" "$(node --version | tr -d v)" | sort -V | head -n1)" != "$need_node" ]; then
  echo "web: the site is not built: Node >= $need_node is missing (.ci/setup brings it)" >&2
  [ "${1:-}" = if-node ] && exit 0
  exit 2
fi
[ -e package.json ] || { echo "web: there is no app yet" >&2; exit 0; }

lock="$(sha256sum package-lock.json)"
if [ "$(cat node_modules/.lock 2>/dev/null)" != "$lock" ]; then
  # Not `npm ci`: it wants the packages of every other platform in the lock file, which some registries do not list.
  npm install --ignore-scripts --no-save --no-audit --no-fund
  echo "$lock" >node_modules/.lock
fi

inputs() { find src public *.json *.ts *.html build.sh pack.mjs -type f 2>/dev/null | LC_ALL=C sort | xargs sha256sum | sha256sum; }
outputs() { find dist -type f | LC_ALL=C sort | xargs sha256sum | sha256sum; }
want="$(inputs)"
if [ "$(cat .stamp 2>/dev/null)" = "$want$(outputs)" ]; then exit 0; fi
rm -rf .build
npm run --silent build -- --outDir .build --emptyOutDir --logLevel warn
node pack.mjs .build dist
echo "$want$(outputs)" >.stamp
