# The clients of the Model Context Protocol, of every revision, over HTTP and over the bridge; and mcpcheck.
# shellcheck shell=bash
# shellcheck disable=SC2154 # scripts/conformance sets these

story=$parts_dir/mcp/story.py
serve '.environments |= map(select(.name == "cloud" or .name == "home"))'
token_file=$work/operator.token
(umask 077 && printf '%s\n' "$operator_token" >"$token_file")
export token_file agent

python mcp-checks mcp-types==2.3.0 jsonschema
checks=$venv
next=100

# tell CLIENT PACKAGE ...: the whole story, with every message held against the protocol.
tell() {
    local client=$1
    shift
    # The environment's name has no dots: pip puts it into paths of scripts.
    python "mcp-${1//[^a-z0-9]/-}" "$@"
    local record=$work/$client.jsonl
    "$checks/bin/python" "$parts_dir/mcp/recorder.py" "$base" "$record" >"$work/recorder" &
    local recorder=$!
    for _ in $(seq 100); do
        [[ -s $work/recorder ]] && break
        sleep 0.1
    done
    mcp=$(cat "$work/recorder")
    export mcp
    local status=0
    timeout 180 "$venv/bin/python" "$story" "$client" "vm/$next" || status=$?
    next=$((next + 1))
    kill "$recorder"
    wait "$recorder" 2>/dev/null || true
    : >"$work/recorder"
    ((status == 0)) || fail "the story of $client"
    "$checks/bin/python" "$parts_dir/mcp/check.py" "$record" || fail "the messages of $client"
}

tell auto mcp==2.3.0
tell 2026-07-28 mcp==2.3.0
tell legacy mcp==2.3.0
tell tasks mcp==2.3.0
tell auto-stdio mcp==2.3.0
tell mcp-1.26 mcp==1.26.0
tell mcp-1.13 mcp==1.13.1 'pydantic<2.12'
tell mcp-1.13-stdio mcp==1.13.1 'pydantic<2.12'
tell mcp-2025-03-26 mcp==1.13.1 'pydantic<2.12'
tell fastmcp fastmcp==4.2.3

python mcpcheck jbt-mcpcheck==0.1.1
"$venv/bin/mcpcheck" "$base/mcp" --token "$operator_token" --legacy-probes --json >"$work/mcpcheck.json" || true
jq --exit-status '.summary | .total == 8 and .passed == 8 and .warned == 0' "$work/mcpcheck.json" >/dev/null || {
    jq '[.checks[] | select(.status != "pass")]' "$work/mcpcheck.json"
    fail "mcpcheck"
}
echo "mcpcheck: 8 of 8"
