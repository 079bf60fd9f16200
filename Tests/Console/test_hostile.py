"""Names and reasons that want to be markup, or to turn text around, stay text."""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from agent import Agent
from playwright.sync_api import expect

HOSTILE = "<img src=x onerror=hacked=1><script>hacked=1</script>\u202e\u2066nimda\u2069\u0007\u200b&amp;\"'"
SHOWN = "<img src=x onerror=hacked=1><script>hacked=1</script>⟨U+202E⟩⟨U+2066⟩nimda⟨U+2069⟩⟨U+0007⟩⟨U+200B⟩&amp;\"'"


class HostileProxmox(ThreadingHTTPServer):
    """Passes everything on to a simulated Proxmox VE, and renames a machine in its answers."""

    daemon_threads = True

    def __init__(self, port):
        hostile = json.dumps(HOSTILE).encode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                upstream.request(self.command, self.path, body or None, {k: v for k, v in self.headers.items() if k.lower() != "accept-encoding"})
                answer = upstream.getresponse()
                data = answer.read().replace(b'"homeassistant"', hostile)
                self.send_response(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                upstream.close()

            do_GET = do_POST = do_PUT = do_DELETE = pass_on

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def agent(tmp_path):
    agent = Agent(tmp_path)
    try:
        agent.environment("home")
        proxy = HostileProxmox(agent.simulators["home"][1])
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        agent.config["environments"][0]["base_url"] = f"http://127.0.0.1:{proxy.server_address[1]}"
        yield agent.start()
        proxy.shutdown()
    finally:
        agent.end()


def harmless(somebody):
    page = somebody.page
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("#main img, #main script, #main iframe").count() == 0
    assert somebody.dialogs == []
    bare = page.evaluate(r"""() => (document.body.innerText + document.title + document.documentElement.outerHTML)
        .match(/.{0,80}[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u202a-\u202e\u2066-\u2069].{0,20}/)?.[0]""")
    assert bare is None, "a hidden character reached the page"


def test_hostile_names_are_text_everywhere(agent, person):
    plan = agent.plan("delete_vm", "vm/103", reason="plain")
    hostile = agent.plan("stop_vm", "vm/102", reason=HOSTILE.replace("\u0007", "") + "\nsecond line")
    alice = person().sign_in("otto")
    card = alice.page.get_by_role("listitem").filter(has_text="Stop VM")
    expect(card).to_contain_text(SHOWN)
    harmless(alice)
    for address, text in [
        (f"#/plans/{hostile['plan_id']}", SHOWN), ("#/plans", SHOWN), ("#/environments", SHOWN), ("#/environments/home/vm/102", SHOWN),
    ]:
        alice.go(address)
        expect(alice.page.get_by_role("main")).to_contain_text(text)
        harmless(alice)
    agent.decide("alice", hostile, "reject", "\u2067<b>no</b>")
    alice.go("#/audit").heading("Audit")
    alice.page.get_by_label("Search").fill(hostile["plan_id"])
    for summary in alice.page.locator("ul.records summary").all():
        summary.click()
    expect(alice.page.get_by_role("main")).to_contain_text("⟨U+2067⟩<b>no</b>")
    harmless(alice)
    agent.ask("bob", "POST", "/v1/freeze", {"reason": HOSTILE.replace("\u0007", "")})
    expect(alice.page.locator("#banner")).to_contain_text(SHOWN.replace("⟨U+0007⟩", ""))
    harmless(alice)
    assert agent.read_plan(plan)["state"] == "awaiting_approval"


def test_a_name_that_no_keyboard_has_is_not_asked_for(agent, person):
    plan = agent.plan("configure_vm", "vm/102", net0="virtio=BC:24:11:2E:C5:01,bridge=vmbr0,firewall=0")
    alice = person().sign_in("alice").open_plan(plan)
    assert plan["decision"]["risk_level"] == "high"
    expect(alice.decision.get_by_label("Type vm/102 to approve")).to_be_visible()
    harmless(alice)


@pytest.mark.parametrize("address", ["#/plans/<img src=x onerror=hacked=1>", "#/environments/%3Cscript%3E", "#/operations/op_x'\"", "#//evil.example/", "#/plans?state=<b>"])
def test_a_hostile_address_shows_no_more_than_a_page(agent, person, address):
    alice = person().sign_in("alice")
    alice.go(address)
    expect(alice.page.get_by_role("heading", level=1)).not_to_have_text("")
    assert alice.page.url.startswith(agent.url)
    harmless(alice)
