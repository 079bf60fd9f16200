"""Signing in and out, and what a browser keeps of it."""

import pytest
from playwright.sync_api import expect


def test_a_token_opens_the_console_and_stays_nowhere(agent, person):
    alice = person().sign_in("alice").heading("Inbox")
    cookies = alice.context.cookies()
    assert [(c["name"], c["httpOnly"], c["secure"], c["sameSite"], c["path"]) for c in cookies] == [
        ("__Host-proxmox-agent", True, True, "Strict", "/")
    ]
    token = agent.tokens["alice"]
    assert token not in cookies[0]["value"]
    kept = alice.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, location.href, document.documentElement.outerHTML])")
    assert token not in kept
    assert token not in (agent.directory / "log").read_text()


def test_a_wrong_token_is_refused_in_words(agent, person):
    somebody = person()
    somebody.page.goto(f"{agent.url}/ui/")
    somebody.page.get_by_label("Your token").fill("wrong")
    somebody.page.keyboard.press("Enter")
    expect(somebody.page.get_by_role("alert")).to_contain_text("does not accept")
    expect(somebody.page.get_by_label("Your token")).to_have_value("")
    assert somebody.context.cookies() == []


def test_signing_out_ends_the_session(agent, person):
    alice = person().sign_in("alice")
    alice.go("#/account")
    alice.page.get_by_role("button", name="Sign out").click()
    alice.heading("Sign in")
    expect(alice.page.get_by_role("navigation")).to_be_hidden()
    expect(alice.page.get_by_role("button", name="Menu")).to_be_hidden()
    alice.page.reload()
    alice.heading("Sign in")


def test_an_ended_session_asks_to_sign_in_and_goes_on_where_it_was(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice").open_plan(plan)
    alice.page.get_by_label("Reason").fill("typed before")
    alice.context.clear_cookies()
    alice.decision.get_by_role("button", name="Approve").click()
    expect(alice.page.get_by_text("Your session has ended")).to_be_visible()
    assert agent.read_plan(plan)["state"] == "awaiting_approval"
    alice.page.get_by_label("Your token").fill(agent.tokens["alice"])
    alice.page.keyboard.press("Enter")
    alice.heading("Stop VM homeassistant")
    expect(alice.page.get_by_label("Reason")).to_have_value("typed before")
    alice.decision.get_by_role("button", name="Approve").click()
    expect(alice.page.locator("#message")).to_contain_text("You approved this plan")
    assert agent.read_plan(plan)["state"] == "approved"


def test_sessions_are_listed_and_another_one_can_be_ended(agent, person):
    here = person().sign_in("alice")
    there = person().sign_in("alice")
    here.go("#/account").heading("Account")
    sessions = here.page.get_by_role("listitem").filter(has_text="Another")
    expect(sessions).to_have_count(1)
    sessions.get_by_role("button", name="End it").click()
    expect(sessions).to_have_count(0)
    there.go("#/plans")
    expect(there.page.get_by_text("Your session has ended")).to_be_visible()


def test_somebody_who_lost_their_role_can_do_nothing_any_more(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice").open_plan(plan)
    expect(alice.decision.get_by_role("button", name="Approve")).to_be_visible()
    next(p for p in agent.config["principals"] if p["id"] == "alice")["roles"] = ["viewer"]
    agent.reload()
    expect(alice.decision.get_by_role("button", name="Approve")).to_have_count(0)
    assert alice.page.evaluate(
        """async ([id, hash]) => (await fetch(`/v1/plans/${id}/approvals`, {method: "POST", headers: {"Content-Type": "application/json"},
           body: JSON.stringify({decision: "approve", plan_hash: hash})})).status""",
        [plan["plan_id"], plan["plan_hash"]],
    ) == 403
    assert agent.read_plan(plan)["state"] == "awaiting_approval"


@pytest.mark.parametrize("who, first, hidden", [("carol", "Inbox", "Audit"), ("olga", "Audit", "Inbox"), ("otto", "Inbox", None)])
def test_the_navigation_shows_what_a_role_may_use(agent, person, who, first, hidden):
    somebody = person().sign_in(who).heading(first)
    links = somebody.page.get_by_role("navigation").get_by_role("link")
    assert hidden is None or hidden not in links.all_inner_texts()
    for href in [link.get_attribute("href") for link in links.all()]:
        somebody.go(href)
        expect(somebody.page.get_by_role("heading", level=1)).not_to_have_text("")
        expect(somebody.page.locator("#main .notice.bad")).to_have_count(0)


def test_a_code_signs_in_once(agent, person):
    code = agent.ask("alice", "POST", "/v1/session/code")["code"]
    alice, other = person(), person()
    for somebody in (alice, other):
        somebody.page.goto(f"{agent.url}/ui/")
        somebody.page.get_by_label("Your token").fill(f" {code.upper()}")
        somebody.page.keyboard.press("Enter")
        if somebody is alice:
            expect(alice.page.locator("#nav")).to_contain_text("Signed in as alice")
    expect(other.page.get_by_role("alert")).to_contain_text("good once, and for ten minutes. Get another with proxmox-agent sign-in-code")
