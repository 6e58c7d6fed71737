# Sourced by the other scripts of this folder: saying what is about to be installed, and Debian packages.

say() { printf '== %s\n' "$*"; }

stop() {
	printf '%s\n' "$@" >&2
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: as it is for root, else by sudo
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have sudo; then
		sudo -- "$@"
	else
		stop "This needs root, and there is no sudo here. As root, run:" "  $*"
	fi
}

# packages WHAT_FOR PACKAGE...: installs those, by apt-get, after saying so
packages() {
	local what_for=$1
	shift
	have apt-get || stop "Missing for $what_for, and no apt-get here to install it. What Debian calls: $*"
	say "installing from the distribution, for $what_for: $*"
	as_root apt-get update -qq
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
