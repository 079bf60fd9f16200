# shellcheck shell=bash disable=SC2154
# Two generators make clients from the description, and each client runs the walk-through: plan, refused apply, approval
# by another principal, apply, follow.
serve
curl --silent --show-error --fail --noproxy '*' --output "$work/openapi.json" "$base/openapi.json"

say "openapi-python-client"
python openapi-python-client openapi-python-client==0.29.1
"$venv/bin/openapi-python-client" generate --path "$work/openapi.json" --output-path "$work/client" --meta setup >/dev/null 2>&1 ||
    fail "openapi-python-client cannot read the description"
"$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$work/client"
"$venv/bin/python" "$parts_dir/walkthrough_python_client.py"

say "openapi-generator (python)"
python openapi-generator openapi-generator-cli==7.26.0 pydantic urllib3 python-dateutil typing-extensions
# Its own validator takes the bodies of links for texts only; the specification lets them be any value.
"$venv/bin/openapi-generator-cli" generate --input-spec "$work/openapi.json" --generator-name python \
    --output "$work/generated" --package-name agent_client --skip-validate-spec >"$work/generator.log" 2>&1 || {
    cat "$work/generator.log"
    fail "openapi-generator cannot read the description"
}
"$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$work/generated"
"$venv/bin/python" "$parts_dir/walkthrough_generator.py"
