#!/usr/bin/env bash
# One change from its plan to its audit record, against the built-in simulators.
#
#   docs/walkthrough.sh                     the newest build in .build
#   PROXMOX_AGENT=/path/to/it docs/walkthrough.sh
#
# Starts an agent of its own on a free loopback port, with its own directory and token, and stops it again. Every
# step is checked; the exit status is 0 only if all of them held. Needs curl and jq.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/proxmox-agent-walkthrough.XXXXXX")
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

# Ends the agent by its process id, and takes the directory away.
clean_up() {
    if [[ -n $agent_pid ]]; then
        kill -TERM "$agent_pid" 2>/dev/null || true
        wait "$agent_pid" 2>/dev/null || true
    fi
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

# call METHOD PATH [BODY]: sets reply_status and reply_body.
call() {
    local method=$1 path=$2 body=${3:-}
    local arguments=(--silent --show-error --noproxy '*' --max-time 75 --request "$method"
        --header "Authorization: Bearer $token" --header 'X-Actor-ID: pi-agent'
        --output "$work/body" --write-out '%{http_code}')
    if [[ -n $body ]]; then arguments+=(--header 'Content-Type: application/json' --data "$body"); fi
    note "$method $path${body:+  $body}"
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

agent=$(find_agent)
[[ -n $agent && -x $agent ]] || fail "no build found; run make build, or name the binary in PROXMOX_AGENT"

say "Start an agent: $agent"
# Token characters that stand in a header as they are.
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
cat >"$work/config.json" <<JSON
{
  "listen_addr": "127.0.0.1:0",
  "audit_log_path": "$work/audit.log",
  "log": {"format": "json"},
  "environments": [
    {"name": "home", "base_url": "simulator://home", "token_id": "agent@pve!home", "token_secret_env": "NOT_NEEDED"}
  ]
}
JSON
PROXMOX_AGENT_API_TOKEN=$token "$agent" --config "$work/config.json" 2>"$work/log" &
agent_pid=$!
for _ in $(seq 200); do
    kill -0 "$agent_pid" 2>/dev/null || fail "the agent ended at once"
    address=$(jq --raw-output 'select(.msg == "listening").address' "$work/log" 2>/dev/null || true)
    if [[ -n $address ]]; then break; fi
    sleep 0.1
done
[[ -n ${address:-} ]] || fail "the agent does not listen after 20 s"
base=http://$address
note "it listens on $address, process $agent_pid"
call GET /readyz
expect 200 '.ok == true'

say "Look before changing anything: vm/103 is there, and stopped"
call GET '/v1/inventory?environment=home'
expect 200 '.result.status == "ok" and any(.result.data[]; .vmid == 103 and .status == "stopped")'

say "Plan to delete it; planning changes nothing"
request='{"environment":"home","action":"delete_vm","target":"vm/103","reason":"the sandbox is no longer needed"}'
call POST /v1/actions/plan "$request"
expect 200 '.state == "awaiting_approval" and .decision.risk_level == "high" and .decision.requires_approval'
plan=$(field .plan_id)
note "plan $plan would send: $(field '.preview.calls[0] | "\(.method) \(.path)"')"
note "on this machine: $(field '.preview.observed | "\(.name) on \(.node), \(.status)"'), irreversible: $(field .preview.irreversible)"

say "Apply it without an approval: denied"
call POST /v1/actions/apply "{\"plan_id\":\"$plan\"}"
expect 403 '.code == "approval_required"'

say "Apply it approved by who asked for it: denied as well"
call POST /v1/actions/apply "{\"plan_id\":\"$plan\",\"approved_by\":\"pi-agent\"}"
expect 403 '.code == "self_approval"'

say "Apply it with the approval of somebody else"
call POST /v1/actions/apply "{\"plan_id\":\"$plan\",\"approved_by\":\"alice\"}"
if [[ $reply_status == 202 ]]; then expect 202 '.operation.operation_id | startswith("op_")'; else expect 200; fi
operation=$(field .operation.operation_id)

say "Follow PVE's task to its end"
call GET "/v1/operations/$operation?wait=30"
expect 200 '.state == "succeeded" and .message == "OK" and (.upid | startswith("UPID:"))'
note "the task was $(field .upid)"
call GET "/v1/operations/$operation/log"
expect 200 '.lines[-1] == "TASK OK"'

say "The plan is used up, and the machine is gone"
call GET "/v1/plans/$plan"
expect 200 '.state == "applied" and .approvals[0].approver == "alice" and .approvals[0].assurance == "declared"'
call POST /v1/actions/apply "{\"plan_id\":\"$plan\",\"approved_by\":\"alice\"}"
expect 409 ".code == \"plan_consumed\" and .operation_id == \"$operation\""
call GET '/v1/inventory?environment=home'
expect 200 'all(.result.data[]; .vmid != 103)'

say "Stop the agent: it finishes and exits with 0"
kill -TERM "$agent_pid"
status=0
wait "$agent_pid" || status=$?
agent_pid=
[[ $status == 0 ]] || fail "the agent exited with $status"

say "Everything is in the audit log, and its chain is whole"
"$agent" audit verify "$work/audit.log" || fail "audit verify found a flaw"
kinds=$(jq --raw-output --arg plan "$plan" 'select(.plan_id == $plan).kind' "$work/audit.log" | paste -sd ' ')
note "the records of plan $plan: $kinds"
[[ $kinds == "plan refuse refuse approve apply_intent apply refuse" ]] || fail "other records than expected"

say "A record that is edited afterwards does not stay unnoticed"
sed 's/"approver":"alice"/"approver":"mallory"/' "$work/audit.log" >"$work/edited.log"
if "$agent" audit verify "$work/edited.log" 2>"$work/finding"; then fail "audit verify took an edited log for whole"; fi
note "$(<"$work/finding")"

printf '\nAll steps held.\n'
