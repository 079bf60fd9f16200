#!/usr/bin/env bash
# Plans a snapshot of every running guest with a tag, and applies the plans that need no approval.
#
#   nightly-snapshots.sh [TAG]      the tag is `nightly` if none is given
#
# PROXMOX_AGENT_URL is the agent's address. The token, with the role operator, is in PROXMOX_AGENT_TOKEN or, as the unit
# has it, in the credential `token`. The exit status is 1 if a guest has no snapshot and nobody is asked for one.
# Old snapshots stay: deleting one (delete_snapshot) needs an approval.
set -euo pipefail
: "${PROXMOX_AGENT_URL:=http://127.0.0.1:8080}"
token=${PROXMOX_AGENT_TOKEN:-$(<"${CREDENTIALS_DIRECTORY:?has the token, or PROXMOX_AGENT_TOKEN}/token")}
tag=${1:-nightly}
snapshot=nightly-$(date +%Y-%m-%d)

reply=$(mktemp)
trap 'rm -f "$reply"' EXIT
failed=0

# ask METHOD PATH [BODY [CURL-OPTION ...]]: sets $answer; false if the agent refuses, and then $answer has `code` and `detail`.
ask() {
    local method=$1 path=$2 body=${3-} status
    shift $(($# < 3 ? $# : 3))
    if [[ -n $body ]]; then set -- --header 'Content-Type: application/json' --data "$body" "$@"; fi
    # The token goes through a pipe: other users of the machine can read a command's arguments.
    # After 429 and 503 curl waits for as long as Retry-After says, and asks again; also while the agent restarts.
    status=$(curl --silent --show-error --max-time 75 --retry 3 --retry-connrefused --request "$method" --output "$reply" \
        --write-out '%{http_code}' --config <(printf 'header = "Authorization: Bearer %s"\n' "$token") \
        "$@" "$PROXMOX_AGENT_URL$path") || {
        printf '%s gave no answer\n' "$PROXMOX_AGENT_URL" >&2
        exit 1
    }
    answer=$(<"$reply")
    ((status < 400))
}
show() { jq --raw-output "$@" <<<"$answer"; }
complain() {
    printf '%s\n' "$*" >&2
    failed=1
    # What is frozen for one guest is mostly frozen for all: the next night is soon enough.
    [[ $(show '.code?' 2>/dev/null) != frozen ]] || exit 1
}
why() { show '"\(.code): \(.detail)"' 2>/dev/null || printf 'an answer that is not the agent'\''s'; }

# take ENVIRONMENT ACTION TARGET NAME: one snapshot.
take() {
    local guest="$1 $3 ($4)" request operation plan
    request=$(jq --null-input --arg environment "$1" --arg action "$2" --arg target "$3" --arg name "$snapshot" \
        '{environment: $environment, action: $action, target: $target, params: {snapname: $name}, reason: "nightly snapshot"}')
    # With a key of its own the request can be sent again when its answer was lost: there is one plan all the same.
    ask POST /v1/actions/plan "$request" --header "Idempotency-Key: $(</proc/sys/kernel/random/uuid)" || {
        complain "$guest: $(why)"
        return
    }
    plan=$(show .plan_id)
    case $(show .state) in
        approved) ;;
        awaiting_approval)
            printf '%s: plan %s waits for an approval until %s\n' "$guest" "$plan" "$(show .expires_at)"
            return
            ;;
        *)
            # If its name is the only thing against it, this is the second run of the night.
            if [[ $(show '[.preview.checks[] | select(.level == "block").id] | join(" ")') == snapshot-name ]]; then
                printf '%s: has %s already\n' "$guest" "$snapshot"
            else
                complain "$guest: $(show '"\(.state): \(.decision.reason)"')"
            fi
            return
            ;;
    esac
    ask POST /v1/actions/apply "$(jq --null-input --arg plan "$plan" '{plan_id: $plan}')" --header 'Prefer: wait=60' ||
        # Not if curl asked again because the first answer was lost.
        [[ $(show .code) == plan_consumed ]] || {
        complain "$guest: $(why)"
        return
    }
    operation=$(show '.operation_id // .operation.operation_id')
    while ask GET "/v1/operations/$operation?wait=30" && [[ $(show .state) == queued || $(show .state) == running ]]; do :; done
    case $(show .state) in
        succeeded*) printf '%s: %s\n' "$guest" "$snapshot" ;;
        *) complain "$guest: $(show '"\(.state // .code): \(.message // .detail)"')" ;;
    esac
}

guests=
after=
while :; do
    ask GET "/v1/inventory?state=running&fields=name&limit=200&tag=$(jq --null-input --raw-output --arg tag "$tag" '$tag | @uri')$after" || {
        complain "no list of guests: $(why)"
        exit 1
    }
    guests+=$(show '.result.data[] | [.environment, .type, .vmid, .name] | @tsv')$'\n'
    # An environment that cannot be reached does not spoil the others.
    missing=$(show '[.result.environments[] | select(.status != "ok").name] | join(", ")')
    [[ -z $missing ]] || complain "no list of guests of $missing"
    after=$(show '.result.next // empty | @uri | "&after=" + .')
    [[ -n $after ]] || break
done

[[ $guests == *[!$'\n']* ]] || printf 'no running guest has the tag %s\n' "$tag"
while IFS=$'\t' read -r environment type id name; do
    case $type in
        qemu) take "$environment" snapshot_vm "vm/$id" "$name" ;;
        lxc) take "$environment" snapshot_container "lxc/$id" "$name" ;;
    esac
done <<<"$guests"
exit "$failed"
