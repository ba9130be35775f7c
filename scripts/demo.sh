#!/usr/bin/env bash
# demo.sh CULVERT
#
# Shows selective change capture on a private MariaDB: starts the server in a folder of its own on
# a free port, runs examples/selective-cdc.conf, changes a table, and prints the change log beside
# what it should be. Leaves nothing behind. Exit code 0: equal.
set -euo pipefail

fail() { echo "demo: $*" >&2; exit 1; }
[ $# -eq 1 ] || fail "usage: demo.sh CULVERT"
culvert=$(realpath "$1")
here=$(cd "$(dirname "$0")/.." && pwd)
for tool in mariadbd mariadb mariadb-install-db; do
    command -v "$tool" >/dev/null || [ -x "/usr/sbin/$tool" ] || fail "$tool is missing: run make setup"
done

folder=$(mktemp -d /tmp/culvert-demo.XXXXXX)
server='' job=''
cleanup() {
    # The job first: it finishes its checkpoint while the server is there.
    [ -z "$job" ] || { kill -TERM "$job" 2>/dev/null && wait "$job" 2>/dev/null; } || true
    [ -z "$server" ] || { kill -TERM "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
    rm -rf "$folder"
}
trap cleanup EXIT

user=$(id -un)
if [ "$(id -u)" = 0 ]; then
    user=nobody
    chmod 711 "$folder"
fi
mkdir "$folder/data"
chown "$user" "$folder" "$folder/data"

# Waits until a command succeeds, half a minute at most.
await() {
    local what=$1
    shift
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    tail -n 20 "$folder"/*.log >&2 || true
    fail "waited in vain for $what"
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null ||
    perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1)->sockport')
PATH=$PATH:/usr/sbin
echo "== a private MariaDB on 127.0.0.1:$port"
mariadb-install-db --no-defaults --user="$user" --auth-root-authentication-method=normal --skip-test-db \
    --datadir="$folder/data" >"$folder/install.log" 2>&1 || { tail -n 20 "$folder/install.log" >&2; fail "no data folder"; }
mariadbd --no-defaults --user="$user" --datadir="$folder/data" --socket="$folder/s.sock" --pid-file="$folder/pid" \
    --port="$port" --bind-address=127.0.0.1 --log-bin=binlog --binlog-format=ROW --server-id=1 \
    --innodb-buffer-pool-size=32M >"$folder/server.log" 2>&1 &
server=$!
sql() { mariadb --no-defaults --socket="$folder/s.sock" --user=root --password="${password-root}" "$@"; }
password='' await "the server" sql -e 'SELECT 1'
password='' sql -e "ALTER USER root@localhost IDENTIFIED BY 'root'; CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY 'root';
    GRANT ALL ON *.* TO root@'127.0.0.1'; CREATE DATABASE cdc;
    CREATE TABLE cdc.w (id INT PRIMARY KEY, name VARCHAR(50));
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
