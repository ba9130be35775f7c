#!/usr/bin/env bash
# install.sh [packages]
#
# Installs what building and testing need on a Debian 12 machine, and nothing
# twice: the Debian packages below (only when one is missing, through sudo when
# not root), and private folders that touch no part of the system: Oracle's MySQL
# server, MariaDB's binlog reader for the benchmark, PostgreSQL 17, PostgreSQL 15
# where Debian's package is not installed, an Apache Kafka broker (46 MB of jars;
# where mvn or java are missing, Debian's maven and a headless Java come before
# it), a schema registry (142 MB), Iceberg's REST catalog (142 MB), the engines that read lakes (pyiceberg, pyarrow
# and DuckDB, 490 MB, in a Python environment of their own), and Debian's
# Chromium, which opens the service's page.  Prints one line per step; run again on a complete machine it takes
# under a second.  With the word `packages` it stops after the Debian packages:
# enough to build, and for the demo.
#
#   CULVERT_SERVERS=FOLDER  where the private folders lie.  Default:
#                           /var/cache/culvert-servers as root (the servers then
#                           run as nobody, who cannot walk through a 0700 home),
#                           ${XDG_CACHE_HOME:-~/.cache}/culvert-servers otherwise
#   MYSQL_SUITE=sid         Debian suite that MySQL is taken from
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
packages=(mariadb-server-core mariadb-client-core libclang-14-dev libssl-dev openssl
    pkg-config gcc g++ make procps)

fail() { echo "install: $*" >&2; exit 1; }

command -v dpkg-query >/dev/null || fail "this needs Debian or a system like it; install by hand: ${packages[*]}"

# Installs those of the packages that are missing.
need() {
    local missing=() as_root=() package state apt
    for package in "$@"; do
        state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            fail "these packages are missing and neither root nor sudo is at hand: apt-get install --no-install-recommends ${missing[*]}"
        as_root=(sudo)
    fi
    echo "install: packages ${missing[*]}"
    apt="env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120"
    "${as_root[@]}" $apt update >/dev/null || fail "apt-get update failed"
    "${as_root[@]}" $apt install -y --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "apt-get install ${missing[*]} failed"
}

need "${packages[@]}"
echo "install: packages are there"
case ${1:-everything} in
    everything) ;;
    packages) exit 0 ;;
    *) fail "usage: install.sh [packages]" ;;
esac

# Looks at the unit of the service.
command -v systemd-analyze >/dev/null || need systemd

if [ "$(id -u)" = 0 ]; then
    servers=${CULVERT_SERVERS:-/var/cache/culvert-servers}
else
    servers=${CULVERT_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/culvert-servers}
fi
mkdir -p "$servers"
chmod 755 "$servers"

mysqld=$("$here/get-mysql.sh" "$servers/mysql") || fail "MySQL could not be fetched (the lines above say why)"
echo "install: MySQL at $mysqld"

# The package that holds mariadb-binlog wants perl; unpacked like this it wants nothing.
SKIP="perl perl-base debianutils libconfig-inifiles-perl" \
    "$here/get-debs.sh" bookworm "$servers/mariadb-client" mariadb-client ||
    fail "MariaDB's binlog reader could not be fetched (the lines above say why)"
binlog=$servers/mariadb-client/usr/bin/mariadb-binlog
"$binlog" --no-defaults --version >/dev/null || fail "$binlog does not start"
echo "install: mariadb-binlog at $binlog"

# The installed package serves as well as it is: tests make clusters of their own.
postgres15=/usr/lib/postgresql/15/bin
if [ ! -x "$postgres15/postgres" ]; then
    postgres15=$(bash "$here/get-postgres.sh" 15 "$servers/postgres15") ||
        fail "PostgreSQL 15 could not be fetched (the lines above say why)"
fi
echo "install: PostgreSQL 15 at $postgres15"
postgres17=$(bash "$here/get-postgres.sh" 17 "$servers/postgres17") ||
    fail "PostgreSQL 17 could not be fetched (the lines above say why)"
echo "install: PostgreSQL 17 at $postgres17"

# Drives the service's page in the tests.
command -v chromium >/dev/null || need chromium
echo "install: Chromium at $(command -v chromium)"

# Any Java of 11 or later serves, packaged or not.
command -v java >/dev/null || need default-jre-headless
command -v mvn >/dev/null || need maven
kafka=$("$here/get-kafka.sh" "$servers/kafka") || fail "Kafka could not be fetched (the lines above say why)"
echo "install: Kafka at $kafka"

registry=$("$here/get-registry.sh" "$servers/registry") ||
    fail "the schema registry could not be fetched (the lines above say why)"
echo "install: schema registry at $registry"

python3 -c 'import venv, ensurepip' 2>/dev/null || need python3-venv
lake=$("$here/get-lake.sh" "$servers/lake") || fail "the engines that read lakes could not be fetched (the lines above say why)"
echo "install: pyiceberg, pyarrow and DuckDB at $lake"

catalog=$("$here/get-rest-catalog.sh" "$servers/rest-catalog") ||
    fail "Iceberg's REST catalog could not be fetched (the lines above say why)"
echo "install: Iceberg's REST catalog at $catalog"
