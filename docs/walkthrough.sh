#!/usr/bin/env bash
# Two principals and a crash: an agent plans, a person approves on the command line, the agent applies, the service is
# killed in the middle, and what it had begun is followed to its end. The section "Two principals" of
# docs/principals-and-policy.md, checked.
#
#   docs/walkthrough.sh                     the newest build in .build
#   PROXMOX_AGENT=/path/to/it docs/walkthrough.sh
#
# Starts a simulated Proxmox VE and a service of its own on free loopback ports, with their own directory and tokens,
# and stops them again. The exit status is 0 only if every step held. Needs curl and jq.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/proxmox-agent-walkthrough.XXXXXX")
simulator_pid=
agent_pid=
base=
reply_status=
reply_body=

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }

fail() {
    printf '\nfailed: %s\n' "$*" >&2
    if [[ -n $reply_body ]]; then printf 'the last answer: %s %s\n' "$reply_status" "$reply_body" >&2; fi
    if [[ -s $work/log ]]; then tail -n 20 "$work/log" >&2; fi
    exit 1
}

# Ends what was started, by process id, and takes the directory away.
clean_up() {
    local pid
    for pid in $agent_pid $simulator_pid; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT

for tool in curl jq; do
    command -v "$tool" >/dev/null || fail "$tool is needed: apt-get install $tool"
done

# The binary: the one that was named, else the newest build.
find_agent() {
    if [[ -n ${PROXMOX_AGENT:-} ]]; then
        printf '%s\n' "$PROXMOX_AGENT"
        return
    fi
    local newest='' candidate
    for candidate in "$root"/.build/debug/proxmox-agent "$root"/.build/release/proxmox-agent; do
        if [[ -x $candidate ]] && [[ -z $newest || $candidate -nt $newest ]]; then newest=$candidate; fi
    done
    printf '%s\n' "$newest"
}

# wait_for PID FILE JQ-FILTER: the first text that the filter finds in a log of a process that runs.
wait_for() {
    local pid=$1 file=$2 filter=$3 found
    for _ in $(seq 200); do
        kill -0 "$pid" 2>/dev/null || fail "process $pid ended at once: $(<"$file")"
        found=$(jq --raw-input --raw-output "$filter" "$file" | head -n 1)
        if [[ -n $found ]]; then
            printf '%s\n' "$found"
            return
        fi
        sleep 0.1
    done
    fail "nothing in $file after 20 s"
}

# Starts the service on what its directory holds; it listens on another port each time.
start_agent() {
    : >"$work/log"
    PVE_HOME_TOKEN_SECRET=any "$agent" --config "$work/config.json" 2>"$work/log" &
    agent_pid=$!
    base=http://$(wait_for "$agent_pid" "$work/log" 'fromjson? | select(.msg == "listening").address')
    note "it listens on $base, process $agent_pid"
}

# call METHOD PATH [BODY]: what pi-agent asks; sets reply_status and reply_body.
call() {
    local method=$1 path=$2 body=${3:-}
    local arguments=(--silent --show-error --noproxy '*' --max-time 75 --request "$method"
        --header "Authorization: Bearer $agent_token" --output "$work/body" --write-out '%{http_code}')
    if [[ -n $body ]]; then arguments+=(--header 'Content-Type: application/json' --data "$body"); fi
    note "pi-agent: $method $path${body:+  $body}"
    reply_status=$(curl "${arguments[@]}" "$base$path") || fail "curl could not do $method $path"
    reply_body=$(<"$work/body")
}

# expect STATUS [JQ-CONDITION]: holds the last answer against both.
expect() {
    local status=$1 condition=${2:-true}
    [[ $reply_status == "$status" ]] || fail "expected status $status, got $reply_status"
    jq --exit-status "$condition" <<<"$reply_body" >/dev/null || fail "this does not hold: $condition"
    note "→ $reply_status, and it holds that: $condition"
}

field() { jq --raw-output "$1" <<<"$reply_body"; }

# alice ARGUMENTS…: what the person types; sets reply_status and reply_body to exit status and output.
alice() {
    note "alice: proxmox-agent $*"
    reply_status=0
    reply_body=$(PROXMOX_AGENT_URL=$base PROXMOX_AGENT_TOKEN=$alice_token "$agent" "$@" 2>&1) || reply_status=$?
    while IFS= read -r line; do note "    $line"; done <<<"$reply_body"
}

# saw STATUS TEXT: holds exit status and output of the last command against both.
saw() {
    [[ $reply_status == "$1" ]] || fail "expected exit status $1"
    [[ $reply_body == *"$2"* ]] || fail "the output does not hold: $2"
}

# How often the simulated Proxmox VE was told to stop the machine.
stops() {
    curl --silent --show-error --noproxy '*' "$pve/sim/executed" |
        jq '[.executed[] | select(.method == "POST" and .path == "/nodes/pve/qemu/102/status/stop")] | length'
}

agent=$(find_agent)
[[ -n $agent && -x $agent ]] || fail "no build found; run make build, or name the binary in PROXMOX_AGENT"

say "Start a simulated Proxmox VE whose tasks take 5 seconds: $agent"
"$agent" simulate --listen 127.0.0.1:0 --name home --task-ms 5000 2>"$work/pve" &
simulator_pid=$!
pve=http://$(wait_for "$simulator_pid" "$work/pve" 'capture("listens on (?<address>.*)$").address')
note "it listens on $pve, process $simulator_pid"

say "Make a token for an agent that plans and for a person who approves"
agent_entry=$("$agent" token new pi-agent --role operator --json)
alice_entry=$("$agent" token new alice --role approver --json)
agent_token=$(jq --raw-output .token <<<"$agent_entry")
alice_token=$(jq --raw-output .token <<<"$alice_entry")
jq --null-input --arg work "$work" --arg pve "$pve" --argjson agent "$agent_entry" --argjson alice "$alice_entry" '{
    listen_addr: "127.0.0.1:0", audit_log_path: "\($work)/audit.log", state_path: "\($work)/state.db",
    log: {format: "json"},
    environments: [
        {name: "home", base_url: $pve, token_id: "agent@pve!home", token_secret_env: "PVE_HOME_TOKEN_SECRET"}
    ],
    principals: [$agent.principal, $alice.principal]
}' >"$work/config.json"
if grep --quiet --fixed-strings -e "$agent_token" -e "$alice_token" "$work/config.json"; then
    fail "the configuration holds a token"
fi
jq --compact-output '.principals[]' "$work/config.json" | while IFS= read -r line; do note "$line"; done

say "Start the service"
start_agent
call GET /readyz
expect 200 '.ok == true'

say "The agent plans to stop vm/102; nothing happens by that"
request='{"environment":"home","action":"stop_vm","target":"vm/102","reason":"new disk"}'
call POST /v1/actions/plan "$request"
expect 200 '.state == "awaiting_approval" and .requires == {"approvals": 1, "assurance": "verified"}'
plan=$(field .plan_id)
hash=$(field .plan_hash)
call POST /v1/actions/apply "{\"plan_id\":\"$plan\"}"
expect 403 '.code == "approval_required"'
call POST "/v1/plans/$plan/approvals" "{\"decision\":\"approve\",\"plan_hash\":\"$hash\"}"
expect 403 '.code == "forbidden"'

say "The person looks at it, and approves exactly what was shown"
alice plans --state awaiting_approval
saw 0 "$plan  awaiting approval"
alice plan show "$plan"
saw 0 'status  running → stopped'
shown=$(sed -n 's/^approve: *proxmox-agent //p' <<<"$reply_body")
[[ $shown == "approve $plan --hash "* ]] || fail "plan show does not say how to approve it"
alice approve "$plan" --hash 0123456789abcdef
saw 1 plan_hash_mismatch
read -ra words <<<"$shown"
alice "${words[@]}" --reason "the disk is here"
saw 0 'approvals: 1 of 1 (alice)'

say "The agent applies it"
call POST /v1/actions/apply "{\"plan_id\":\"$plan\"}"
expect 202 '.operation.state == "running" and (.operation.upid | startswith("UPID:pve:"))'
operation=$(field .operation.operation_id)
upid=$(field .operation.upid)
[[ $(stops) == 1 ]] || fail "Proxmox VE was told to stop it $(stops) times"

say "In the middle of it the service is killed"
call GET "/v1/operations/$operation"
expect 200 '.state == "running"'
kill -KILL "$agent_pid"
wait "$agent_pid" 2>/dev/null || true
note "process $agent_pid got SIGKILL"
agent_pid=
alice operation show "$operation"
saw 1 'cannot be reached'

say "Started again, it goes on where it was"
start_agent
alice operation show "$operation" --wait
saw 0 "$operation  stop_vm vm/102 on home  succeeded"
saw 0 "$upid"
saw 0 'alice (verified)'
alice operation log "$operation"
saw 0 'TASK OK'
[[ $(stops) == 1 ]] || fail "Proxmox VE was told to stop it $(stops) times"
note "Proxmox VE was told to stop it once"
call POST /v1/actions/apply "{\"plan_id\":\"$plan\"}"
expect 409 ".code == \"plan_consumed\" and .operation_id == \"$operation\""
call GET "/v1/plans/$plan"
expect 200 '.state == "applied" and .approvals[0].approver == "alice"'
call GET '/v1/inventory?environment=home&state=running'
expect 200 'all(.result.data[]; .vmid != 102)'

say "Stop the service: it finishes and exits with 0"
kill -TERM "$agent_pid"
status=0
wait "$agent_pid" || status=$?
agent_pid=
[[ $status == 0 ]] || fail "it exited with $status"

say "Everything is in the audit log, and its chain is whole"
"$agent" audit verify "$work/audit.log" || fail "audit verify found a flaw"
kinds=$(jq --raw-output --arg plan "$plan" 'select(.plan_id == $plan).kind' "$work/audit.log" | paste -sd ' ')
note "the records of plan $plan: $kinds"
[[ $kinds == "plan refuse approve apply_intent apply refuse" ]] || fail "other records than expected"

say "A policy is tried on what was asked for, before it is in force"
printf '{"rules": [{"id": "no-starts", "match": {"actions": ["start_vm"]}, "effect": "deny"}]}' >"$work/same.json"
printf '{"rules": [{"id": "no-stops", "match": {"actions": ["stop_*"]}, "effect": "deny"}]}' >"$work/stricter.json"
PVE_HOME_TOKEN_SECRET=any "$agent" policy replay --audit "$work/audit.log" --config "$work/config.json" "$work/same.json" \
    >"$work/replay" || fail "a policy that says nothing about these plans decides them differently: $(<"$work/replay")"
if PVE_HOME_TOKEN_SECRET=any "$agent" policy replay --audit "$work/audit.log" --config "$work/config.json" \
    "$work/stricter.json" >"$work/replay"; then fail "a policy that denies the plan changes nothing"; fi
grep --quiet 'stop_vm vm/102 in home: approval → deny' "$work/replay" ||
    fail "the plan is not among the differences: $(<"$work/replay")"
while IFS= read -r line; do note "$line"; done <"$work/replay"

say "A record that is edited afterwards does not stay unnoticed"
sed 's/"principal":"alice"/"principal":"mallory"/' "$work/audit.log" >"$work/edited.log"
if "$agent" audit verify "$work/edited.log" 2>"$work/finding"; then fail "audit verify took an edited log for whole"; fi
note "$(<"$work/finding")"

printf '\nAll steps held.\n'
