"""One story, told by the client that is named: story.py CLIENT MACHINE

Discover, list, read, plan, refused apply, approval by another principal over REST, apply, follow to the end, cancel.
The environment has: base (the agent), mcp (where the client asks), operator_token, approver_token, token_file, agent.
"""
import asyncio
import contextlib
import json
import os
import sys
import urllib.request

BASE, URL, TOKEN = os.environ["base"], os.environ["mcp"] + "/mcp", os.environ["operator_token"]
TASKS = "io.modelcontextprotocol/tasks"
TOOLS = [
    "environment_list", "inventory", "guest_get", "node_list", "storage_list", "task_log", "action_catalog",
    "plan_create", "plan_get", "plan_cancel", "plan_apply", "operation_get",
]


class Session:
    """A client behind one form: version, instructions, tools() and call(tool, arguments)."""

    def __init__(self, version, instructions, tools, call):
        self.version, self.instructions, self.tools, self._call = version, instructions, tools, call

    async def call(self, tool, **arguments):
        """The result's data, and whether it is an error; both forms of it must be the same."""
        result = await self._call(tool, arguments)
        is_new = hasattr(result, "is_error")
        is_error = result.is_error if is_new else result.isError
        structured = result.structured_content if is_new else result.structuredContent
        said = json.loads(result.content[0].text)
        assert is_error or structured == said, (tool, structured, said)
        assert not (is_error and structured), (tool, structured)
        return said, is_error


# ---- the clients -----------------------------------------------------------------------------------------------------


def stdio_parameters(module):
    return module.StdioServerParameters(
        command=os.environ["agent"],
        args=["mcp", "--server", os.environ["mcp"], "--token-file", os.environ["token_file"]])


@contextlib.asynccontextmanager
async def sdk2(mode, stdio=False, extensions=None):
    import httpx2
    import mcp
    from mcp.client.streamable_http import streamable_http_client

    http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
    server = stdio_parameters(mcp) if stdio else streamable_http_client(URL, http_client=http)
    async with mcp.Client(server, mode=mode, extensions=extensions) as client:
        session = client.session
        found = session.discover_result or session.initialize_result

        async def tools():
            return [tool.name for tool in (await client.list_tools()).tools]

        yield Session(session.protocol_version, getattr(found, "instructions", None), tools, client.call_tool)


@contextlib.asynccontextmanager
async def sdk1(stdio=False, version=None):
    import mcp
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamablehttp_client

    if version:
        mcp.types.LATEST_PROTOCOL_VERSION = version
    transport = (
        stdio_client(stdio_parameters(mcp)) if stdio
        else streamablehttp_client(URL, headers={"Authorization": f"Bearer {TOKEN}"}))
    async with transport as streams, mcp.ClientSession(streams[0], streams[1]) as session:
        found = await session.initialize()
        await session.send_ping()

        async def tools():
            return [tool.name for tool in (await session.list_tools()).tools]

        yield Session(found.protocolVersion, found.instructions, tools, session.call_tool)


@contextlib.asynccontextmanager
async def fastmcp():
    from fastmcp import Client
    from fastmcp.client.transports import StreamableHttpTransport

    async with Client(StreamableHttpTransport(URL, headers={"Authorization": f"Bearer {TOKEN}"})) as client:

        async def tools():
            return [tool.name for tool in await client.list_tools()]

        yield Session(None, None, tools, client.call_tool_mcp)


CLIENTS = {
    "auto": (lambda: sdk2("auto"), "2026-07-28"),
    "2026-07-28": (lambda: sdk2("2026-07-28"), "2026-07-28"),
    "legacy": (lambda: sdk2("legacy"), "2025-11-25"),
    "auto-stdio": (lambda: sdk2("auto", stdio=True), "2026-07-28"),
    "mcp-1.26": (lambda: sdk1(), "2025-11-25"),
    "mcp-1.13": (lambda: sdk1(), "2025-06-18"),
    "mcp-1.13-stdio": (lambda: sdk1(stdio=True), "2025-06-18"),
    "mcp-2025-03-26": (lambda: sdk1(version="2025-03-26"), "2025-03-26"),
    "fastmcp": (lambda: fastmcp(), None),
}


# ---- the story -------------------------------------------------------------------------------------------------------


def rest(path, body, token):
    request = urllib.request.Request(
        BASE + path, json.dumps(body).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def approve(plan):
    rest(f"/v1/plans/{plan['plan_id']}/approvals", {"decision": "approve", "plan_hash": plan["plan_hash"]},
         os.environ["approver_token"])


async def good(session, tool, **arguments):
    said, is_error = await session.call(tool, **arguments)
    assert not is_error, (tool, said)
    return said


async def bad(session, code, tool, **arguments):
    said, is_error = await session.call(tool, **arguments)
    assert is_error and said["code"] == code and said["next"], (tool, said)
    return said


async def follow(session, operation):
    while operation["state"] in ("queued", "running"):
        operation = (await good(session, "operation_get", operation_id=operation["operation_id"], wait=30))["operation"]
    return operation


async def tell(session, version, machine):
    # discover, list, read
    assert version in (None, session.version), session.version
    # A client that pins its version discovers nothing.
    assert session.instructions is None or "plan_create" in session.instructions, session.instructions
    assert await session.tools() == TOOLS
    assert {row["name"] for row in (await good(session, "environment_list"))["environments"]} == {"home", "cloud"}
    page = await good(session, "inventory", environment="cloud", status="running")
    assert page["matched"] >= len(page["guests"]) > 5, page
    assert machine in [guest["guest"] for guest in page["guests"]], page
    assert (await good(session, "guest_get", environment="cloud", guest=machine))["status"]["status"] == "running"
    await bad(session, "unknown_environment", "inventory", environment="nowhere")
    assert "params" in (await good(session, "action_catalog", action="stop_vm"))["action"]
    # plan, and an apply that is refused
    stop = {"environment": "cloud", "action": "stop_vm", "target": machine}
    await bad(session, "invalid_request", "plan_create", **stop, approved_by="alice")
    plan = await good(session, "plan_create", **stop, reason="conformance")
    assert plan["state"] == "awaiting_approval", plan
    refused = await bad(session, "approval_required", "plan_apply", plan_id=plan["plan_id"])
    assert refused["plan_hash"] == plan["plan_hash"] and plan["plan_id"] in refused["next"], refused
    # another principal approves over REST
    approve(plan)
    assert (await good(session, "plan_get", plan_id=plan["plan_id"]))["state"] == "approved"
    # apply, follow to the end
    applied = await good(session, "plan_apply", plan_id=plan["plan_id"])
    operation = await follow(session, applied["operation"])
    assert operation["state"] == "succeeded", operation
    lines = (await good(session, "task_log", environment="cloud", upid=operation["upid"]))["lines"]
    assert lines[-1] == "TASK OK", lines
    again = await bad(session, "plan_consumed", "plan_apply", plan_id=plan["plan_id"])
    assert again["operation_id"] == operation["operation_id"]
    # cancel
    start = await good(session, "plan_create", environment="cloud", action="start_vm", target=machine)
    assert (await good(session, "plan_cancel", plan_id=start["plan_id"]))["state"] == "cancelled"
    await bad(session, "plan_cancelled", "plan_apply", plan_id=start["plan_id"])


async def tell_of_tasks(machine):
    """An applied plan as a task: the client declares the extension, and follows the task itself."""
    from typing import Literal

    import mcp_types
    from mcp.client.extension import ClientExtension, ResultClaim
    from pydantic import Field

    class Task(mcp_types.Result):
        result_type: Literal["task"] = Field(alias="resultType")
        task_id: str = Field(alias="taskId")
        status: str

    seen = []

    def ask(method, task_id):
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"taskId": task_id, "_meta": meta}}
        request = urllib.request.Request(URL, json.dumps(body).encode(), {
            "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Mcp-Method": method,
            "Mcp-Name": task_id, "MCP-Protocol-Version": "2026-07-28"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["result"]

    class Tasks(ClientExtension):
        identifier = TASKS

        def claims(self):
            return [ResultClaim(result_type="task", model=Task, resolve=self.resolve)]

        async def resolve(self, task, _):
            seen.append(task.task_id)
            while (state := await asyncio.to_thread(ask, "tasks/get", task.task_id))["status"] == "working":
                await asyncio.sleep(state["pollIntervalMs"] / 1000)
            assert state["status"] == "completed", state
            assert ask("tasks/cancel", task.task_id) == ask("tasks/update", task.task_id)
            return mcp_types.CallToolResult.model_validate(state["result"])

    async with sdk2("auto", extensions=[Tasks()]) as session:
        await session.tools()
        plan = await good(
            session, "plan_create", environment="cloud", action="snapshot_vm", target=machine,
            params={"snapname": "conformance"})
        done = await good(session, "plan_apply", plan_id=plan["plan_id"])
        assert done["status"] == "succeeded" and seen == [done["operation"]["operation_id"]], (done, seen)


async def main(name, machine):
    if name == "tasks":
        await tell_of_tasks(machine)
    else:
        client, version = CLIENTS[name]
        async with client() as session:
            await tell(session, version, machine)
    print(f"{name}: the whole story")


asyncio.run(main(*sys.argv[1:]))
