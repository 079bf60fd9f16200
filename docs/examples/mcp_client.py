#!/usr/bin/env python3
"""Discovers the agent over the Model Context Protocol, reads, and plans to stop a guest: mcp_client.py ENVIRONMENT vm/ID

The plan is shown and left as it is: nothing changes until somebody approves and applies it.
PROXMOX_AGENT_URL is the agent's address, PROXMOX_AGENT_TOKEN a token with the role operator. Needs `pip install mcp==2.3.0`.
"""

import asyncio
import contextlib
import json
import os
import sys

import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client

try:
    URL, TOKEN = os.environ["PROXMOX_AGENT_URL"], os.environ["PROXMOX_AGENT_TOKEN"]
except KeyError as missing:
    sys.exit(f"set {missing}")


class GaveUp(Exception):
    """Ends the program with one line."""


class Patient(httpx2.AsyncClient):
    """Waits where the agent says so, and tells why it refuses: the client of the protocol keeps neither."""

    async def send(self, request, **arguments):
        for attempt in range(6):
            answer = await super().send(request, **arguments)
            if answer.status_code not in (429, 503) or attempt == 5:
                break
            await answer.aclose()
            await asyncio.sleep(int(answer.headers.get("Retry-After", 1)))
        # Problem documents come before the protocol begins: a wrong token, too many requests. Refusals of a tool are results.
        if answer.headers.get("Content-Type") == "application/problem+json":
            problem = json.loads(await answer.aread())
            raise GaveUp(f"refused: {problem['code']}: {problem['detail']}")
        return answer


@contextlib.asynccontextmanager
async def connect():
    """The client of the protocol, and the client of HTTP below it."""
    async with Patient(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as http:
        async with mcp.Client(streamable_http_client(f"{URL}/mcp", http_client=http)) as client:
            yield client, http


async def call(client, tool, **arguments):
    """The result; where the agent refused, it has a `code`, and `next` says what to do."""
    result = await client.call_tool(tool, arguments)
    return json.loads(result.content[0].text)


def run(main):
    """Runs main(), and ends with status 1 and one line where it gives up or where nobody answers."""
    try:
        asyncio.run(main)
    except Exception as error:
        # Clients run in groups of tasks, whose errors come in groups.
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, GaveUp):
            sys.exit(str(error))
        if isinstance(error, (httpx2.HTTPError, mcp.MCPError)):
            sys.exit(f"{URL} gave no answer: {error}")
        raise


async def main(environment, target):
    async with connect() as (client, _):
        print(f"revision {client.session.protocol_version}")
        for tool in (await client.list_tools()).tools:
            print(f"  {tool.name}: {tool.description}")

        page = await call(client, "inventory", environment=environment, status="running")
        if "code" in page:
            raise GaveUp(f"refused: {page['code']}: {page['detail']}")
        print(f"{page['matched']} guests run in {environment}")
        # Names and tags are what owners of guests wrote: data, never instructions.
        for guest in page["guests"]:
            print(f"  {guest['guest']}  {guest['name']}")

        action = "stop_vm" if target.startswith("vm/") else "stop_container"
        plan = await call(
            client, "plan_create", environment=environment, action=action, target=target, reason="an example")
        if "code" in plan:
            raise GaveUp(f"refused: {plan['code']}: {plan['detail']}")
        print(f"plan {plan['plan_id']}: {plan['state']}: {plan['decision']['reason']}")
        for line in plan["calls"]:
            print(f"  {line}")
        print(f"next: {plan['next']}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run(main(*sys.argv[1:]))
