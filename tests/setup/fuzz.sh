#!/usr/bin/env bash
# What fuzzing needs beside the compiler: cargo-fuzz, and a C++ compiler for libFuzzer.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/say.sh
PATH=$PATH:$HOME/.cargo/bin

have c++ || packages "fuzzing" g++
if ! cargo fuzz --version >/dev/null 2>&1; then
	say "installing cargo-fuzz, by cargo"
	cargo install --locked cargo-fuzz
fi
# The same versions of everything as the product is built with.
cp Cargo.lock tests/fuzz/Cargo.lock
