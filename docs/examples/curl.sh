#!/usr/bin/env bash
# From a look around to a change, with curl and jq.
#
#   curl.sh                        looks around: environments, guests, actions
#   curl.sh ENVIRONMENT TARGET     also takes a snapshot of vm/ID or lxc/ID: dry run, plan, apply, follow
#
# PROXMOX_AGENT_URL is the agent's address, PROXMOX_AGENT_TOKEN a token with the role operator.
set -euo pipefail
: "${PROXMOX_AGENT_URL:?is the address of the agent}" "${PROXMOX_AGENT_TOKEN:?is the token}"

stop() {
    printf '%s\n' "$*" >&2
    exit 1
}

reply=$(mktemp)
trap 'rm -f "$reply"' EXIT

# ask METHOD PATH [BODY [CURL-OPTION ...]]: sets $answer; where the agent refuses, it says why and ends.
ask() {
    local method=$1 path=$2 body=${3-} status
    shift $(($# < 3 ? $# : 3))
    if [[ -n $body ]]; then set -- --header 'Content-Type: application/json' --data "$body" "$@"; fi
    # The token goes through a pipe: other users of the machine can read a command's arguments.
    # After 429 and 503 curl waits for as long as Retry-After says, and asks again.
    status=$(curl --silent --show-error --compressed --max-time 75 --retry 5 --request "$method" --output "$reply" \
        --write-out '%{http_code}' --config <(printf 'header = "Authorization: Bearer %s"\n' "$PROXMOX_AGENT_TOKEN") \
        "$@" "$PROXMOX_AGENT_URL$path") || stop "$PROXMOX_AGENT_URL gave no answer"
    answer=$(<"$reply")
    ((status < 400)) ||
        stop "refused: $(jq --raw-output '"\(.code): \(.detail)"' <<<"$answer" 2>/dev/null || printf 'status %s' "$status")"
}
show() { jq --raw-output "$@" <<<"$answer"; }

echo "environments:"
ask GET /v1/environments
show '.environments[] | "  \(.name)"'

echo "the first running guests, of all environments:"
ask GET '/v1/inventory?state=running&fields=name&limit=5'
show '.result | (.data[] | "  \(.environment)  \(.type)/\(.vmid)  \(.name)"), "  \(.matched) in all",
    (.environments[] | select(.status != "ok") | "  none of \(.name): \(.error.code)")'

echo "actions on snapshots:"
ask GET /v1/actions
show '.actions[] | select(.name | contains("snapshot")) | "  \(.name): \(.summary)"'

[[ $# == 2 ]] || exit 0

case $2 in
    vm/*) action=snapshot_vm ;;
    lxc/*) action=snapshot_container ;;
    *) stop "the target must be vm/ID or lxc/ID" ;;
esac
request=$(jq --null-input --arg environment "$1" --arg action "$action" --arg target "$2" \
    --arg name "example-$(date +%Y%m%d-%H%M%S)" \
    '{environment: $environment, action: $action, target: $target, params: {snapname: $name}, reason: "an example"}')

echo "a dry run changes nothing, and shows the calls to Proxmox VE:"
ask POST /v1/actions/apply "$(jq '. + {dry_run: true}' <<<"$request")"
show '.result.data.calls[] | "  \(.method) \(.path)"'

echo "the plan:"
# With a key of its own the request can be sent again when its answer was lost: there is one plan all the same.
ask POST /v1/actions/plan "$request" --header "Idempotency-Key: $(</proc/sys/kernel/random/uuid)"
plan=$(show .plan_id)
show '"  \(.plan_id)  \(.state): \(.decision.reason)"'
case $(show .state) in
    approved) ;;
    awaiting_approval) stop "a person with the role approver decides: proxmox-agent approve $plan" ;;
    *) exit 1 ;;
esac

echo "the operation:"
# The answer comes when it has ended, after 20 s at the latest.
ask POST /v1/actions/apply "$(jq --null-input --arg plan "$plan" '{plan_id: $plan}')" --header 'Prefer: wait=20'
operation=$(show .operation.operation_id)
ask GET "/v1/operations/$operation"
while [[ $(show .state) == queued || $(show .state) == running ]]; do
    ask GET "/v1/operations/$operation?wait=30"
done
show '"  \(.operation_id)  \(.state): \(.message)"'
[[ $(show .state) == succeeded* ]]
