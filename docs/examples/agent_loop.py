#!/usr/bin/env python3
"""An agent loop that plays a model: agent_loop.py [--patience SECONDS] ENVIRONMENT ACTION TARGET

It plans, applies too early and is refused, waits until a person has decided, applies, follows the operation and reports.
The exit status is 0 only if the operation succeeded. To decide, a person with the role approver uses `proxmox-agent approve ID`
(or `reject`); nothing in here can. PROXMOX_AGENT_URL is the agent's address, PROXMOX_AGENT_TOKEN a token with the role operator.
Needs `pip install mcp==2.3.0`.
"""

import argparse
import asyncio

import httpx2
from mcp_client import URL, GaveUp, call, connect, run


def model(wish, tool, result):
    """Plays the model: sees the last tool and its result, and names the next tool and its arguments.

    In your loop a language model stands here, with the agent's tools and `wait_for_approval`.
    """
    match result:
        case None:
            return "plan_create", wish
        case {"code": "approval_required", "plan_id": plan_id}:
            return "wait_for_approval", {"plan_id": plan_id}
        case {"code": "plan_consumed", "operation_id": operation_id}:  # the answer to an earlier apply was lost
            return "operation_get", {"operation_id": operation_id, "wait": 30}
        case {"operation": {"state": "queued" | "running", "operation_id": operation_id}}:
            return "operation_get", {"operation_id": operation_id, "wait": 30}
        case {"operation": {"state": "succeeded" | "succeeded_with_warnings"}}:
            return None, None
        case {"operation": {"state": state, "message": message}}:  # `unknown` too: a person has to look, nothing is repeated
            raise GaveUp(f"the operation is {state}: {message}")
        case {"code": code, "detail": detail}:
            raise GaveUp(f"refused: {code}: {detail}")
        case {"state": "awaiting_approval", "plan_id": plan_id} if tool == "wait_for_approval":
            return "plan_cancel", {"plan_id": plan_id}
        case {"state": "awaiting_approval" | "approved", "plan_id": plan_id}:
            return "plan_apply", {"plan_id": plan_id, "wait": 20}
        case {"state": "rejected", "rejection": {"approver": approver, **more}}:
            raise GaveUp(f"rejected by {approver}: {more.get('reason', 'no reason given')}")
        case {"state": "denied", "decision": {"reason": reason}}:
            raise GaveUp(f"denied: {reason}")
        case {"state": "cancelled"} if tool == "plan_cancel":
            raise GaveUp("nobody decided in time; the plan is cancelled")
        case {"state": state, **more}:
            raise GaveUp(f"the plan is {state}: {more.get('next')}")
        case _:
            raise GaveUp(f"no way on from {tool}: {result}")


async def wait_for_approval(client, http, plan_id, patience):
    """The plan as soon as it waits no more, or as it is when patience ends. A tool of the loop, so that no model polls."""
    try:
        async with asyncio.timeout(patience):
            while True:
                try:
                    # A comment comes every 15 s: a stream that is silent for longer is broken.
                    stream = http.stream("GET", f"{URL}/v1/events", params={"plan": plan_id}, timeout=40)
                    async with stream as events:
                        async for line in events.aiter_lines():
                            # `retry` is the first line. Whoever looks at the plan after it misses nothing: later
                            # decisions are events of this stream.
                            if line.startswith(("retry:", "data:")):
                                plan = await call(client, "plan_get", plan_id=plan_id)
                                if plan.get("state") != "awaiting_approval":
                                    return plan
                except httpx2.TransportError:
                    pass
                await asyncio.sleep(2)
    except TimeoutError:
        return await call(client, "plan_get", plan_id=plan_id)


async def main(wish, patience):
    async with connect() as (client, http):
        tool, arguments = model(wish, None, None)
        while tool:
            print(f"→ {tool} {arguments}", flush=True)
            if tool == "wait_for_approval":
                result = await wait_for_approval(client, http, arguments["plan_id"], patience)
            else:
                result = await call(client, tool, **arguments)
            seen = result.get("operation", result)
            print(f"← {seen.get('code') or seen.get('state')}", flush=True)
            tool, arguments = model(wish, tool, result)
        operation = result["operation"]
        print(f"{operation['action']} {operation['target']} {operation['state']}: {operation['message']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patience", type=float, default=900, help="how long a person may take; 900 s")
    parser.add_argument("environment")
    parser.add_argument("action")
    parser.add_argument("target")
    given = parser.parse_args()
    wish = {"environment": given.environment, "action": given.action, "target": given.target, "reason": "an example"}
    run(main(wish, given.patience))
