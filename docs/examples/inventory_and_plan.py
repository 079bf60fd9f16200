#!/usr/bin/env python3
"""Counts the guests, finds one by its name, and plans an action on it: inventory_and_plan.py NAME VERB

VERB is start, stop, shutdown, reboot or suspend. The plan is shown and left as it is: nothing changes until somebody applies it.
PROXMOX_AGENT_URL is the agent's address, PROXMOX_AGENT_TOKEN a token with the role operator. Needs `pip install requests`.
"""

import collections
import os
import sys
import uuid

import requests
from urllib3.util import Retry

try:
    URL, TOKEN = os.environ["PROXMOX_AGENT_URL"], os.environ["PROXMOX_AGENT_TOKEN"]
except KeyError as missing:
    sys.exit(f"set {missing}")


class Agent:
    def __init__(self):
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {TOKEN}"
        # After 429 and 503 it waits for as long as Retry-After says, and asks again; after the last time the answer counts.
        again = Retry(
            total=5, connect=1, read=0, status_forcelist=[429, 503], allowed_methods=None, backoff_factor=0.5,
            raise_on_status=False)
        self.session.mount(URL, requests.adapters.HTTPAdapter(max_retries=again))

    def ask(self, method, path, **arguments):
        try:
            answer = self.session.request(method, URL + path, timeout=(5, 75), **arguments)
        except requests.RequestException as error:
            sys.exit(f"{URL} gave no answer: {error}")
        if answer.ok:
            return answer.json()
        if answer.headers.get("Content-Type") != "application/problem+json":
            sys.exit(f"{URL} answered {answer.status_code}: is that the agent?")
        problem = answer.json()
        # Programs decide by `code`; `detail` is for people.
        sys.exit(f"refused: {problem['code']}: {problem['detail']}")

    def guests(self, **filters):
        """All guests that match, page by page."""
        query = {"fields": "name,status,tags", "limit": 20, **filters}
        while True:
            result = self.ask("GET", "/v1/inventory", params=query)["result"]
            yield from result["data"]
            if not result["next"]:
                break
            query["after"] = result["next"]
        # One environment that cannot be reached does not spoil the others, but its guests are missing.
        for environment in result["environments"]:
            if environment["status"] != "ok":
                print(f"no guests of {environment['name']}: {environment['error']['detail']}", file=sys.stderr)


def main(name, verb):
    agent = Agent()
    counts = collections.Counter((guest["environment"], guest["status"]) for guest in agent.guests())
    for (environment, status), count in sorted(counts.items()):
        print(f"{environment}: {count} {status}")

    # The filter finds parts of names as well.
    found = [guest for guest in agent.guests(name=name) if guest["name"] == name]
    if len(found) != 1:
        sys.exit(f"{len(found)} guests have the name {name}")
    guest = found[0]
    action, target = ("vm", "vm") if guest["type"] == "qemu" else ("container", "lxc")
    plan = agent.ask(
        "POST", "/v1/actions/plan",
        json={"environment": guest["environment"], "action": f"{verb}_{action}", "target": f"{target}/{guest['vmid']}",
              "reason": "an example"},
        # Sent again with the same key, the same request makes no second plan.
        headers={"Idempotency-Key": str(uuid.uuid4())})

    print(f"plan {plan['plan_id']}: {plan['state']}, {plan['decision']['risk_level']} risk: {plan['decision']['reason']}")
    for change in plan["preview"]["changes"]:
        print(f"  {change['key']}: {change['from']} → {change['to']}")
    for call in plan["preview"]["calls"]:
        print(f"  {call['method']} {call['path']}")
    for check in plan["preview"]["checks"]:
        print(f"  {check['level']}: {check['detail']}")
    if plan["state"] == "awaiting_approval":
        print(f"an approver decides: proxmox-agent approve {plan['plan_id']} --hash {plan['plan_hash'][:8]}")
    return 1 if plan["state"] == "denied" else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
