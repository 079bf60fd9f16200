#!/usr/bin/env python3
"""The state in PostgreSQL beside the one in a file, in pairs, and what a second agent on the same state costs.

    benchmarks/store.py                      100,000 plans in each state, 5 rounds of 20 s in all
    PLANS=1000 ROUNDS=1 benchmarks/store.py

Takes the release build (AGENT=FILE for another one), Debian's postgresql, and two minutes. The server syncs its commits, as the
agent does with a file. Everything stays on loopback.
"""

import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AGENT = os.environ.get("AGENT", str(ROOT / ".build/release/proxmox-agent"))
PLANS = int(os.environ.get("PLANS", 100_000))
ROUNDS = int(os.environ.get("ROUNDS", 5))
SECONDS = float(os.environ.get("SECONDS_EACH", 2))
TOKEN = "benchmark"
DROP = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
processes = []


def free_port():
    """Below those that the kernel gives to whoever asks for any."""
    return random.randrange(20_000, 32_000)


def spawn(*arguments, **more):
    process = subprocess.Popen(arguments, stdout=log, stderr=log, **more)
    processes.append(process)
    return process


class Agent:
    def __init__(self, name, settings):
        self.port = free_port()
        directory = work / name
        directory.mkdir(mode=0o700)
        self.config = directory / "config.json"
        document = {
            "listen_addr": f"127.0.0.1:{self.port}", "audit_log_path": str(directory / "audit.log"),
            "limits": {"requests_per_minute": 1_000_000, "stored_bytes_per_minute": 1 << 40},
            "environments": [
                {"name": "home", "base_url": f"http://127.0.0.1:{simulator}", "token_id": "agent@pve!home",
                 "token_secret_env": "PVE_SECRET"}
            ],
            **settings,
        }
        self.config.write_text(json.dumps(document))
        self.start()

    def start(self):
        self.process = spawn(AGENT, "--config", str(self.config))
        deadline = time.monotonic() + 60
        while True:
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, f"the agent does not answer; see {work}/log"
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def ask(self, method, path, body=None, connection=None):
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Actor-ID": "bench", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rate(self, applies, callers=1):
        """Plans, or plans and their applies, per second; and how many that were."""
        counts, end = [0] * callers, time.monotonic() + SECONDS

        def work(caller):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            action, number = "start_vm", 0
            while time.monotonic() < end:
                name = f"b{caller}x{random.getrandbits(40):x}"
                status, plan = self.ask(
                    "POST", "/v1/actions/plan",
                    {"environment": "home", "action": "snapshot_vm", "target": f"vm/{100 + caller % 3}", "dry_run": not applies,
                     "params": {"snapname": name}}, connection)
                assert status == 200, plan
                if applies:
                    status, answer = self.ask("POST", "/v1/actions/apply", {"plan_id": plan["plan_id"]}, connection)
                    assert status in (200, 202), answer
                    identity = answer["operation"]["operation_id"]
                    self.ask("GET", f"/v1/operations/{identity}?wait=10", None, connection)
                counts[caller] += 1

        threads = [threading.Thread(target=work, args=(caller,)) for caller in range(callers)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.monotonic() - begin), sum(counts)


def psql(sql, database="bench"):
    return subprocess.run(
        [*DROP, f"{programs}/psql", "-h", str(server), "-p", str(port), "-U", "postgres", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql,
         database],
        check=True, capture_output=True, text=True, cwd="/").stdout.strip()


def seeding(columns, number):
    """SQL that copies a plan PLANS times, as outcomes that are not known: no regular work removes those."""
    values = {
        "id": f"'pln_' || {number}", "state": "'unknown'", "live": "0", "document": f"replace(document, p.id, 'pln_' || {number})"
    }
    names = [name for name in columns if name != "number"]
    return f"INSERT INTO plans ({', '.join(names)}) SELECT {', '.join(values.get(n, 'p.' + n) for n in names)} FROM plans p"


def report(what, pairs, unit=""):
    ratios = sorted(b / a for a, b in pairs)
    print(f"{what}: {statistics.median(a for a, _ in pairs):.1f}{unit} and {statistics.median(b for _, b in pairs):.1f}{unit}, "
          f"{statistics.median(ratios):.2f} (median of {len(pairs)} pairs, {ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)


programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
work = Path(tempfile.mkdtemp(prefix="proxmox-agent-store."))
work.chmod(0o711)
log = open(work / "log", "ab")
os.environ.update(PROXMOX_AGENT_API_TOKEN=TOKEN, PVE_SECRET="any")
server = work / "server"
server.mkdir()
if DROP:
    shutil.chown(server, "nobody", "nogroup")
port = free_port()
status = 1
try:
    subprocess.run(
        [*DROP, f"{programs}/initdb", "-D", f"{server}/data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"],
        check=True, stdout=log, stderr=log, cwd="/")
    spawn(*DROP, f"{programs}/postgres", "-D", f"{server}/data", "-p", str(port), "-k", str(server), "-c", "listen_addresses=",
          "-c", "max_connections=50", "-c", "shared_buffers=128MB", cwd="/")
    deadline = time.monotonic() + 30
    while True:
        try:
            psql("CREATE DATABASE bench", "postgres")
            break
        except subprocess.CalledProcessError:
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.2)
    simulator = free_port()
    spawn(AGENT, "simulate", "--listen", f"127.0.0.1:{simulator}", "--name", "home", "--task-ms", "0")
    time.sleep(0.5)
    url = {"state_url": f"postgresql://postgres@/bench?host={server}&port={port}", "state_key_path": str(work / "state.key")}
    file = Agent("file", {"state_path": str(work / "file" / "state.db")})
    base = Agent("base", {**url, "agent_name": "anna"})
    for agent in (file, base):
        agent.rate(applies=False)
        assert agent.ask("POST", "/v1/actions/plan", {"environment": "home", "action": "snapshot_vm", "target": "vm/101",
                                                      "params": {"snapname": "seed"}})[0] == 200
        agent.stop()
    database = sqlite3.connect(work / "file" / "state.db")
    columns = [row[1] for row in database.execute("PRAGMA table_info(plans)")]
    database.execute(
        f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {PLANS}) "
        + seeding(columns, "printf('%020d', s.n)") + ", s WHERE p.number = (SELECT max(number) FROM plans)")
    database.commit()
    database.close()
    psql(seeding(columns, "lpad(s.n::text, 20, '0')") + f", generate_series(1, {PLANS}) s(n) WHERE p.number = (SELECT max(number) FROM plans)")
    psql("VACUUM ANALYZE")
    print(f"{psql('SELECT count(*) FROM plans')} plans in each state", flush=True)
    file.start()
    base.start()
    for applies, what in ((False, "plans per second, file and PostgreSQL"), (True, "plans and applies per second, file and PostgreSQL")):
        # Each caller that applies has a machine of its own.
        for callers in (1, 3 if applies else 8):
            pairs = [(file.rate(applies, callers)[0], base.rate(applies, callers)[0]) for _ in range(ROUNDS)]
            report(f"{what}, {callers} caller{'s' if callers > 1 else ''}", pairs)

    def cost(count):
        before, start = base.cpu(), time.monotonic()
        done = base.rate(True, 1)[1]
        return 1000 * (base.cpu() - before) / done

    second = Agent("second", {**url, "agent_name": "bert"})
    pairs = []
    for _ in range(ROUNDS):
        second.stop()
        time.sleep(1)
        alone = cost(1)
        second.start()
        time.sleep(1)
        pairs.append((alone, cost(1)))
    report("processor time of a plan and its apply at one agent, alone and beside a second one", pairs, " ms")
    status = 0
finally:
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
    if status == 0:
        shutil.rmtree(work)
    else:
        print(f"see {work}/log", file=sys.stderr)
