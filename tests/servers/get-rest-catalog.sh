#!/usr/bin/env bash
# get-rest-catalog.sh FOLDER
#
# Puts the REST catalog that Apache Iceberg tests its own clients with into
# FOLDER, as jars from Maven's central repository (142 MB), fetched by the
# ordinary `mvn`.  Needs mvn and a Java of 11 or later.  Nothing else of the
# machine is touched, Maven's own cache included.  Prints the folder of the jars.
# Safe to be called twice at once, and again.
set -euo pipefail

version=1.10.1

fail() { echo "get-rest-catalog: $*" >&2; exit 1; }
[ $# -eq 1 ] || fail "usage: get-rest-catalog.sh FOLDER"
folder=$(realpath -m "$1")
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
# The list that was fetched lies beside what it brought.
if [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ] && cmp -s "$here/rest-catalog-pom.xml" "$folder/pom.xml"; then
    echo "$folder/libs"
    exit 0
fi
for program in mvn java; do
    command -v "$program" >/dev/null || fail "$program is missing: install maven and a Java runtime"
done

rm -rf "$folder.tmp"
mkdir -p "$folder.tmp/libs"
# Only what went wrong is worth reading: Maven tells it on its standard output.
if ! mvn -q -B -f "$here/rest-catalog-pom.xml" -Diceberg.version="$version" \
    -Dmaven.repo.local="$folder.tmp/cache" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$folder.tmp/libs" >"$folder.tmp/maven.log" 2>&1; then
    tail -n 20 "$folder.tmp/maven.log" >&2
    fail "Maven could not fetch Iceberg's REST catalog $version (its last words are above); does it reach its central repository?"
fi
[ -e "$folder.tmp/libs/iceberg-open-api-$version-test-fixtures.jar" ] ||
    fail "Maven fetched no iceberg-open-api-$version-test-fixtures.jar"
rm -rf "$folder.tmp/cache" "$folder.tmp/maven.log"
echo "$version" >"$folder.tmp/version"
cp "$here/rest-catalog-pom.xml" "$folder.tmp/pom.xml"
chmod -R a+rX "$folder.tmp"
rm -rf "$folder"
mv "$folder.tmp" "$folder"
echo "$folder/libs"
