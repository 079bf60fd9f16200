# Others take the notifications: Python's standardwebhooks verifies signatures, aiosmtpd takes mail in clear, with
# STARTTLS and with TLS, and the bodies for chats and push services are those that their documents ask for.
# shellcheck shell=bash
# shellcheck disable=SC2154 # serve sets the tokens

python notify standardwebhooks==1.0.1 aiosmtpd==1.4.6

say "destinations"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/certificate.pem" 2>"$work/openssl.log"
"$venv/bin/python" "$root/Tests/Conformance/notify/receiver.py" "$work" >"$work/receiver.log" 2>&1 &
receiver_pid=$!
trap 'kill "$receiver_pid" 2>/dev/null || true; wait "$receiver_pid" || true; clean_up' EXIT
for _ in $(seq 200); do
    [[ ! -s $work/ports.json ]] || break
    kill -0 "$receiver_pid" 2>/dev/null || fail "the receiver ended: $(cat "$work/receiver.log")"
    sleep 0.1
done
port() { jq --raw-output ".$1" "$work/ports.json"; }

umask 077
new="whsec_$(openssl rand -base64 32)"
old="whsec_$(openssl rand -base64 24)"
printf '%s\n%s\n' "$new" "$old" >"$work/secrets"
printf 'http://127.0.0.1:%s/slack/T0/B0/secret' "$(port http)" >"$work/slack"
printf 'http://127.0.0.1:%s/discord/1/secret' "$(port http)" >"$work/discord"
printf 'http://127.0.0.1:%s/mattermost/secret' "$(port http)" >"$work/mattermost"
printf 'app-token' >"$work/gotify"
printf 'the password' >"$work/password"
mail() { # ID SERVER
    printf '{"id": "%s", "kind": "email", "server": "%s", "from": "agent@example.com", "to": ["ops@example.com", "boss@example.com"], "username": "agent", "password_file": "%s", "tls": {"ca_file": "%s"}}' \
        "$1" "$2" "$work/password" "$work/certificate.pem"
}
serve ". + {public_url: \"https://agent.example:8443\", notify: [
    {id: \"hook\", kind: \"webhook\", url: \"https://localhost:$(port https)/hook?from=agent\", secret_file: \"$work/secrets\", tls: {ca_file: \"$work/certificate.pem\"}, events: [\"approval_wanted\", \"operation_ended\", \"freeze\"]},
    {id: \"ntfy\", kind: \"ntfy\", url: \"http://127.0.0.1:$(port http)/ntfy/ops\", events: [\"approval_wanted\"]},
    {id: \"gotify\", kind: \"gotify\", url: \"http://127.0.0.1:$(port http)/gotify\", token_file: \"$work/gotify\", events: [\"approval_wanted\"]},
    {id: \"slack\", kind: \"slack\", url_file: \"$work/slack\", events: [\"approval_wanted\"]},
    {id: \"discord\", kind: \"discord\", url_file: \"$work/discord\", events: [\"approval_wanted\"]},
    {id: \"mattermost\", kind: \"mattermost\", url_file: \"$work/mattermost\", events: [\"approval_wanted\"]},
    $(mail clear "smtp://127.0.0.1:$(port smtp)" | jq 'del(.tls) | . + {events: ["approval_wanted"]}'),
    $(mail starttls "smtp://localhost:$(port starttls)" | jq '. + {events: ["freeze"]}'),
    $(mail tls "smtps://localhost:$(port smtps)" | jq '. + {events: ["approval_wanted"]}')
]}"

say "what happens is told"
ask() {
    curl --silent --show-error --header "Authorization: Bearer $1" --header 'Content-Type: application/json' "${@:2}"
}
reason='<!channel> @everyone *bold* [x](http://evil.example) ‮reversed'
plan=$(ask "$operator_token" --data "$(jq --null-input --arg reason "$reason" \
    '{environment: "home", action: "stop_vm", target: "vm/101", reason: $reason}')" "$base/v1/actions/plan")
[[ $(jq --raw-output .state <<<"$plan") == awaiting_approval ]] || fail "the plan does not wait: $plan"
ask "$operator_token" --data '{"reason": "fire drill", "ttl": 60}' "$base/v1/freeze" >"$work/freeze"
"$venv/bin/python" "$root/Tests/Conformance/notify/check.py" "$work" "$(jq --raw-output .plan_id <<<"$plan")" "$new" "$old" ||
    fail "$(tail -n 5 "$work/receiver.log")"

say "the commands"
export PROXMOX_AGENT_URL=$base PROXMOX_AGENT_TOKEN=$approver_token
"$agent" notify test hook
"$agent" notify list --state delivered | grep --quiet 'Approval wanted' || fail "the list misses the notification"
"$agent" notify test nowhere 2>/dev/null && fail "a destination that is none was tried"
! grep --quiet --fixed-strings --file <(printf '%s\n%s\napp-token\nthe password\nB0/secret\n' "$new" "$old") \
    "$work/log" "$work/audit.log" || fail "a secret is in the log or in the audit log"
