#!/usr/bin/env bash
# Apache Superset, from PyPI in exact versions and in an environment of its own under target/lab, and a database with its roles and an administrator, for each
# test to have a copy of. Apart from apps.sh, beside which it runs, because it takes longer than all the others together. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/say.sh

lab=target/lab
mkdir -p "$lab"
mark=$({ python3 --version; pwd; cat tests/setup/superset.sh tests/setup/superset.txt tests/real/superset_config.py; } | sha256sum)
if [ "$mark" = "$(cat "$lab/superset-mark" 2>/dev/null)" ]; then exit 0; fi

say "installing into $lab/superset (about 800 MB) from PyPI: $(grep -ioE '^apache_superset==.*' tests/setup/superset.txt), and what it needs"
rm -rf "$lab/superset" "$lab/superset-database" "$lab/superset-mark"
python3 -m venv "$lab/superset"
"$lab/superset/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/setup/superset.txt

say "making $lab/superset-database with Superset's own program (about a minute)"
mkdir -p "$lab/superset-database"
export FOLDER=$PWD/$lab/superset-database SUPERSET_CONFIG_PATH=$PWD/tests/real/superset_config.py FLASK_APP=superset PYTHONWARNINGS=ignore
log=$FOLDER/log
superset() { "$lab/superset/bin/superset" "$@" >>"$log" 2>&1 || stop "superset $* failed:" "$(tail -n 40 "$log")"; }
superset db upgrade
superset fab create-admin --username labadmin --firstname Lab --lastname Admin --email labadmin@example.com --password test-only-password-of-the-gateway
superset init

printf '%s\n' "$mark" >"$lab/superset-mark"
