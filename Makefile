# Each target says what it installs, installs it, and does its work; what is there already is left alone. Debian 12 and Ubuntu.
#
#   make demo     the gateway, a provider and two apps in one process, to click through
#   make test     everything that is checked: format, lints, tests, the tests against real parts and a real browser
#   make lint     format and lints alone
#   make bench    the measurements: pure functions, then side by side with other proxies
#   make certs    the test certificates anew
#   make manual   the manual's reference pages anew, from the tables they are made of

SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: demo test lint bench certs manual setup-build setup-lint setup-lab setup-bench

demo: setup-build
	cargo run --release --locked -- demo

test: setup-build setup-lab lint
	cargo test --locked

lint: setup-build setup-lint
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

bench: setup-build setup-lab setup-bench
	cargo bench --locked
	benches/compare.sh

certs: setup-build
	certs/make.sh

manual: setup-build
	VESTIBULE_WRITE_MANUAL=1 cargo test --locked --lib manual::

setup-build:
	@tests/setup/build.sh

setup-lint: setup-build
	@tests/setup/lint.sh

setup-lab:
	@tests/setup/lab.sh

setup-bench:
	@tests/setup/bench.sh
