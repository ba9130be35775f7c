#!/usr/bin/env bash
# demo-service.sh CULVERT [PICTURE]
#
# Shows the service on a private MariaDB: `culvert serve`, a job that `culvert submit` hands over, rows that follow,
# a column that is added at the source and what a robot of DingTalk is told of it, the page (its picture in PICTURE,
# where Chromium is there), a `kill -9`, and the job that goes on by itself. Leaves nothing behind but the picture.
# Exit code 0: source and target are equal.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: demo-service.sh CULVERT [PICTURE]" >&2; exit 1; }
culvert=$1 picture=${2:-} daemon='' robot=''
here=$(cd "$(dirname "$0")/.." && pwd)
source "$here/scripts/demo-mariadb.sh"
leave() { end "$daemon"; end "$robot"; }

command -v perl >/dev/null || fail "perl is missing"
start_mariadb
sql -e "CREATE TABLE cdc.w (id INT PRIMARY KEY, name VARCHAR(50)); INSERT INTO cdc.w VALUES (1, 'Alice'), (2, 'Bob')"

# What a robot of DingTalk would hear.
secret=SECdemo robot_port=$(free_port)
perl "$here/scripts/demo-robot.pl" "$robot_port" "$secret" >"$folder/heard" 2>"$folder/robot.log" &
robot=$!
heard() { grep -q "$1" "$folder/heard"; }
shown=0
# Prints what the robot heard since the last time.
tell_heard() {
    local lines
    lines=$(wc -l <"$folder/heard")
    echo "== the robot heard"
    sed -n "$((shown + 1)),${lines}p" "$folder/heard"
    shown=$lines
}

http_port=$(free_port)
cat >"$folder/culvert.conf" <<CONF
service { data = "$folder/service" }
http { port = $http_port }
CONF
export CULVERT_DATA=$folder/service
serve() {
    "$culvert" serve --config "$folder/culvert.conf" >>"$folder/daemon.out" 2>>"$folder/daemon.log" &
    daemon=$!
    await "the service" "$culvert" list
}
echo "== culvert serve"
serve

cat >"$folder/mirror.conf" <<'CONF'
env { job.name = "mirror", job.mode = "STREAMING", checkpoint.interval = 200 }
source { MySQL-CDC {
  url = "jdbc:mysql://127.0.0.1:${PORT}/cdc", username = "root", password = "root"
  table-names = ["cdc.w"], schema-changes.enabled = true
} }
sink { jdbc {
  url = "jdbc:mysql://127.0.0.1:${PORT}/cdc", driver = "com.mysql.cj.jdbc.Driver", username = "root", password = "root"
  database = cdc, table = w_mirror, generate_sink_sql = true
} }
CONF
echo "== culvert submit -c mirror.conf -D dingtalk.webhook.url=http://127.0.0.1:$robot_port/robot/send?access_token=x -D dingtalk.secret=SEC…"
"$culvert" submit -c "$folder/mirror.conf" -i PORT="$port" --async --id 1 \
    -D "dingtalk.webhook.url=http://127.0.0.1:$robot_port/robot/send?access_token=x" -D "dingtalk.secret=$secret" \
    >"$folder/submit.out" 2>"$folder/submit.log" || fail "$(cat "$folder/submit.log")"

rows() { sql -N -e "SELECT * FROM cdc.$1 ORDER BY id" | tr '\t' ' '; }
equal() { [ "$(rows w)" = "$(rows w_mirror)" ]; }
change() {
    echo "   $1"
    sql -e "$1"
}
await "two rows in cdc.w_mirror" equal
change "INSERT INTO cdc.w VALUES (3, 'Carol')"
change "UPDATE cdc.w SET name = 'Bobby' WHERE id = 2"
await "the changes in cdc.w_mirror" equal
change "ALTER TABLE cdc.w ADD COLUMN note VARCHAR(30)"
change "INSERT INTO cdc.w VALUES (4, 'Dave', 'with a note')"
await "the column in cdc.w_mirror" equal
await "the robot" heard "cdc.w has a new column"
tell_heard

page="http://127.0.0.1:$http_port/"
echo "== the page: $page (the service printed its tokens; this demo's is gone with it)"
if [ -n "$picture" ] && command -v chromium >/dev/null; then
    "$here/scripts/demo-picture.sh" "$page" "$folder/service/admin.token" "#/jobs/1" "$picture" "$folder/chromium" ||
        fail "no picture of the page"
    echo "   its picture: $picture"
fi

echo "== kill -9; a row comes meanwhile; culvert serve again"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
change "INSERT INTO cdc.w VALUES (5, 'Erin', 'while nobody looked')"
serve
await "the row in cdc.w_mirror" equal
status=$("$culvert" status 1)
grep -q RUNNING <<<"$status" || fail "the job is not RUNNING: $status"
echo "   job 1 is RUNNING, nobody had to ask"

echo "== cdc.w                         cdc.w_mirror"
paste <(rows w) <(rows w_mirror) | while IFS=$'\t' read -r source target; do
    printf '   %-30s %s\n' "$source" "$target"
done
kill -TERM "$daemon"
wait "$daemon" || fail "the service ended with an error: $(tail -n 5 "$folder/daemon.log")"
daemon=''
equal || fail "the mirror is not equal"
grep -q "WRONG" "$folder/heard" && fail "the robot heard a wrong signature"
echo "== equal"
