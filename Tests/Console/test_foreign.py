"""A page of somebody else, on another port of the same host: it gets nowhere, whether the browser sends its requests the cookie or not."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect


@pytest.fixture
def elsewhere():
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()


def test_a_page_of_another_origin_decides_nothing_and_reads_nothing(agent, person, elsewhere):
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice")
    approvals = f"{agent.url}/v1/plans/{plan['plan_id']}/approvals"
    body = json.dumps({"decision": "approve", "plan_hash": plan["plan_hash"]})
    page = alice.context.new_page()
    page.goto(elsewhere)
    # What a page can send without being asked for permission first: a text, and a form.
    with page.expect_response(approvals) as sent:
        page.evaluate("""([url, body]) => fetch(url, {method: "POST", mode: "no-cors", credentials: "include", body})""", [approvals, body])
    assert sent.value.status in (401, 403)
    with page.expect_navigation():
        page.evaluate("""([url, body]) => { const form = document.createElement("form"); form.method = "POST"; form.action = url; form.enctype = "text/plain";
            const input = document.createElement("input"); input.name = body; form.append(input); document.body.append(form); form.submit(); }""", [approvals, body])
    expect(page.locator("body")).to_contain_text(re.compile('"status":40[13]'))
    page.goto(elsewhere)
    for method, path in [("GET", "/v1/plans"), ("POST", "/v1/freeze"), ("DELETE", "/v1/session")]:
        read = page.evaluate("""async ([method, url]) => { try { const answer = await fetch(url, {method, credentials: "include"}); return answer.status; }
            catch (error) { return String(error); } }""", [method, agent.url + path])
        assert "Failed to fetch" in str(read)
    assert agent.read_plan(plan)["state"] == "awaiting_approval"
    assert agent.ask("alice", "GET", "/v1/freeze")["freezes"] == []
    alice.go("#/plans").heading("Plans")


def test_the_console_is_shown_in_no_frame(agent, person, elsewhere):
    alice = person().sign_in("alice")
    page = alice.context.new_page()
    page.goto(elsewhere)
    # The browser puts a page of its own in the frame.
    with page.expect_event("framenavigated", lambda frame: frame.parent_frame is not None) as shown:
        page.evaluate("url => { const frame = document.createElement('iframe'); frame.src = url; document.body.append(frame); }", f"{agent.url}/ui/")
    assert shown.value.url.startswith("chrome-error:")
