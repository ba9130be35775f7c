#!/usr/bin/env bash
# get-postgres.sh VERSION FOLDER
#
# Puts PostgreSQL VERSION (15 from Debian bookworm, 17 from trixie) with its
# contributed extensions into FOLDER with all its libraries, ready to run beside
# any PostgreSQL that is installed, without installing anything and without making
# a cluster.  Prints the folder with initdb, postgres, psql and the rest.  Running
# it again on a complete folder only prints that folder.
#
#   PG_SUITE=...  suite to take the packages from
set -euo pipefail

fail() { echo "get-postgres: $*" >&2; exit 1; }
[ $# -eq 2 ] || fail "usage: get-postgres.sh VERSION FOLDER"
version=$1 folder=$(realpath -m "$2")
# The JIT compiler's library is left out: it is opened only when jit is on.
case $version in
    15) suite=bookworm llvm=libllvm14 ;;
    17) suite=trixie llvm=libllvm19 ;;
    *) suite='' llvm='' ;;
esac
suite=${PG_SUITE:-$suite}
[ -n "$suite" ] || fail "set PG_SUITE to the suite that has postgresql-$version"

# Debian's cluster tools are left out as well.
SKIP="perl perl-base debconf postgresql-common postgresql-client-common ssl-cert locales locales-all tzdata sysvinit-utils systemd netbase sensible-utils $llvm" \
    "$(dirname "$0")/get-debs.sh" "$suite" "$folder" "postgresql-$version" "postgresql-client-$version"

bin=$folder/usr/lib/postgresql/$version/bin
for program in initdb postgres psql; do
    "$bin/$program" --version >/dev/null || fail "$program does not start"
done
for extension in hstore citext ltree; do
    [ -e "$folder/usr/share/postgresql/$version/extension/$extension.control" ] ||
        fail "the extension $extension is not in postgresql-$version"
done
echo "$bin"
