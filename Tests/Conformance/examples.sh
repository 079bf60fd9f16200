# shellcheck shell=bash disable=SC2154
# Runs every example in docs/examples against a live agent: what it shows, what it changes, and how it fails.
examples=$root/docs/examples
nightly=$examples/nightly-snapshots/nightly-snapshots.sh
python examples requests==2.34.2 mcp==2.3.0
interpreter=$venv/bin/python

# prints STATUS TEXT COMMAND ...: its exit status, and a part of what it prints.
prints() {
    local status=0 expected=$1 text=$2
    shift 2
    timeout 120 "$@" >"$work/out" 2>&1 || status=$?
    sed 's/^/   /' "$work/out"
    [[ $status == "$expected" ]] || fail "expected exit status $expected, got $status: $*"
    grep --quiet --fixed-strings -e "$text" "$work/out" || fail "the output does not have: $text"
}
# ask TOKEN PATH [BODY]
ask() {
    curl --silent --show-error --noproxy '*' --header "Authorization: Bearer $1" --header 'Content-Type: application/json' \
        ${3:+--data "$3"} "$base$2"
}
# holds FILTER TOKEN PATH [BODY]: something about an answer.
holds() {
    local answer
    answer=$(ask "${@:2}")
    jq --exit-status "$1" <<<"$answer" >/dev/null || fail "$3: $1 does not hold: $answer"
}
status_of() {
    ask "$operator_token" "/v1/inventory?environment=$1&fields=status" | jq --raw-output ".result.data[] | select(.vmid == $2).status"
}
# has HOW-MANY TARGET SNAPSHOT: snapshots of a guest in home whose names begin so.
has() {
    holds "[.result.data[].name | select(startswith(\"$3\"))] | length == $1" "$operator_token" /v1/actions/apply \
        "{\"environment\": \"home\", \"action\": \"read_snapshots\", \"target\": \"$2\"}"
}
as_operator() {
    export PROXMOX_AGENT_URL=$base PROXMOX_AGENT_TOKEN=$operator_token no_proxy='*' PYTHONDONTWRITEBYTECODE=1
}

say "each example is in the table"
for file in "$examples"/*; do
    name=$(basename "$file")
    [[ $name == README.md || $name == __pycache__ ]] || grep --quiet --fixed-strings -e "| [$name]($name) |" "$examples/README.md" ||
        fail "docs/examples/README.md does not name $name"
done

# A snapshot of vm/100 needs an approval.
serve '. + {policy: {rules: [{id: "ask", effect: "require_approval", actions: ["snapshot_vm"], targets: ["vm/100"]}]}}'
as_operator

say "curl.sh"
prints 0 '43 in all' "$examples/curl.sh"
prints 0 'succeeded: OK' "$examples/curl.sh" home vm/101
has 1 vm/101 example-
prints 1 'vm/9999' "$examples/curl.sh" home vm/9999
prints 1 'proxmox-agent approve pln_' "$examples/curl.sh" home vm/100

say "inventory_and_plan.py"
prints 0 'status: running → stopped' "$interpreter" "$examples/inventory_and_plan.py" pihole shutdown
prints 0 'cloud: 38 running' "$interpreter" "$examples/inventory_and_plan.py" homeassistant reboot
holds '.plans[0] | .request.target == "vm/102" and .state == "awaiting_approval"' "$operator_token" '/v1/plans?limit=1'
prints 1 '0 guests have the name nobody' "$interpreter" "$examples/inventory_and_plan.py" nobody reboot
prints 1 'refused: unknown_action' "$interpreter" "$examples/inventory_and_plan.py" homeassistant dance

say "mcp_client.py"
prints 0 'next: an approver decides' "$interpreter" "$examples/mcp_client.py" home lxc/110
holds '.plans[0] | .request.action == "stop_container" and .state == "awaiting_approval"' "$operator_token" '/v1/plans?limit=1'
prints 1 'refused: unknown_environment' "$interpreter" "$examples/mcp_client.py" nowhere vm/102

# decide DECISION STATUS TEXT: agent_loop.py wants to stop vm/102; once it listens, the approver decides.
decide() {
    : >"$work/out"
    local before plan status=0
    before=$(grep --count '"/v1/events"' "$work/log" || true)
    timeout 60 "$interpreter" "$examples/agent_loop.py" --patience 50 home stop_vm vm/102 >"$work/out" 2>&1 &
    local loop=$!
    for _ in $(seq 200); do
        [[ $(grep --count '"/v1/events"' "$work/log") -le $before ]] || break
        sleep 0.1
    done
    plan=$(sed -n "s/^→ wait_for_approval .*'\(pln_[a-z0-9]*\)'.*/\1/p" "$work/out")
    [[ $(status_of home 102) == running ]] || fail "vm/102 does not run any more"
    holds '.state == "awaiting_approval"' "$approver_token" "/v1/plans/$plan"
    holds '.plan_hash' "$approver_token" "/v1/plans/$plan/approvals" \
        "$(ask "$approver_token" "/v1/plans/$plan" | jq --arg decision "$1" '{decision: $decision, plan_hash, reason: "not tonight"}')"
    local decided=$SECONDS
    wait "$loop" || status=$?
    ((SECONDS - decided < 25)) || fail "agent_loop.py heard of the decision only when its patience ended"
    sed 's/^/   /' "$work/out"
    [[ $status == "$2" ]] || fail "agent_loop.py ended with $status"
    grep --quiet '^← approval_required' "$work/out" || fail "the first apply was not refused"
    grep --quiet --fixed-strings -e "$3" "$work/out" || fail "the output does not have: $3"
}

say "agent_loop.py: rejected, nobody there, approved, no approval needed"
decide reject 1 'rejected by approver: not tonight'
prints 1 'nobody decided in time; the plan is cancelled' "$interpreter" "$examples/agent_loop.py" --patience 1 home stop_vm vm/102
holds '.plans[0].state == "cancelled"' "$operator_token" '/v1/plans?limit=1'
decide approve 0 'stop_vm vm/102 succeeded'
[[ $(status_of home 102) == stopped ]] || fail "vm/102 was not stopped"
prints 0 'start_vm vm/102 succeeded' "$interpreter" "$examples/agent_loop.py" home start_vm vm/102
prints 1 'denied: ' "$interpreter" "$examples/agent_loop.py" home start_vm vm/9999

say "nightly-snapshots"
tonight=nightly-$(date +%Y-%m-%d)
# tag TARGET: gives it the tag nightly.
tag() {
    local plan action=tag_container
    [[ $1 == lxc/* ]] || action=tag_vm
    plan=$(ask "$operator_token" /v1/actions/plan \
        "{\"environment\": \"home\", \"action\": \"$action\", \"target\": \"$1\", \"params\": {\"add\": [\"nightly\"]}}")
    plan=$(curl --silent --noproxy '*' --header "Authorization: Bearer $operator_token" --header 'Content-Type: application/json' \
        --header 'Prefer: wait=20' --data "$(jq '{plan_id}' <<<"$plan")" "$base/v1/actions/apply")
    [[ $(jq --raw-output .result.status <<<"$plan") == succeeded ]] || fail "$1 has no tag: $plan"
}
for target in vm/100 vm/101 vm/103 lxc/110; do tag "$target"; done
# As the unit has it: the token is a credential.
mkdir "$work/credentials"
(umask 077 && printf '%s\n' "$operator_token" >"$work/credentials/token")
as_unit() { env --unset=PROXMOX_AGENT_TOKEN CREDENTIALS_DIRECTORY="$work/credentials" "$nightly" "$@"; }
export -f as_unit
export nightly work
prints 0 "home vm/101 (nas): $tonight" bash -c as_unit
grep --quiet 'home vm/100 (router): plan pln_.* waits for an approval' "$work/out" || fail "vm/100 does not wait"
has 1 vm/101 "$tonight"
has 1 lxc/110 "$tonight"
has 0 vm/100 "$tonight"
has 0 vm/103 "$tonight" # it does not run
prints 0 "home lxc/110 (pihole): has $tonight already" bash -c as_unit
has 1 vm/101 "$tonight"
prints 0 'no running guest has the tag no-such-tag' "$nightly" no-such-tag
if [[ -n $(command -v systemd-analyze) ]]; then
    mkdir "$work/units"
    cp "$examples"/nightly-snapshots/*.timer "$work/units"
    sed "s|/usr/local/bin/nightly-snapshots.sh|$nightly|" "$examples/nightly-snapshots/nightly-snapshots.service" >"$work/units/nightly-snapshots.service"
    systemd-analyze verify --man=no "$work"/units/nightly-snapshots.{service,timer} >"$work/out" 2>&1 || fail "systemd-analyze verify: $(cat "$work/out")"
    [[ ! -s $work/out ]] || fail "systemd-analyze verify: $(cat "$work/out")"
fi

# every STATUS TEXT: each of the five.
every() {
    prints "$1" "$2" "$examples/curl.sh"
    prints "$1" "$2" "$interpreter" "$examples/inventory_and_plan.py" homeassistant reboot
    prints "$1" "$2" "$interpreter" "$examples/mcp_client.py" home vm/102
    prints "$1" "$2" "$interpreter" "$examples/agent_loop.py" --patience 1 home stop_vm vm/102
    prints "$1" "$2" "$nightly"
}
say "a freeze"
holds .id "$approver_token" /v1/freeze '{"reason": "a storm"}'
prints 1 'frozen: ' "$nightly" production
[[ $(grep --count frozen "$work/out") == 1 ]] || fail "it went on"
prints 1 'refused: frozen' "$interpreter" "$examples/agent_loop.py" home start_vm vm/103
curl --silent --show-error --noproxy '*' --request DELETE --header "Authorization: Bearer $approver_token" "$base/v1/freeze" |
    jq --exit-status 'has("code") | not' >/dev/null || fail "the freeze was not lifted"

say "no address, a wrong token, no agent"
prints 1 "set 'PROXMOX_AGENT_URL'" env --unset=PROXMOX_AGENT_URL "$interpreter" "$examples/agent_loop.py" home start_vm vm/103
PROXMOX_AGENT_TOKEN=wrong every 1 'unauthenticated: '
PROXMOX_AGENT_URL=http://127.0.0.1:1 every 1 'http://127.0.0.1:1 gave no answer'

say "too many requests, and an environment that does not answer"
kill -TERM "$agent_pid"
wait "$agent_pid" || true
serve '. + {limits: {requests_per_minute: 60}} | .environments += [.environments[0] + {name: "gone", base_url: "http://127.0.0.1:1"}]'
as_operator
refused() { jq --raw-input 'fromjson? | select(.status == 429).status' "$work/log" | wc --lines; }
# waits STATUS TEXT COMMAND ...: the caller's requests are used up; the command is refused, waits and goes on.
waits() {
    local before status=
    while [[ $status != 429 ]]; do
        status=$(curl --silent --noproxy '*' --output "$work/freeze" --write-out '%{http_code}' \
            --header "Authorization: Bearer $operator_token" "$base/v1/freeze")
    done
    before=$(refused)
    prints "$@"
    (($(refused) > before)) || fail "was not refused: ${*:3}"
}
waits 0 'in all' "$examples/curl.sh"
waits 0 'no guests of gone: ' "$interpreter" "$examples/inventory_and_plan.py" homeassistant reboot
waits 0 'next: an approver decides' "$interpreter" "$examples/mcp_client.py" home vm/101
waits 1 'nobody decided in time' "$interpreter" "$examples/agent_loop.py" --patience 1 home stop_vm vm/102
waits 1 'no list of guests of gone' "$nightly" iot
grep --quiet --fixed-strings "home vm/102 (homeassistant): $tonight" "$work/out" || fail "vm/102 has no snapshot"
