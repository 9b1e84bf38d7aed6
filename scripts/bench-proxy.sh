#!/usr/bin/env bash
# Measures the node's proxy against nginx on this machine: the same backend, the same 99/1 split, two workers each,
# wrk with 64 connections, alternately, medians. Writes target/bench/proxy.json and prints a table.
#
# Needs nginx, wrk, jq, curl and python3. Environment: STARTS (6), ROUNDS (8), SECONDS_EACH (1), CONNECTIONS (64), OUTPUT,
# and PROXY_BENCH_SERVER for a server that is built already. Many short rounds in alternating order, as other load on the
# machine comes and goes; several starts, as how fast a process is also depends on where the system happens to put it.
set -euo pipefail

cd "$(dirname "$0")/.."
starts=${STARTS:-6}
rounds=${ROUNDS:-8}
seconds_each=${SECONDS_EACH:-1}
connections=${CONNECTIONS:-64}
output=${OUTPUT:-target/bench/proxy.json}
nginx=$(command -v nginx || echo /usr/sbin/nginx)
for tool in "$nginx" wrk jq curl; do
    command -v "$tool" >/dev/null || { echo "$tool is needed" >&2; exit 2; }
done

binary=${PROXY_BENCH_SERVER:-}
if [ -z "$binary" ]; then
    cargo build --release -p prograde-node --example proxy_bench_server >&2
    binary=${CARGO_TARGET_DIR:-target}/release/examples/proxy_bench_server
fi

work=$(mktemp -d)
proxy_pid=
halt() { # ends what start began
    exec 9>&- || true
    for name in backend peer; do
        if [ -s "$work/$name.pid" ]; then kill "$(cat "$work/$name.pid")" 2>/dev/null || true; fi
    done
    if [ -n "$proxy_pid" ]; then wait "$proxy_pid" 2>/dev/null || true; fi
    proxy_pid=
    for _ in $(seq 50); do
        [ -e "$work/backend.pid" ] || [ -e "$work/peer.pid" ] || break
        sleep 0.1
    done
}
stop() {
    if [ -n "$proxy_pid" ]; then kill "$proxy_pid" 2>/dev/null || true; fi
    halt
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

# Ports that are free now: the system's choice.
read -r stable canary peer ours < <(python3 - <<'PYTHON'
import socket
sockets = [socket.socket() for _ in range(4)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in sockets])
PYTHON
)

common() { # NAME WORKERS
    cat <<CONFIG
daemon on;
pid $work/$1.pid;
error_log $work/$1.log crit;
worker_processes $2;
events { worker_connections 4096; }
CONFIG
}
http_paths() {
    for path in client_body proxy fastcgi uwsgi scgi; do echo "    ${path}_temp_path $work/$path;"; done
}
body=$(printf 'x%.0s' $(seq 100))
{
    common backend 1
    cat <<CONFIG
http {
$(http_paths)
    access_log off;
    keepalive_requests 1000000000;
    server { listen 127.0.0.1:$stable; location / { return 200 "$body"; } }
    server { listen 127.0.0.1:$canary; location / { return 200 "$body"; } }
}
CONFIG
} >"$work/backend.conf"
{
    common peer 2
    cat <<CONFIG
http {
$(http_paths)
    access_log off;
    keepalive_requests 1000000000;
    upstream service {
        server 127.0.0.1:$stable weight=99;
        server 127.0.0.1:$canary weight=1;
        keepalive 64;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:$peer;
        location / {
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host \$http_host;
            proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto \$scheme;
            proxy_set_header X-Forwarded-Host \$http_host;
        }
    }
}
CONFIG
} >"$work/peer.conf"

mkfifo "$work/stdin"
start() {
    "$nginx" -p "$work" -c "$work/backend.conf" -e "$work/backend.log"
    "$nginx" -p "$work" -c "$work/peer.conf" -e "$work/peer.log"
    "$binary" "127.0.0.1:$ours" 2 "99=127.0.0.1:$stable" "1=127.0.0.1:$canary" <"$work/stdin" >>"$work/ours.out" &
    proxy_pid=$!
    exec 9>"$work/stdin"
    for port in "$peer" "$ours"; do
        curl --silent --fail --output /dev/null --retry 20 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$port/"
    done
}

cat >"$work/report.lua" <<'LUA'
done = function(summary, latency, requests)
    local e = summary.errors
    local failed = e.connect + e.read + e.write + e.status + e.timeout
    io.write(string.format("RESULT %.1f %d %d\n", summary.requests / (summary.duration / 1e6), latency:percentile(99), failed))
end
LUA
measure() { # PORT SECONDS -> requests/s, p99 in us, failed
    wrk -t2 "-c$connections" "-d${2}s" -s "$work/report.lua" "http://127.0.0.1:$1/" | sed -n 's/^RESULT //p'
}

for attempt in $(seq "$starts"); do
    start
    # Both warm, so that neither pays for opening its connections.
    measure "$peer" 1 >/dev/null
    measure "$ours" 1 >/dev/null
    for round in $(seq "$rounds"); do
        [ $((round % 2)) = 1 ] || measure "$ours" "$seconds_each" >>"$work/ours.txt"
        measure "$peer" "$seconds_each" >>"$work/peer.txt"
        [ $((round % 2)) = 0 ] || measure "$ours" "$seconds_each" >>"$work/ours.txt"
        echo "start $attempt, round $round: nginx $(tail -1 "$work/peer.txt"), prograde $(tail -1 "$work/ours.txt")" \
            "(requests/s, p99 us, failed)" >&2
    done
    halt
done
median() { cut -d' ' -f"$2" "$work/$1.txt" | sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
total() { cut -d' ' -f3 "$work/$1.txt" | awk '{ n += $1 } END { print n + 0 }'; }

share=$(sed -n 's/.*Counters { requests: \([0-9]*\), failures: \([0-9]*\),.*/\1 \2/p' "$work/ours.out" |
    awk '{ r[NR % 2] += $1; f += $2 } END { printf "%.4f %d", 100 * r[0] / (r[0] + r[1]), f }')

mkdir -p "$(dirname "$output")"
jq -n \
    --argjson rps "$(median ours 1)" --argjson peer_rps "$(median peer 1)" \
    --argjson p99 "$(median ours 2)" --argjson peer_p99 "$(median peer 2)" \
    --argjson failed "$(total ours)" --argjson peer_failed "$(total peer)" \
    --argjson share "${share% *}" --arg nginx "$("$nginx" -v 2>&1 | sed 's/.*nginx version: //')" '
    def round3: . * 1000 | round / 1000;
    [ { name: "proxy requests/s", value: $rps, unit: "1/s", peer: $nginx, peer_value: $peer_rps,
        ratio: ($rps / $peer_rps | round3), goal: "at least 0.9 of the peer", met: ($rps >= 0.9 * $peer_rps) },
      { name: "proxy p99 latency", value: $p99, unit: "us", peer: $nginx, peer_value: $peer_p99,
        ratio: ($p99 / $peer_p99 | round3), goal: "at most 1.5 of the peer", met: ($p99 <= 1.5 * $peer_p99) },
      { name: "proxy failed requests", value: $failed, unit: "requests", peer: $nginx, peer_value: $peer_failed,
        ratio: null, goal: "0", met: ($failed == 0) },
      { name: "proxy share of a 1% version", value: $share, unit: "%", peer: null, peer_value: null,
        ratio: null, goal: "0.99 to 1.01", met: ($share >= 0.99 and $share <= 1.01) } ]' >"$output"
jq -r '(["NAME", "VALUE", "PEER", "RATIO", "GOAL", "MET"], (.[] | [.name, "\(.value) \(.unit)", "\(.peer_value // "-")", "\(.ratio // "-")", .goal, .met])) | @tsv' \
    "$output" | column -t -s "$(printf '\t')"
