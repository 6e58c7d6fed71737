#!/usr/bin/env bash
# What the side-by-side measurements need: the peers, the load generators and valgrind, all from the distribution.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/say.sh

PATH=$PATH:/usr/sbin
wanted=()
have nginx || wanted+=(nginx-light)
have haproxy || wanted+=(haproxy)
have apache2 || wanted+=(apache2)
[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || wanted+=(libapache2-mod-auth-openidc)
have wrk || wanted+=(wrk)
have valgrind || wanted+=(valgrind)
if [ ${#wanted[@]} != 0 ]; then
	say "note: the distribution's nginx and apache2 start services of their own on port 80; the measurements do not use those"
	packages "measuring" "${wanted[@]}"
fi
