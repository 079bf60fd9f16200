"""A real agent for one test: its own configuration, tokens, state, ports and simulated Proxmox VE."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

PROGRAM = os.environ["PROXMOX_AGENT"]

PRINCIPALS = {
    "pi-agent": ["operator"],
    "alice": ["approver"],
    "bob": ["approver"],
    "carol": ["viewer"],
    "olga": ["auditor"],
    "fay": ["operator", "emergency"],
    "otto": ["operator", "approver", "auditor"],
}

POLICY = {
    "rules": [
        {"id": "two-for-production", "effect": "require_approval", "approvals": 2, "tags": ["production"]},
        {"id": "keep-nas", "effect": "deny", "actions": ["delete_vm"], "targets": ["vm/101"], "reason": "the storage of all others", "description": "It holds everybody's files"},
    ]
}


class Refused(Exception):
    def __init__(self, status, problem):
        super().__init__(f"{status} {problem}")
        self.status, self.problem = status, problem


def free_port():
    """A port below those that the kernel gives to whoever asks for any, so that nobody is given it meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Agent:
    """Starts the program, asks it over HTTP, and ends it."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        # Passkeys and the cookie take this name: browsers trust localhost, and not 127.0.0.1.
        self.url = f"http://localhost:{self.port}"
        self.tokens = {}
        self.processes = []
        principals = []
        for name, roles in PRINCIPALS.items():
            made = self.run("token", "new", name, "--json", *(word for role in roles for word in ("--role", role)))
            entry = json.loads(made)
            self.tokens[name] = entry["token"]
            principals.append(entry["principal"])
        self.config = {
            "listen_addr": f"127.0.0.1:{self.port}",
            "audit_log_path": str(directory / "audit.log"),
            "state_path": str(directory / "state.db"),
            "environments": [],
            "principals": principals,
            "policy": json.loads(json.dumps(POLICY)),
        }

    @staticmethod
    def run(*arguments):
        return subprocess.run([PROGRAM, *arguments], check=True, capture_output=True, text=True).stdout

    def environment(self, name, task_ms=300):
        """Adds a simulated cluster, in a process of its own."""
        port = free_port()
        arguments = ["simulate", "--listen", f"127.0.0.1:{port}", "--name", name, "--task-ms", str(task_ms)]
        self.simulator = self.spawn(*arguments)
        self.simulators = {**getattr(self, "simulators", {}), name: (self.simulator, port, arguments)}
        self.wait(f"http://127.0.0.1:{port}/sim/executed")
        self.config["environments"].append(
            {"name": name, "base_url": f"http://127.0.0.1:{port}", "token_id": f"agent@pve!{name}", "token_secret_env": "PVE_SECRET"}
        )

    def spawn(self, *arguments):
        log = open(self.directory / "log", "ab")
        process = subprocess.Popen([PROGRAM, *arguments], stdout=log, stderr=log, env={**os.environ, "PVE_SECRET": "any"})
        self.processes.append(process)
        return process

    def write(self):
        path = self.directory / "config.json"
        path.write_text(json.dumps(self.config))
        return str(path)

    def start(self):
        self.serving = self.spawn("--config", self.write())
        self.wait(f"{self.address}/readyz")
        return self

    def wait(self, address):
        deadline = time.monotonic() + 30
        while True:
            try:
                return urllib.request.urlopen(address, timeout=5).read()
            except OSError:
                assert time.monotonic() < deadline, (self.directory / "log").read_text()
                time.sleep(0.05)

    def reload(self):
        """Puts the principals and rules of ``config`` in force."""
        before = self.ask("olga", "GET", "/v1/audit/head")["seq"]
        self.write()
        self.serving.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        # The record is written first, and the rules are in force a moment later.
        while not any(
            record["kind"] == "config" and record["result"]["policy_version"] == self.ask("carol", "GET", "/v1/policy")["version"]
            for record in self.ask("olga", "GET", f"/v1/audit?after={before}")["records"]
        ):
            assert time.monotonic() < deadline, "the configuration was not read again"
            time.sleep(0.05)

    def end(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(30)

    def ask(self, who, method, path, body=None):
        request = urllib.request.Request(
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.tokens[who]}", "Content-Type": "application/json"},
        )
        try:
            return json.load(urllib.request.urlopen(request, timeout=60))
        except urllib.error.HTTPError as error:
            raise Refused(error.code, json.load(error)) from None

    # What tests ask for

    def plan(self, action, target, environment="home", who="pi-agent", reason="a test", **params):
        return self.ask(who, "POST", "/v1/actions/plan", {
            "environment": environment, "action": action, "target": target, "params": params, **({"reason": reason} if reason else {}),
        })

    def decide(self, who, plan, decision="approve", reason="by the API"):
        return self.ask(who, "POST", f"/v1/plans/{plan['plan_id']}/approvals", {"decision": decision, "plan_hash": plan["plan_hash"], "reason": reason})

    def read_plan(self, plan, who="carol"):
        return self.ask(who, "GET", f"/v1/plans/{plan['plan_id']}")

    def apply(self, plan, who="pi-agent"):
        return self.ask(who, "POST", "/v1/actions/apply", {"plan_id": plan["plan_id"]})

    def ended(self, operation):
        return self.ask("carol", "GET", f"/v1/operations/{operation}?wait=30")
