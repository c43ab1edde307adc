#!/usr/bin/env bash
# Rebuilds escrow.so and escrow.sum from src/. Needs Debian's rustc-web, libstd-rust-web-dev-bpf and llvm-22; nothing else in the project does.
# Any message of opt or llc is fatal: they print "not supported" and go on.
set -euo pipefail
cd "$(dirname "$0")"
out="${1:-.}"
tmp="$(mktemp -d)"
trap 'rm -rf "$tmp"' EXIT
quiet() { "$@" 2>"$tmp/err" || { cat "$tmp/err" >&2; exit 1; }; if [ -s "$tmp/err" ]; then cat "$tmp/err" >&2; exit 1; fi; }
quiet /usr/bin/rustc --target bpfel-unknown-none --edition 2021 --crate-type lib -C opt-level=2 -C panic=abort -C codegen-units=1 \
  --remap-path-prefix "$PWD=." --emit=llvm-bc -o "$tmp/p.bc" src/lib.rs
quiet opt-22 --internalize-public-api-list=entrypoint -passes='internalize,globaldce,default<O2>' "$tmp/p.bc" -o "$tmp/o.bc"
quiet llc-22 -march=bpfel -mcpu=v3 -mattr=+allows-misaligned-mem-access -bpf-stack-size=4096 -filetype=obj "$tmp/o.bc" -o "$tmp/p.o"
go run ./link "$tmp/p.o" "$out/escrow.so"
{
  echo "elf $(sha256sum <"$out/escrow.so" | cut -d' ' -f1)"
  for f in src/*.rs; do echo "$f $(sha256sum <"$f" | cut -d' ' -f1)"; done
  echo "rustc $(/usr/bin/rustc --version)"
  echo "llc $(llc-22 --version | sed -n 's/.*LLVM version //p' | head -n1)"
} >"$out/escrow.sum"
