#!/usr/bin/env bash
# get-lake.sh FOLDER
#
# Puts the engines that tests read lakes with into FOLDER, as a Python environment
# of its own (about 490 MB): pyiceberg, pyarrow, and DuckDB with its extensions
# for Iceberg, Avro and S3, all by the ordinary `pip` in the versions of
# lake-requirements.txt.  Needs a python3 of 3.10 or later that can make
# environments.  Nothing else of the machine is touched, but for pip's own cache.
# Prints the Python.  Safe to be called twice at once, and again.
set -euo pipefail

fail() { echo "get-lake: $*" >&2; exit 1; }
[ $# -eq 1 ] || fail "usage: get-lake.sh FOLDER"
folder=$(realpath -m "$1")
wanted=$(dirname "$(realpath "$0")")/lake-requirements.txt

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
# The list that was installed lies beside what it brought.
if cmp -s "$wanted" "$folder/requirements.txt" && "$folder/bin/python" -c '' 2>/dev/null; then
    echo "$folder/bin/python"
    exit 0
fi
python3 -c 'import sys, venv, ensurepip; assert sys.version_info >= (3, 10)' 2>/dev/null ||
    fail "this needs a python3 of 3.10 or later with its venv module"

# An environment names its own folder in its programs, so it is made where it stays, and the list comes last.
rm -rf "$folder"
python3 -m venv "$folder" || fail "python3 could not make an environment in $folder"
"$folder/bin/pip" install -q --disable-pip-version-check --only-binary :all: -r "$wanted" >&2 ||
    fail "pip could not install what $wanted lists (its last words are above)"
"$folder/bin/python" -c 'import duckdb, pyarrow, pyiceberg' || fail "the engines do not start"
cp "$wanted" "$folder/requirements.txt"
chmod -R a+rX "$folder"
echo "$folder/bin/python"
