#!/usr/bin/env bash
# Side by side on this machine, in one run: nginx and HAProxy without sign-in, Apache with mod_auth_openidc signed in, and the gateway.
#
#   benches/compare.sh                    everything, about five minutes
#   benches/compare.sh --quick            the same, too short to believe: does it run?
#   benches/compare.sh --only load        load | idle | instructions | first-login, more than one with commas
#
# Read the ratios, not the times. How each figure is taken: benches/compare/README.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/setup/build.sh
tests/setup/lab.sh
tests/setup/bench.sh
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin
cargo build --release --locked --bin vestibule
exec python3 benches/compare/compare.py --gateway "${CARGO_TARGET_DIR:-target}/release/vestibule" "$@"
