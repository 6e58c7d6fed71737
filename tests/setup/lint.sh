#!/usr/bin/env bash
# What linting needs beside the compiler.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/say.sh
PATH=$PATH:$HOME/.cargo/bin

for part in fmt clippy; do
	cargo "$part" --version >/dev/null 2>&1 && continue
	have rustup || stop "cargo $part is missing: install the package of your distribution that has it (rustfmt, rust-clippy)."
	say "installing cargo $part, by rustup"
	rustup component add "${part/fmt/rustfmt}"
done
