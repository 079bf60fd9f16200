#!/bin/bash
# What `make attack` runs: an agent under abuse by processes that mean no good, and somebody who sets a freeze ten times a
# second meanwhile. Everything stays on loopback.
#
#   AGENT=.build/release/proxmox-agent PHASE=5 benchmarks/attack.sh
#
# Fails where a freeze is not answered within five seconds or with anything but 200, where the agent dies or takes four times
# the memory that is aimed at, or where PVE gets a call after a freeze was answered. The other figures are for reading: a
# machine that is busy with other things misses the aims.
set -euo pipefail
cd "$(dirname "$0")/.."

agent=$PWD/${AGENT:-.build/debug/proxmox-agent}
phase=${PHASE:-5}
base=${BASE_PORT:-$((20000 + RANDOM % 20000))}
port=$base pve=$((base + 1)) dead=$((base + 2))
aim_ms=250 aim_mb=160
out=$(mktemp -d)
export CLOUD_SECRET=00000000-0000-4000-8000-000000000001 DEAD_SECRET=00000000-0000-4000-8000-000000000002

pids=() attackers=()
cleanup() {
    for pid in "${attackers[@]}" "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$out"
}
trap cleanup EXIT

fail() {
    echo "attack: $1" >&2
    tail -n 5 "$out/agent.log" >&2 || true
    exit 1
}

${CC:-$(command -v gcc || command -v clang)} -O2 -Wall -Wextra -o "$out/attack" benchmarks/attack.c

# person NAME ROLE...: an entry of the configuration, whose token is token-of-NAME.
person() {
    local name=$1 digest
    shift
    digest=$(printf 'token-of-%s-and-more-letters' "$name" | sha256sum | cut -d' ' -f1)
    jq -n --arg id "$name" --arg digest "$digest" '{id: $id, token_sha256: $digest, roles: $ARGS.positional}' \
        --args "$@"
}

token() { echo "token-of-$1-and-more-letters"; }

jq -n --argjson people "$(for name in viewer watcher; do person "$name" viewer; done | jq -s .)" \
    --argjson robot "$(person robot operator)" --argjson chief "$(person chief approver)" \
    --arg dir "$out" --arg listen "127.0.0.1:$port" --arg pve "http://127.0.0.1:$pve" --arg dead "http://127.0.0.1:$dead" '{
        listen_addr: $listen, audit_log_path: ($dir + "/audit.log"), state_path: ($dir + "/state.db"),
        principals: ($people + [$robot, $chief]), log: {level: "warning"},
        environments: [
            {name: "cloud", base_url: $pve, token_id: "agent@pve!cloud", token_secret_env: "CLOUD_SECRET"},
            {name: "dead", base_url: $dead, token_id: "agent@pve!dead", token_secret_env: "DEAD_SECRET"}
        ]
    }' >"$out/config.json"

"$agent" simulate --listen "127.0.0.1:$pve" --name cloud --guests 5000 --task-ms 300 >"$out/pve.log" 2>&1 &
pids+=($!)
"$out/attack" hang "$dead" >"$out/dead.log" 2>&1 &
pids+=($!)
"$agent" serve --config "$out/config.json" >"$out/agent.log" 2>&1 &
served=$!
pids+=("$served")

# api NAME METHOD PATH [BODY]
api() {
    curl --silent --max-time 20 --request "$2" --header "Authorization: Bearer $(token "$1")" \
        --header 'Content-Type: application/json' ${4:+--data "$4"} "http://127.0.0.1:$port$3"
}

deadline=$((SECONDS + 20))
until [[ $(api viewer GET /healthz 2>/dev/null) == '{"ok":true}' ]]; do
    ((SECONDS < deadline)) || fail "the agent does not start"
    sleep 0.1
done

# field PID FIELD: of /proc/PID/status, in MB.
field() { awk -v field="$2:" '$1 == field { printf "%.0f", $2 / 1024 }' "/proc/$1/status"; }

# What PVE has been told to change.
executed() { curl --silent "http://127.0.0.1:$pve/sim/executed"; }

written() { awk '$1 == "write_bytes:" { print $2 }' "/proc/$served/io"; }

# The freeze is one of an environment where nothing happens, but a freeze.
frozen='{"environment":"dead","reason":"attack","ttl":1}'
longest=0 peak=0

# under NAME CALLERS ATTACK...: one row. Each ATTACK is the words of an attacker, with the caller's name for the token.
under() {
    local name=$1 callers=$2 before after wait memory rate words freezing
    shift 2
    # From here on VmHWM is the peak of this phase.
    echo 5 >"/proc/$served/clear_refs" 2>/dev/null || true
    before=$(written)
    for words in "$@"; do
        read -ra words <<<"$words"
        "$out/attack" "${words[0]}" "$port" "$(token "${words[1]}")" "${words[@]:2}" >"$out/attacker.log" 2>&1 &
        attackers+=($!)
    done
    "$out/attack" freeze "$port" "$(token chief)" /v1/freeze "$frozen" "$phase" >"$out/freeze" 2>"$out/freeze.log" &
    freezing=$!
    wait "$freezing" || { cat "$out/freeze.log" >&2; fail "$name: a freeze was not answered"; }
    read -r wait _ <"$out/freeze"
    after=$(written)
    memory=$(field "$served" VmHWM)
    for pid in "${attackers[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    attackers=()
    kill -0 "$served" 2>/dev/null || fail "$name: the agent is gone"
    rate=$(((after - before) / 1024 / phase / callers))
    printf '| %-44s | %8s | %8s | %12s |\n' "$name" "$wait ms" "$memory MB" "$rate KB/s"
    ((wait <= longest)) || longest=$wait
    ((memory <= peak)) || peak=$memory
}

dry='{"environment":"cloud","action":"start_vm","target":"vm/100","dry_run":true}'
printf '| %-44s | %8s | %8s | %12s |\n' attack freeze memory 'written each'
echo '|---|--:|--:|--:|'
under "nothing" 1
poll='/v1/nodes?environment=dead'
under "600 polls of a viewer, each given up" 1 "leave viewer $poll 600"
under "600 polls of a viewer, held" 1 "hold viewer $poll 600"
under "40 readers of 2 MB that do not read" 1 "deaf viewer /v1/inventory?environment=cloud 40"
under "900 bodies without their end" 1 "body viewer /v1/actions/plan 900"
under "900 heads byte by byte" 1 "head viewer /v1/plans 900"
under "dry runs under keys, 4 at a time" 1 "repeat viewer /v1/actions/plan $dry" \
    "repeat viewer /v1/actions/plan $dry" "repeat viewer /v1/actions/plan $dry" "repeat viewer /v1/actions/plan $dry"
under "all of that" 2 "leave viewer $poll 600" "hold watcher $poll 600" \
    "deaf viewer /v1/inventory?environment=cloud 40" "body watcher /v1/actions/plan 900" "head viewer /v1/plans 900" \
    "repeat watcher /v1/actions/plan $dry"

# Thirty applies, and in the middle of them a freeze of everything: PVE gets nothing any more once it is answered.
guests=$(api robot GET '/v1/inventory?environment=cloud&state=running' |
    jq -r '[.result.data[] | select(.type == "qemu" and .template != 1) | .vmid] | .[:30] | .[]')
plans=()
for guest in $guests; do
    plans+=("$(api robot POST /v1/actions/plan \
        "{\"environment\":\"cloud\",\"action\":\"snapshot_vm\",\"target\":\"vm/$guest\",\"params\":{\"snapname\":\"attack\"}}" |
        jq -r .plan_id)")
done
((${#plans[@]} == 30)) || fail "there are ${#plans[@]} plans to apply, not 30"
applies=()
for plan in "${plans[@]}"; do
    api robot POST /v1/actions/apply "{\"plan_id\":\"$plan\"}" >/dev/null &
    applies+=($!)
done
# In the middle: when PVE has had some calls.
deadline=$((SECONDS + 20))
until (($(executed | jq '.executed | length') >= 4 || SECONDS >= deadline)); do :; done
start=$(date +%s%N)
status=$(api chief POST /v1/freeze '{"reason":"in the middle"}' | jq -r .reason)
answered=$(date +%s%N)
[[ $status == "in the middle" ]] || fail "the freeze in the middle was not answered"
wait "${applies[@]}" || true
sleep 1
calls=$(executed)
total=$(jq '.executed | length' <<<"$calls")
late=$(jq --argjson answered "$answered" '[.executed[] | select(.at * 1e9 > $answered)] | length' <<<"$calls")
took=$(((answered - start) / 1000000))
((took <= longest)) || longest=$took
echo
echo "a freeze in the middle of 30 applies: answered after $took ms, $total calls before it, $late after"
echo "longest wait for a freeze: $longest ms (aim $aim_ms ms); peak memory: $peak MB (aim $aim_mb MB); threads: $(
    awk '$1 == "Threads:" { print $2 }' "/proc/$served/status"
)"
((total > 0 && total < 30)) || echo "note: the freeze did not come in the middle"
((peak <= 4 * aim_mb)) || fail "the agent took $peak MB"
((late == 0)) || fail "PVE got $late calls after the freeze had been answered"
kill -0 "$served" 2>/dev/null || fail "the agent is gone"
