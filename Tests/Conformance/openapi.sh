# shellcheck shell=bash disable=SC2154
# The description of the API is a valid OpenAPI 3.1 document, and the committed copy is what the agent serves.
serve
curl --silent --show-error --fail --noproxy '*' --output "$work/openapi.json" "$base/openapi.json"
python openapi openapi-spec-validator==0.9.0
"$venv/bin/openapi-spec-validator" "$work/openapi.json"
diff <(jq --sort-keys . "$work/openapi.json") <(jq --sort-keys . "$root/docs/openapi.json") >/dev/null ||
    fail "docs/openapi.json is not what the agent serves"
