#!/usr/bin/env bash
# Builds the static helper into runtime/sandbox/bin/sandbox.gz, from where the node embeds it. Equal sources give equal bytes.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=runtime/sandbox/bin
tmp="$(mktemp -d)"
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -buildvcs=false -ldflags="-s -w -buildid=" -o "$tmp/sandbox" ./cmd/sandbox
gzip -9 -n -c "$tmp/sandbox" >"$tmp/sandbox.gz"
mkdir -p "$out"
cmp -s "$tmp/sandbox.gz" "$out/sandbox.gz" || mv "$tmp/sandbox.gz" "$out/sandbox.gz"
