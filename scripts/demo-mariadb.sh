# For the demos: a private MariaDB in a folder of its own, on a free port, that is gone with the script.
#
# Source it with a `culvert` variable that names the program. It sets `folder`, `port`, and a trap; before it ends
# the server, the trap calls `leave`, where the script that sources this defines it.

fail() { echo "demo: $*" >&2; exit 1; }
culvert=$(realpath "$culvert")
for tool in mariadbd mariadb mariadb-install-db; do
    command -v "$tool" >/dev/null || [ -x "/usr/sbin/$tool" ] || fail "$tool is missing: run make setup"
done
PATH=$PATH:/usr/sbin

folder=$(mktemp -d /tmp/culvert-demo.XXXXXX)
server=''
leave() { :; }
# Asks a process to end and waits until it has.
end() {
    [ -z "$1" ] || { kill -TERM "$1" 2>/dev/null && wait "$1" 2>/dev/null; } || true
}
cleanup() {
    # What uses the server first: it finishes its checkpoint while the server is there.
    leave
    end "$server"
    rm -rf "$folder"
}
trap cleanup EXIT

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

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null ||
        perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1)->sockport'
}

sql() { mariadb --no-defaults --socket="$folder/s.sock" --user=root --password="${password-root}" "$@"; }

# Starts the server; root's password is `root`, and there is a database `cdc`.
start_mariadb() {
    local user
    user=$(id -un)
    if [ "$(id -u)" = 0 ]; then
        user=nobody
        chmod 711 "$folder"
    fi
    mkdir "$folder/data"
    chown "$user" "$folder" "$folder/data"
    port=$(free_port)
    echo "== a private MariaDB on 127.0.0.1:$port"
    mariadb-install-db --no-defaults --user="$user" --auth-root-authentication-method=normal --skip-test-db \
        --datadir="$folder/data" >"$folder/install.log" 2>&1 ||
        { tail -n 20 "$folder/install.log" >&2; fail "no data folder"; }
    mariadbd --no-defaults --user="$user" --datadir="$folder/data" --socket="$folder/s.sock" --pid-file="$folder/pid" \
        --port="$port" --bind-address=127.0.0.1 --log-bin=binlog --binlog-format=ROW --server-id=1 \
        --innodb-buffer-pool-size=32M >"$folder/server.log" 2>&1 &
    server=$!
    password='' await "the server" sql -e 'SELECT 1'
    password='' sql -e "ALTER USER root@localhost IDENTIFIED BY 'root'; CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY 'root';
        GRANT ALL ON *.* TO root@'127.0.0.1'; CREATE DATABASE cdc;"
}
