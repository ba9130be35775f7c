#!/usr/bin/env bash
# get-registry.sh FOLDER
#
# Puts an Apicurio schema registry into FOLDER, from Maven's central repository
# (142 MB, fetched by the ordinary `mvn`).  Needs mvn and a Java of 11 or later.
# Nothing else of the machine is touched; an archive that is in Maven's own cache
# already is taken from there.  Prints the registry's jar.  Safe to be called
# twice at once, and again.
set -euo pipefail

version=2.6.13.Final

fail() { echo "get-registry: $*" >&2; exit 1; }
[ $# -eq 1 ] || fail "usage: get-registry.sh FOLDER"
folder=$(realpath -m "$1")
jar=apicurio-registry-app-$version-runner.jar

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
if [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ]; then
    echo "$folder/$jar"
    exit 0
fi
for program in mvn java; do
    command -v "$program" >/dev/null || fail "$program is missing: install maven and a Java runtime"
done

rm -rf "$folder.tmp"
mkdir -p "$folder.tmp/registry"
archive=io/apicurio/apicurio-registry-app/$version/apicurio-registry-app-$version-all.tar.gz
fetched=${HOME:-/nonexistent}/.m2/repository/$archive
if [ ! -e "$fetched" ]; then
    # Only what went wrong is worth reading: Maven tells it on its standard output.
    if ! mvn -q -B -Dmaven.repo.local="$folder.tmp/cache" \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:get \
        -Dartifact="io.apicurio:apicurio-registry-app:$version:tar.gz:all" -Dtransitive=false \
        >"$folder.tmp/maven.log" 2>&1; then
        tail -n 20 "$folder.tmp/maven.log" >&2
        fail "Maven could not fetch Apicurio Registry $version (its last words are above); does it reach its central repository?"
    fi
    fetched=$folder.tmp/cache/$archive
fi
tar -xzf "$fetched" -C "$folder.tmp/registry" --no-same-owner
[ -e "$folder.tmp/registry/$jar" ] || fail "the archive holds no $jar"
echo "$version" >"$folder.tmp/registry/version"
chmod -R a+rX "$folder.tmp/registry"
rm -rf "$folder"
mv "$folder.tmp/registry" "$folder"
rm -rf "$folder.tmp"
echo "$folder/$jar"
