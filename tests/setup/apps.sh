#!/usr/bin/env bash
# The apps that connectors are proven against. From the distribution: PostgreSQL's programs and PHP's modules for Zabbix, by apt-get (Redmine: lab.sh);
# InfluxDB and Zabbix unpacked into target/lab, where no service of theirs starts. From PyPI, in exact versions and each in an environment of its own:
# OctoPrint; Synapse and Radicale; Superset (superset.sh, beside the rest). Databases are made once and copied by each test. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/setup/say.sh

lab=target/lab
mkdir -p "$lab"
tests/setup/superset.sh &
superset=$!
mark=$({ python3 --version; pwd; cat tests/setup/apps.sh tests/setup/octoprint.txt tests/setup/synapse.txt; } | sha256sum)
if [ "$mark" = "$(cat "$lab/apps-mark" 2>/dev/null)" ]; then
	wait "$superset"
	exit 0
fi

wanted=()
postgres() { find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1; }
[ -n "$(postgres)" ] || wanted+=(postgresql)
have php || wanted+=(php-cli)
for module in pgsql gd bcmath mbstring xml; do
	have php && php -m | grep -i "^$module" >/dev/null || wanted+=("php-$module")
done
[ ${#wanted[@]} = 0 ] || packages "the apps that connectors are proven against" "${wanted[@]}"

# as_postgres COMMAND...: PostgreSQL does not run as root.
as_postgres() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
	else
		"$@"
	fi
}

say "unpacking into $lab/debian (about 140 MB) from the distribution: influxdb zabbix-frontend-php zabbix-server-pgsql"
rm -rf "$lab/debian" "$lab/archives" "$lab/apps-mark"
mkdir -p "$lab/debian" "$lab/archives"
(cd "$lab/archives" && apt-get download -qq influxdb zabbix-frontend-php zabbix-server-pgsql)
for archive in "$lab"/archives/*.deb; do dpkg-deb -x "$archive" "$lab/debian"; done
rm -rf "$lab/archives"
# Debian's Zabbix has one fixed place for its configuration; here it is beside it, and the tests say where the database is.
sed -i "s#'/etc/zabbix/zabbix.conf.php'#'$PWD/$lab/debian/zabbix.conf.php'#" "$lab/debian/usr/share/zabbix/include/classes/core/CConfigFile.php"
cat >"$lab/debian/zabbix.conf.php" <<-'PHP'
	<?php
	$DB['TYPE'] = 'POSTGRESQL'; $DB['SERVER'] = '127.0.0.1'; $DB['PORT'] = getenv('ZABBIX_DB_PORT');
	$DB['DATABASE'] = 'zabbix'; $DB['USER'] = 'zabbix'; $DB['PASSWORD'] = ''; $DB['SCHEMA'] = ''; $DB['ENCRYPTION'] = false;
	$DB['KEY_FILE'] = ''; $DB['CERT_FILE'] = ''; $DB['CA_FILE'] = ''; $DB['VERIFY_HOST'] = false; $DB['CIPHER_LIST'] = '';
	$DB['VAULT_URL'] = ''; $DB['VAULT_DB_PATH'] = ''; $DB['VAULT_TOKEN'] = ''; $DB['DOUBLE_IEEE754'] = true;
	$ZBX_SERVER_NAME = 'test'; $IMAGE_FORMAT_DEFAULT = IMAGE_FORMAT_PNG;
PHP

say "making $lab/zabbix-database (about 110 MB) with PostgreSQL's own programs"
dirname "$(postgres)" >"$lab/postgres"
programs=$(cat "$lab/postgres")
cluster=$(mktemp -d)
[ "$(id -u)" != 0 ] || chown postgres: "$cluster"
rm -rf "$lab/zabbix-database"
as_postgres "$programs/initdb" -D "$cluster/data" -A trust -E UTF8 --no-locale --no-sync >/dev/null
as_postgres "$programs/pg_ctl" -D "$cluster/data" -w -s -l "$cluster/log" \
	-o "-c listen_addresses= -c unix_socket_directories=$cluster -c fsync=off" start
as_postgres "$programs/psql" -q -h "$cluster" -d postgres -c 'CREATE ROLE zabbix LOGIN' -c 'CREATE DATABASE zabbix OWNER zabbix'
{
	for part in schema images data; do zcat "$lab/debian/usr/share/zabbix-server-pgsql/$part.sql.gz"; done
} | as_postgres "$programs/psql" -q -h "$cluster" -U zabbix -d zabbix -v ON_ERROR_STOP=1 >/dev/null
as_postgres "$programs/pg_ctl" -D "$cluster/data" -w -s -m fast stop
mv "$cluster/data" "$lab/zabbix-database"
rm -rf "$cluster"

for app in octoprint synapse; do
	say "installing into $lab/$app (about 250 MB) from PyPI: $(grep -ioE '^(octoprint|matrix-synapse|radicale)==.*' "tests/setup/$app.txt" | paste -sd' '), and what they need"
	rm -rf "${lab:?}/$app"
	python3 -m venv "$lab/$app"
	"$lab/$app/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "tests/setup/$app.txt"
done

printf '%s\n' "$mark" >"$lab/apps-mark"
wait "$superset"
