# shellcheck shell=bash disable=SC2154
# Schemathesis holds the live agent against its own description: positive and negative data, all checks, and the links
# from plan to approval, apply and operation. EXAMPLES sets how many examples each route gets; 2000 is for a night.
#
# Event streams have no end, so they are left out. The served description cannot name the environments and the machines,
# so the copy that data is made from does.
serve '.limits.requests_per_minute = 1000000000
    | .principals |= map(if .id == "operator" then .roles = ["operator", "approver", "auditor", "administrator", "emergency"] else . end)'
curl --silent --show-error --fail --noproxy '*' "$base/openapi.json" | jq '
    walk(if type == "object" and .pattern == "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" then {type, enum: ["home", "cloud"]} else . end)
' >"$work/openapi.json"
cat >"$work/schemathesis.toml" <<'END'
# What the description documents, and what no schema can say, is no fault.
[checks]
# PVE refuses, or does not answer: 502 and 504 are documented. 304 answers If-None-Match.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "502", "504"]

# Parameters of an action depend on each other.
[[operations]]
include-name = "POST /v1/actions/plan"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409", "422", "502", "504"]

[[operations]]
include-name = "POST /v1/policy/explain"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409", "422", "502", "504"]

[[operations]]
include-name = "POST /v1/actions/apply"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409", "410", "422", "502", "504"]

# Base64 and the forms of a signature are stricter than a pattern can say; of token, code and passkey one is given.
[[operations]]
include-name = "POST /v1/plans/{id}/approvals"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409", "410", "422"]

[[operations]]
include-name = "POST /v1/session"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "429"]

# Records may name environments that are configured no more.
[[operations]]
include-name = "GET /v1/audit"
checks.negative_data_rejection.expected-statuses = ["200", "400", "401", "403", "404"]

# What a method takes, the protocol's own schema says; a notification is taken whatever its headers.
[[operations]]
include-name = "POST /mcp"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]
checks.negative_data_rejection.expected-statuses = ["202", "400", "401", "403", "404", "405", "406", "409", "415", "422", "428", "429"]

# A plan expires.
[[operations]]
include-name = "DELETE /v1/plans/{id}"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404", "409", "410"]

# A plan that was cancelled with DELETE can still be looked at.
[[operations]]
include-name = "GET /v1/plans/{id}"
checks.use_after_free.enabled = false

# An id goes without environment and by; without an id, freezes that are not there are unknown.
[[operations]]
include-name = "DELETE /v1/freeze"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]

# Only an operation whose outcome is unknown can be settled, and no simulator makes one by itself.
[[operations]]
include-name = "POST /v1/operations/{id}/resolve"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]
END
python schemathesis schemathesis==4.32.5
cd "$work" || exit

# hold NAME ARGUMENT ...: one run, with one worker: Hypothesis is not made for threads. SEED repeats a run.
hold() {
    local name=$1 report=$work/report-$1
    shift
    "$venv/bin/schemathesis" --config-file "$work/schemathesis.toml" run "$work/openapi.json" --url "$base" "$@" \
        --header "Authorization: Bearer $operator_token" --checks all --mode all --max-examples "${EXAMPLES:-100}" \
        ${SEED:+--seed "$SEED"} --workers 1 --continue-on-failure --generation-database none --no-color \
        >"$report" || {
        cat "$report"
        fail "schemathesis found something in $name"
    }
    grep --extended-regexp 'generated|passed' "$report"
}

# Side by side what has nothing to do with each other. Sign-ins are slowed on purpose.
others='^/(mcp|v1/(session|sessions|notifications|audit))'
(hold sessions --include-path-regex "$others") &
beside=$!
(hold plans --exclude-path-regex "$others" --exclude-path /v1/events --exclude-path /v1/freeze) || status=1
wait "$beside" || status=1
((${status:-0} == 0)) || exit 1
# By themselves and last: under a freeze nothing else can be tried.
hold freezes --include-path /v1/freeze
