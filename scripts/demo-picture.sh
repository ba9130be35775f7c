#!/usr/bin/env bash
# demo-picture.sh PAGE TOKEN_FILE VIEW PICTURE FOLDER
#
# Takes a picture of a view of the service's page as somebody sees it who has signed in: headless Chromium with a
# profile in FOLDER, told what to do over its debugging pipe (JSON, a NUL behind each message).
set -euo pipefail

page=$1 token=$(<"$2") view=$3 picture=$4 folder=$5
mkdir -p "$folder"
mkfifo "$folder/orders" "$folder/told"
HOME=$folder chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1280,1500 \
    --user-data-dir="$folder/profile" --remote-debugging-pipe \
    3<"$folder/orders" 4>"$folder/told" >"$folder/log" 2>&1 </dev/null &
chromium=$!
trap 'kill "$chromium" 2>/dev/null; wait "$chromium" 2>/dev/null || true' EXIT
exec 5>"$folder/orders" 6<"$folder/told"

session='' number=0
# Calls a method; its answer is in `answer`.
call() {
    number=$((number + 1))
    printf '{"id":%d,"method":"%s","params":%s%s}\0' "$number" "$1" "$2" "${session:+,\"sessionId\":\"$session\"}" >&5
    while IFS= read -r -t 30 -d '' answer <&6; do
        case $answer in
            '{"id":'"$number",*'"error":'*) echo "$answer" >&2; return 1 ;;
            '{"id":'"$number",*) return 0 ;;
        esac
    done
    return 1
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$answer"; }
# Waits until an expression of the page is true.
until_true() {
    for _ in $(seq 100); do
        call Runtime.evaluate "{\"expression\":\"Boolean($1)\"}"
        case $answer in *'"value":true'*) return 0 ;; esac
        sleep 0.1
    done
    return 1
}

call Target.createTarget "{\"url\":\"$page\"}"
call Target.attachToTarget "{\"targetId\":\"$(field targetId)\",\"flatten\":true}"
session=$(field sessionId)
until_true "document.getElementById('token')"
call Runtime.evaluate "{\"expression\":\"sessionStorage.setItem('token', '$token'); location.hash = '$view'; location.reload()\"}"
until_true "document.getElementById('file')?.textContent"
# The second look at the figures tells rates.
until_true "(window.looks = (window.looks ?? 0) + 1) > 30"
call Page.captureScreenshot '{"format":"png"}'
field data | base64 -d >"$picture"
