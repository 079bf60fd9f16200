#!/bin/bash
# What `make bench` runs: the agent in release build beside a plain C server that answers the same bytes, in pairs, and
# what the agent needs in memory, to start and to decide. Everything stays on loopback.
#
#   ROUNDS=3 SECONDS_EACH=4 benchmarks/run.sh
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-4}
starts=${STARTS:-15}
base=${BASE_PORT:-18500}
agent=$PWD/${AGENT:-.build/release/proxmox-agent}
out=$PWD/benchmarks/out
threads=$(nproc)
token=benchmark
authorization="Authorization: Bearer $token"
export PROXMOX_AGENT_API_TOKEN=$token
export SMALL_SECRET=00000000-0000-4000-8000-000000000001 LARGE_SECRET=00000000-0000-4000-8000-000000000002

pids=()
cleanup() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; }
trap cleanup EXIT

fail() {
    echo "bench: $1" >&2
    exit 1
}

# spawn LOG COMMAND...: starts a process that ends with this script; its id is in $spawned.
spawn() {
    local log=$1
    shift
    "$@" </dev/null >>"$log" 2>&1 &
    spawned=$!
    pids+=("$spawned")
}

stop() {
    kill "$1"
    wait "$1" || true
}

# wait_for URL
wait_for() {
    local deadline=$((SECONDS + 20))
    until curl --silent --fail --insecure --output /dev/null -H "$authorization" "$1"; do
        ((SECONDS < deadline)) || fail "$1 does not answer; see benchmarks/out"
        sleep 0.05
    done
}

# memory PID FIELD: kB of VmRSS or VmHWM, in MB.
memory() { awk -v field="$2:" '$1 == field { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }

# rate CONNECTIONS URL [WRK-ARGUMENT...]: answers per second.
rate() {
    local connections=$1 url=$2 report
    shift 2
    report=$(wrk --threads "$((connections < threads ? 1 : threads))" --connections "$connections" \
        --duration "${seconds}s" --timeout 10s --header "$authorization" "$@" "$url")
    if grep -Eq 'Non-2xx|Socket errors' <<<"$report"; then
        echo "$report" >&2
        fail "$url does not answer all"
    fi
    awk '/^Requests\/sec:/ { print $2 }' <<<"$report"
}

median() { printf '%s\n' "$@" | sort -g | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

# pair NAME CONNECTIONS PATH PID PORT [WRK-ARGUMENT...]: rounds of plain C and agent, turn and turn about; one row.
# With TLS set, both over TLS.
pair() {
    local name=$1 connections=$2 path=$3 pid=$4 port=$5 host=http${TLS:+s}://127.0.0.1
    shift 5
    local plain_port=$((base + 9)) body=$out/body plain=() ours=() ratios=() round
    if [[ -n ${PLAN_BODY-} ]]; then
        curl --silent --fail -H "$authorization" -H 'Content-Type: application/json' -d "$PLAN_BODY" \
            -o "$body" "$host:$port$path"
    else
        curl --silent --fail --insecure -H "$authorization" -o "$body" "$host:$port$path"
    fi
    spawn "$out/plain.log" "$out/plain" "$plain_port" "$threads" "$body" ${TLS:+"$out/cert.pem" "$out/key.pem"}
    local plain_pid=$spawned
    wait_for "$host:$plain_port/"
    echo 5 >"/proc/$pid/clear_refs"
    for ((round = 0; round < rounds; round++)); do
        plain+=("$(rate "$connections" "$host:$plain_port$path" "$@")")
        ours+=("$(rate "$connections" "$host:$port$path" "$@")")
        ratios+=("$(awk "BEGIN { print ${ours[-1]} / ${plain[-1]} }")")
    done
    stop "$plain_pid"
    printf '| %-42s | %9d | %10.0f | %10.0f | %5.2f | %8.1f |\n' "$name" "$(stat -c %s "$body")" \
        "$(median "${plain[@]}")" "$(median "${ours[@]}")" "$(median "${ratios[@]}")" "$(memory "$pid" VmHWM)" |
        tee -a "$out/table.md"
}

# configuration NAME PORT SHARE [FURTHER-KEYS]
configuration() {
    cat >"$out/$1.json" <<END
{
  "listen_addr": "127.0.0.1:$2", "audit_log_path": "$out/$1.audit.log", "state_path": "$out/$1.state.db", "limits": {"share_reads": $3, "requests_per_minute": 1000000000, "stored_bytes_per_minute": 1099511627776, "pending_answer_bytes": 1073741824, "max_connections": 8192, "streams_per_caller": 4096},${4-}
  "environments": [
    {"name": "small", "base_url": "http://127.0.0.1:$((base + 1))",
     "token_id": "agent@pve!bench", "token_secret_env": "SMALL_SECRET"},
    {"name": "large", "base_url": "http://127.0.0.1:$((base + 2))",
     "token_id": "agent@pve!bench", "token_secret_env": "LARGE_SECRET"}
  ]
}
END
}

[[ -x $agent ]] || fail "there is no $agent; make release builds it"
rm -rf "$out"
mkdir -p "$out"
read -ra microhttpd < <(pkg-config --cflags --libs libmicrohttpd)
gcc -O2 -Wall -o "$out/plain" benchmarks/plain.c "${microhttpd[@]}"
gcc -O2 -Wall -o "$out/start" benchmarks/start.c
gcc -O2 -Wall -o "$out/listen" benchmarks/listen.c
PROXMOX_AGENT_PACKAGE=benchmarks swift build -c release --static-swift-stdlib --quiet --product policy

spawn "$out/simulators.log" "$agent" simulate --listen "127.0.0.1:$((base + 1))" --name small --guests 1000
spawn "$out/simulators.log" "$agent" simulate --listen "127.0.0.1:$((base + 2))" --name large --guests 10000
configuration shared "$base" true
configuration unshared $((base + 3)) false
configuration start $((base + 4)) true
configuration events $((base + 6)) true
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench \
    -keyout "$out/key.pem" -out "$out/cert.pem" 2>/dev/null
# A hundred environments, all of them the small PVE, each with a token of its own.
for ((i = 1; i <= 100; i++)); do declare -x "SECRET_$i=00000000-0000-4000-8000-0000000001$(printf %02d "$((i % 100))")"; done
configuration many $((base + 6)) true
jq '.environments = (.environments[0] as $one | [range(1; 101)] | map($one + {name: "pve\(.)", token_secret_env: "SECRET_\(.)"}))' \
    "$out/many.json" >"$out/many.json.new"
mv "$out/many.json.new" "$out/many.json"
configuration tls $((base + 5)) true "\"tls\": {\"cert_file\": \"$out/cert.pem\", \"key_file\": \"$out/key.pem\"},"

{
    echo "$(nproc) × $(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo), $(date --utc +%F)," \
        "libmicrohttpd $(pkg-config --modversion libmicrohttpd), libcurl $(pkg-config --modversion libcurl)," \
        "$(swift --version 2>/dev/null | grep -o 'Swift version [0-9.]*'); $rounds rounds of ${seconds} s," \
        "load at the start $(cut -d' ' -f1 /proc/loadavg)"
    echo
} | tee "$out/table.md"

# Start-up and decisions first: nothing else is busy, and the audit log is new.
times=()
for ((i = 0; i < starts; i++)); do
    times+=("$("$out/start" $((base + 4)) "$agent" --config "$out/start.json" 2>>"$out/start.log")")
done
.build/release/policy >"$out/policy.txt"

# The access log is written as always, to where it costs nothing but the writing.
spawn /dev/null "$agent" --config "$out/shared.json"
shared=$spawned
spawn /dev/null "$agent" --config "$out/unshared.json"
unshared=$spawned
spawn /dev/null "$agent" --config "$out/tls.json"
tls=$spawned
spawn /dev/null "$agent" --config "$out/many.json"
many=$spawned
wait_for "http://127.0.0.1:$base/readyz"
wait_for "http://127.0.0.1:$((base + 6))/readyz"
wait_for "https://127.0.0.1:$((base + 5))/readyz"
wait_for "http://127.0.0.1:$((base + 3))/readyz"
sleep 2
idle=$(memory "$shared" VmRSS)

{
    echo "| request                                    |     bytes | plain C /s |    agent /s | ratio |  peak MB |"
    echo "|--------------------------------------------|----------:|-----------:|------------:|------:|---------:|"
} | tee -a "$out/table.md"
pair 'GET /healthz' 64 /healthz "$shared" "$base"
pair 'GET /v1/environments' 64 /v1/environments "$shared" "$base"
pair 'GET /metrics, 100 environments, one client' 1 /metrics "$many" $((base + 6))
TLS=1 pair 'GET /v1/environments over TLS' 64 /v1/environments "$tls" $((base + 5))
TLS=1 pair 'the same, a handshake for each' 64 /v1/environments "$tls" $((base + 5)) --header 'Connection: close'
for size in small:1,000 large:10,000; do
    path="/v1/inventory?environment=${size%%:*}"
    pair "inventory of ${size#*:}, reads shared" 8 "$path" "$shared" "$base"
    pair "inventory of ${size#*:}, each its own" 8 "$path" "$unshared" $((base + 3))
done
guest=$(curl --silent --fail -H "$authorization" "http://127.0.0.1:$base/v1/inventory?environment=small" |
    jq --compact-output '[.result.data[] | select(.type == "qemu" and .status == "stopped" and .template != 1)][0]')
PLAN_BODY=$(jq --compact-output \
    '{environment: "small", action: "start_vm", target: "vm/\(.vmid)", params: {node}, dry_run: true}' <<<"$guest")
export PLAN_BODY
pair 'plan of start_vm, a dry run' 64 /v1/actions/plan "$shared" "$base" --script benchmarks/plan.lua

# mcp NAME PORT: the inventory of 1,000 guests over MCP beside the same read over REST, turn and turn about; a line.
mcp() {
    local url=http://127.0.0.1:$2 rest tool ratios=() tools=() round
    for ((round = 0; round < rounds; round++)); do
        rest=$(rate 8 "$url/v1/inventory?environment=small")
        tool=$(rate 8 "$url/mcp" --script benchmarks/inventory.lua)
        tools+=("$tool")
        ratios+=("$(awk "BEGIN { print $tool / $rest }")")
    done
    printf 'tools/call inventory of 1,000 guests, %s: %.0f /s, %.2f of the same read over REST.\n' \
        "$1" "$(median "${tools[@]}")" "$(median "${ratios[@]}")" >>"$out/mcp.txt"
}
mcp 'reads shared' "$base"
mcp 'each its own' $((base + 3))

# A fresh process: memory that others gave back would make streams look cheaper.
streams=2000
spawn /dev/null "$agent" --config "$out/events.json"
wait_for "http://127.0.0.1:$((base + 6))/readyz"
sleep 1
mapfile -t heard < <("$out/listen" $((base + 6)) "$spawned" "$streams" 20 "$authorization")
((${#heard[@]} == 41)) || fail "not all streams got all events"
mapfile -t delays < <(printf '%s\n' "${heard[@]:1}" | cut -d' ' -f1)

{
    echo
    cat "$out/mcp.txt" "$out/policy.txt"
    echo "One event to $streams streams: the last has it $(median "${delays[@]}") ms after the request that causes it was sent (median of" \
        "${#delays[@]}; worst $(printf '%s\n' "${delays[@]}" | sort -g | tail -1)). A stream costs ${heard[0]} kB."
    echo "First answer after start: $(median "${times[@]}") ms (median of $starts; best $(printf '%s\n' "${times[@]}" | sort -g | head -1))."
    echo "Resident when idle, before any request but /readyz: $idle MB; at the end: $(memory "$shared" VmRSS) MB."
} | tee -a "$out/table.md"

if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    AGENT=$agent ROUNDS=$rounds benchmarks/store.py | tee -a "$out/table.md"
else
    echo "NOT MEASURED: the state in PostgreSQL: install postgresql" >&2
fi
