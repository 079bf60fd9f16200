# Prometheus scrapes the agent, its rules load and its dashboard's queries run; promtool and the Python client read the
# texts. Needs Debian's package prometheus, which brings promtool.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2016 # serve sets the tokens; the queries have variables of their own

monitoring=$root/docs/monitoring
for program in prometheus promtool; do
    [[ -n $(command -v "$program") ]] || fail "$program is missing; sudo apt install prometheus"
done

say "rules and their unit tests"
promtool check rules "$monitoring/alerts.yml"
(cd "$monitoring" && promtool test rules alerts_test.yml)

say "both texts of a live scrape"
openssl rand -hex 32 >"$work/scrape-token"
chmod 600 "$work/scrape-token"
serve ". + {metrics: {token_file: \"$work/scrape-token\"}}"
scrape() {
    curl --silent --show-error --fail --header "Authorization: Bearer $(cat "$work/scrape-token")" "$@" "$base/metrics"
}
ask() {
    curl --silent --show-error --header "Authorization: Bearer $operator_token" --header 'Content-Type: application/json' "$@"
}
[[ $(curl --silent --output /dev/null --write-out '%{http_code}' "$base/metrics") == 401 ]] || fail "no token was needed"
# So that every kind of metric has counted.
guest=$(ask "$base/v1/inventory?environment=home" |
    jq '[.result.data[] | select(.type == "qemu" and .status == "stopped" and .template != 1).vmid][0]')
plan=$(ask --data "{\"environment\": \"home\", \"action\": \"start_vm\", \"target\": \"vm/$guest\"}" "$base/v1/actions/plan")
ask --header 'Prefer: wait=20' --data "$(jq '{plan_id}' <<<"$plan")" "$base/v1/actions/apply" |
    jq --exit-status '.result.status == "succeeded"' >"$work/applied" || fail "vm/$guest was not started: $plan"
curl --silent --output /dev/null --header 'Authorization: Bearer wrong' "$base/v1/plans"

scrape >"$work/scrape.txt"
found=$(promtool check metrics <"$work/scrape.txt" 2>&1) || fail "promtool check metrics: $found"
[[ -z $found ]] || fail "promtool check metrics: $found"
scrape --header 'Accept: application/openmetrics-text; version=1.0.0' >"$work/scrape.om"
python prometheus prometheus-client==0.26.0
"$venv/bin/python" - "$work/scrape.txt" "$work/scrape.om" <<'END'
import sys
from prometheus_client import parser as text
from prometheus_client.openmetrics import parser as openmetrics

def samples(families):
    return {(s.name, tuple(sorted(s.labels.items()))) for f in families for s in f.samples}

with open(sys.argv[1]) as one, open(sys.argv[2]) as other:
    found, opened = samples(text.text_fd_to_metric_families(one)), samples(openmetrics.text_fd_to_metric_families(other))
names = lambda all: {name for name, _ in all}
assert names(found) == names(opened), names(found) ^ names(opened)
assert len(opened) > 200, len(opened)
print(f"{len(names(opened))} names, {len(opened)} samples of OpenMetrics")
END

say "a scraping Prometheus"
# Below those that the kernel gives to whoever asks for any.
port=$(shuf --input-range 20000-31999 --head-count 1)
cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["$monitoring/alerts.yml"]
scrape_configs:
  - job_name: proxmox-agent
    authorization: {credentials_file: "$work/scrape-token"}
    static_configs: [{targets: ["${base#http://}"]}]
END
promtool check config "$work/prometheus.yml"
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" --web.listen-address="127.0.0.1:$port" \
    >"$work/prometheus.log" 2>&1 &
prometheus_pid=$!
trap 'kill "$prometheus_pid" 2>/dev/null || true; wait "$prometheus_pid" || true; clean_up' EXIT

# value QUERY: of the one sample that it gives; nothing otherwise.
value() {
    curl --silent --data-urlencode "query=$1" "http://127.0.0.1:$port/api/v1/query" |
        jq --raw-output 'select(.data.result | length == 1).data.result[0].value[1]'
}
# becomes QUERY VALUE
becomes() {
    local found=
    for _ in $(seq 150); do
        found=$(value "$1" || true)
        if [[ $found == "$2" ]]; then
            printf '%s = %s\n' "$1" "$2"
            return
        fi
        sleep 0.2
    done
    tail -n 5 "$work/prometheus.log" >&2
    fail "$1 is ${found:-nothing}, not $2, after 30 s"
}
becomes 'up{job="proxmox-agent"}' 1
becomes 'proxmox_agent_environment_up{environment="home"}' 1
becomes 'sum(proxmox_agent_operation_duration_seconds_count{environment="home", action="start_vm"})' 1
becomes 'proxmox_agent_auth_failures_total{credentials="wrong"}' 1
becomes 'scrape_samples_scraped > bool 200' 1

say "the dashboard's queries"
count=0
while IFS= read -r query; do
    answer=$(curl --silent --data-urlencode "query=$query" "http://127.0.0.1:$port/api/v1/query")
    [[ $(jq --raw-output .status <<<"$answer") == success ]] || fail "$query: $answer"
    count=$((count + 1))
done < <(jq --raw-output '.panels[].targets[]?.expr, .annotations.list[].expr' "$monitoring/grafana-dashboard.json" |
    sed -e 's/\$__rate_interval/1m/g' -e 's/\$\(job\|instance\)/.*/g')
((count > 20)) || fail "only $count queries"
echo "$count queries"

say "no alert without a cause"
becomes 'count(ALERTS) or vector(0)' 0
