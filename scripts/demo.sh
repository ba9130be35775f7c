#!/usr/bin/env bash
# demo.sh CULVERT
#
# Shows selective change capture on a private MariaDB: starts the server in a folder of its own on
# a free port, runs examples/selective-cdc.conf, changes a table, and prints the change log beside
# what it should be. Leaves nothing behind. Exit code 0: equal.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: demo.sh CULVERT" >&2; exit 1; }
culvert=$1 job=''
here=$(cd "$(dirname "$0")/.." && pwd)
source "$here/scripts/demo-mariadb.sh"
leave() { end "$job"; }

start_mariadb
sql -e "CREATE TABLE cdc.w (id INT PRIMARY KEY, name VARCHAR(50));
    CREATE TABLE cdc.w2 (id INT, name VARCHAR(50), row_kind VARCHAR(13));"

echo "== culvert run -c examples/selective-cdc.conf"
"$culvert" run -c "$here/examples/selective-cdc.conf" --state "$folder/state" \
    -i MYSQL_HOST=127.0.0.1 -i MYSQL_PORT="$port" -i MYSQL_PASSWORD=root >"$folder/job.out" 2>"$folder/job.log" &
job=$!
# The empty table's snapshot is one chunk; its marker says that the job has begun.
started() { [ "$(sql -N -e "SELECT COUNT(*) FROM cdc.culvert_commit WHERE checkpoint > 0")" = 1 ]; }
await "the job's first checkpoint" started

changes=(
    "INSERT INTO cdc.w VALUES (1, 'Alice')"
    "INSERT INTO cdc.w VALUES (2, 'Bob')"
    "UPDATE cdc.w SET name = 'Charlie' WHERE id = 2"
    "DELETE FROM cdc.w WHERE id = 2"
)
for change in "${changes[@]}"; do
    echo "   $change"
    sql -e "$change"
done
arrived() { [ "$(sql -N -e 'SELECT COUNT(*) FROM cdc.w2')" -ge 5 ]; }
await "five rows in cdc.w2" arrived

sql -N -e 'SELECT row_kind, id, name FROM cdc.w2' | tr '\t' ' ' >"$folder/found"
printf '%s\n' '+I 1 Alice' '+I 2 Bob' '-U 2 Bob' '+U 2 Charlie' '-D 2 Charlie' >"$folder/expected"
echo "== cdc.w2                        expected"
paste "$folder/found" "$folder/expected" | while IFS=$'\t' read -r found expected; do
    printf '   %-30s %s\n' "$found" "$expected"
done
kill -TERM "$job"
wait "$job" || fail "the job ended with an error: $(tail -n 5 "$folder/job.log")"
job=''
echo "== the job's totals"
cat "$folder/job.out"
diff -u "$folder/expected" "$folder/found" || fail "the change log is not what it should be"
echo "== as expected"
