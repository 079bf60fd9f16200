"""Holds every recorded message against the protocol: check.py FILE...

By the wire models of PyPI's mcp-types, which are generated from the official schemas, and, where the environment's
MCP_SCHEMAS names a directory with REVISION.json files, by those schemas themselves.
"""
import json
import os
import sys
from pathlib import Path

import jsonschema
from mcp_types import methods

SCHEMAS = os.environ.get("MCP_SCHEMAS")
RESULTS = {  # as the schemas name them
    "initialize": "InitializeResult", "ping": "EmptyResult", "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult", "server/discover": "DiscoverResult",
}
TASK = {"taskId": str, "status": str, "createdAt": str, "lastUpdatedAt": str, "ttlMs": int, "pollIntervalMs": int}


def validator(version, name):
    schema = json.loads((Path(SCHEMAS) / f"{version}.json").read_text())
    place = "$defs" if "$defs" in schema else "definitions"
    if name not in schema[place]:
        return None
    return jsonschema.validators.validator_for(schema)({**schema, "$ref": f"#/{place}/{name}"})


def official(version, name, value):
    if SCHEMAS and (found := validator(version, name)):
        found.validate(value)
        return 1
    return 0


def check_task(result, kind):
    assert result["resultType"] == kind, result
    for key, form in TASK.items():
        assert isinstance(result[key], form), (key, result)
    assert ("result" in result) == (kind == "complete" and result["status"] == "completed"), result


def check(row, agreed):
    """The version that the exchange speaks, and how many official schemas were asked."""
    assert row["method"] == "POST" or row["status"] == 405, row
    if row["method"] != "POST":
        return agreed, 0
    sent, asked = json.loads(row["sent"]), 0
    method, params = sent["method"], sent.get("params") or {}
    version = params.get("_meta", {}).get("io.modelcontextprotocol/protocolVersion") or agreed
    if "id" not in sent:
        assert row["status"] == 202 and row["got"] == "", row
        asked += official(version, "JSONRPCNotification", sent)
        return agreed, asked
    got = json.loads(row["got"])
    if method == "initialize":
        version = agreed = got["result"]["protocolVersion"]
    asked += official(version, "JSONRPCRequest", sent)
    assert got["jsonrpc"] == "2.0" and got["id"] == sent["id"], row
    if "error" in got:
        asked += official(version, "JSONRPCErrorResponse", got) or official(version, "JSONRPCError", got)
        raise AssertionError(f"no exchange of the story ends in an error of the protocol: {row}")
    assert row["status"] == 200, row
    result = got["result"]
    asked += official(version, "JSONRPCResultResponse", got) or official(version, "JSONRPCResponse", got)
    if result.get("resultType") == "task" or method == "tasks/get":
        check_task(result, "complete" if method == "tasks/get" else "task")
        if inner := result.get("result"):
            methods.validate_server_result("tools/call", version, inner)
            asked += official(version, "CallToolResult", inner)
    elif method not in ("tasks/cancel", "tasks/update"):
        methods.validate_client_request(method, version, sent.get("params"))
        methods.validate_server_result(method, version, result)
        asked += official(version, RESULTS[method], result)
    for tool in result.get("tools", []):
        for key in ("inputSchema", "outputSchema"):
            jsonschema.Draft202012Validator.check_schema(tool[key])
    if method == "tools/call":
        assert len(row["got"].encode()) <= 20_000, (len(row["got"]), params)
    return agreed, asked


for file in sys.argv[1:]:
    rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
    agreed, asked = "2025-03-26", 0
    for row in rows:
        agreed, more = check(row, agreed)
        asked += more
    assert len(rows) > 5, f"{file}: {len(rows)} exchanges"
    how = f"{asked} times by the official schemas" if SCHEMAS else "by the models of mcp-types (MCP_SCHEMAS is not set)"
    print(f"{Path(file).stem}: {len(rows)} exchanges hold, {how}")
