# Each target says what it installs, installs it, and does its work; what is there already is left alone. Debian 12 and Ubuntu.
#
#   make demo     the gateway, a provider and two apps in one process, to click through
#   make test     everything that is checked: format, lints, tests, the tests against real parts and a real browser
#   make lint     format and lints alone
#   make bench    the measurements: pure functions, reloads, accounts, then side by side with other proxies; benches/README says how to read them
#   make fuzz     the parsers, the expression language and the decision, on anything: FUZZ_SECONDS for each, 60 unless said
#   make certs    the test certificates anew
#   make manual   the manual's reference pages anew, from the tables they are made of

SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: demo test lint bench fuzz certs manual setup-build setup-lint setup-lab setup-bench setup-fuzz

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= policy expression evaluate path

demo: setup-build
	cargo run --release --locked -- demo

test: setup-build setup-lab lint
	cargo test --locked

lint: setup-build setup-lint
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features -- -D warnings

bench: setup-build setup-lab setup-bench
	cargo bench --locked
	benches/compare.sh

# No sanitizer: the crate forbids `unsafe`, so that what is looked for are panics, overflows, time and false answers, and those come twice as fast without. The
# corpus in the tree only grows by hand; what is found on the way goes to target/.
fuzz: setup-build setup-fuzz
	for target in $(FUZZ_TARGETS); do \
		mkdir -p tests/fuzz/target/corpus/$$target && \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none $$target tests/fuzz/target/corpus/$$target tests/fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=10 || exit 1; \
	done

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
	@tests/setup/apps.sh

setup-bench:
	@tests/setup/bench.sh

setup-fuzz: setup-build
	@tests/setup/fuzz.sh
