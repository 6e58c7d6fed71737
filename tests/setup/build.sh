#!/usr/bin/env bash
# What building needs: a C compiler (SQLite, the TLS library and the allocator are C), Rust, and for SAML the XML signature libraries with what makes their
# bindings; `--no-default-features` builds without those. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/say.sh

wanted=()
have cc || wanted+=(gcc libc6-dev)
have make || wanted+=(make)
have openssl || wanted+=(openssl)
[ -e /etc/ssl/certs/ca-certificates.crt ] || wanted+=(ca-certificates)
have pkg-config || wanted+=(pkg-config)
have clang || wanted+=(clang)
compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || wanted+=(libclang-dev)
for library in libxml-2.0:libxml2-dev xmlsec1-openssl:libxmlsec1-dev openssl:libssl-dev; do
	have pkg-config && pkg-config --exists "${library%:*}" || wanted+=("${library#*:}")
done
have xmlsec1-config || [ -e /usr/bin/xmlsec1-config ] || wanted+=(libxmlsec1-dev)
compgen -G '/usr/lib/*/libxmlsec1-openssl.so.1' >/dev/null || wanted+=(libxmlsec1-openssl)
[ ${#wanted[@]} = 0 ] || packages "building" "${wanted[@]}"

rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
PATH=$PATH:$HOME/.cargo/bin

if ! have cargo && LC_ALL=C apt-cache policy rustup 2>/dev/null | grep -q 'Candidate: [0-9]'; then
	packages "building" rustup
	say "installing the Rust toolchain, by rustup"
	rustup default stable
fi
have cargo || stop "Rust $rust or newer is needed, and cargo is not here." \
	"Get it as rustup.rs says (it installs into your home and needs no root), open a new shell, and run this again." \
	"The rustc of Debian 12 and of Ubuntu up to 25.10 is too old for this."

present=$(rustc --version | cut -d' ' -f2)
oldest=$(printf '%s\n%s\n' "$rust" "$present" | sort -V | head -n1)
[ "$oldest" = "$rust" ] || stop "Rust $rust or newer is needed, and this is $present. With rustup: rustup update stable"
