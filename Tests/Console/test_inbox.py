"""What awaits somebody, live."""

import re

from playwright.sync_api import expect


def test_the_inbox_fills_while_the_page_is_open(agent, person):
    alice = person().sign_in("alice").heading("Inbox")
    expect(alice.page.get_by_text("Nothing waits for you")).to_be_visible()
    expect(alice.page.locator("#link")).to_have_text("Live")
    agent.plan("stop_vm", "vm/102", reason="new disk")
    card = alice.page.get_by_role("listitem").filter(has_text="homeassistant").filter(has_text="new disk")
    expect(card).to_contain_text("Stop VM homeassistant vm/102")
    expect(card).to_contain_text(re.compile("status running → stopped"))
    expect(card).to_contain_text("pi-agent: ")
    expect(card).to_contain_text(re.compile("expires in .* min"))
    expect(alice.page).to_have_title("(1) Inbox · proxmox-agent")
    expect(alice.page.get_by_role("status").filter(has_text="awaits your approval")).to_have_count(1)


def test_the_riskiest_and_then_the_oldest_come_first(agent, person):
    for action, target, params in [("stop_vm", "vm/102", {}), ("delete_vm", "vm/103", {}), ("reboot_vm", "vm/101", {})]:
        agent.plan(action, target, **params)
    alice = person().sign_in("alice")
    headings = alice.page.locator("ul.cards h2")
    expect(headings).to_have_count(3)
    assert [text.split(" vm/")[0] for text in headings.all_inner_texts()] == ["Delete VM sandbox", "Stop VM homeassistant", "Reboot VM nas"]


def test_a_plan_leaves_the_inbox_when_somebody_else_decides(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice")
    expect(alice.page.locator("ul.cards h2")).to_have_count(1)
    agent.decide("bob", plan)
    expect(alice.page.get_by_text("Nothing waits for you")).to_be_visible()
    expect(alice.page).to_have_title("Inbox · proxmox-agent")


def test_own_plans_and_those_approved_already_do_not_wait_for_me(agent, person):
    agent.config["policy"]["rules"].append({"id": "two-for-102", "effect": "require_approval", "approvals": 2, "targets": ["vm/102"]})
    agent.reload()
    agent.plan("stop_vm", "vm/101", who="otto")
    agent.decide("otto", agent.plan("stop_vm", "vm/102"))
    otto = person().sign_in("otto")
    expect(otto.page.get_by_text("Nothing waits for you")).to_be_visible()
    expect(otto.page.get_by_role("heading", name="Yours, waiting for others")).to_be_visible()
    expect(otto.page.get_by_role("heading", name="Approved by you, waiting for others")).to_be_visible()
    expect(otto.page).to_have_title("Inbox · proxmox-agent")


def test_a_freeze_is_seen_on_every_page_and_lifted_by_who_may(agent, person):
    alice = person().sign_in("alice")
    agent.ask("bob", "POST", "/v1/freeze", {"environment": "home", "reason": "the <b>storage</b> is ill", "ttl": 600})
    banner = alice.page.locator("#banner")
    expect(banner).to_contain_text("Changes in home are frozen by bob: the <b>storage</b> is ill")
    alice.go("#/freeze").heading("Freeze")
    alice.page.get_by_role("button", name="Lift").click()
    expect(banner).to_be_empty()
    alice.page.get_by_label("Reason").fill("a drill")
    alice.page.get_by_role("button", name="Freeze changes").click()
    expect(banner).to_contain_text("All changes are frozen by alice: a drill")
    frozen = agent.ask("bob", "GET", "/v1/freeze")["freezes"]
    assert [(f["environment"], f["reason"], f["by"]) for f in frozen] == [(None, "a drill", "alice")]


def test_events_go_on_after_the_streams_were_cut(agent, person):
    alice = person().sign_in("alice")
    expect(alice.page.locator("#link")).to_have_text("Live")
    # Rules that change end all streams.
    agent.config["policy"]["rules"].append({"id": "more", "effect": "require_approval", "targets": ["vm/103"]})
    agent.reload()
    agent.plan("stop_vm", "vm/102")
    expect(alice.page.locator("ul.cards h2")).to_have_count(1)
    expect(alice.page.locator("#link")).to_have_text("Live")


def test_an_agent_that_is_away_is_said_and_sessions_end_with_it(agent, person):
    alice = person().sign_in("alice")
    expect(alice.page.locator("#link")).to_have_text("Live")
    agent.serving.terminate()
    agent.serving.wait(30)
    expect(alice.page.locator("#link")).to_have_text("Reconnecting …")
    agent.start()
    expect(alice.page.get_by_text("Your session has ended")).to_be_visible(timeout=40_000)
    agent.plan("stop_vm", "vm/102")
    alice.page.get_by_label("Your token").fill(agent.tokens["alice"])
    alice.page.keyboard.press("Enter")
    expect(alice.page.locator("ul.cards h2")).to_have_count(1)


def test_all_windows_of_a_browser_share_one_stream(agent, person):
    alice = person().sign_in("alice")
    expect(alice.page.locator("#link")).to_have_text("Live")
    windows = []
    for _ in range(7):
        page = alice.context.new_page()
        page.goto(f"{agent.url}/ui/")
        expect(page.get_by_role("heading", level=1)).to_have_text("Inbox")
        expect(page.locator("#link")).to_have_text("Live")
        windows.append(page)
    agent.plan("stop_vm", "vm/102")
    for page in windows:
        expect(page).to_have_title("(1) Inbox · proxmox-agent")
    # The window that listens is closed: another one goes on, and nothing is lost.
    alice.page.close()
    agent.plan("stop_vm", "vm/101")
    for page in windows:
        expect(page).to_have_title("(2) Inbox · proxmox-agent", timeout=30_000)


def test_when_somebody_else_signs_in_no_window_stays_behind(agent, person):
    alice = person().sign_in("alice")
    other = alice.context.new_page()
    other.goto(f"{agent.url}/ui/#/account")
    other.get_by_role("button", name="Sign out").click()
    other.get_by_label("Your token").fill(agent.tokens["bob"])
    other.keyboard.press("Enter")
    expect(other.locator("#nav")).to_contain_text("Signed in as bob")
    expect(alice.page.locator("#nav")).to_contain_text("Signed in as bob")


def test_a_card_says_what_is_deleted_and_what_to_look_at(agent, person):
    agent.plan("delete_vm", "vm/103")
    alice = person().sign_in("alice")
    card = alice.page.locator("ul.cards > li")
    expect(card).to_contain_text("sandbox is deleted, with disk scsi0 (32G)")
    expect(card.locator(".badges")).to_contain_text("1 warning")
    expect(card).to_contain_text("asked just now")
    stripe = card.evaluate("card => getComputedStyle(card).borderInlineStartColor")
    card.hover()
    alice.page.wait_for_function("() => document.querySelector('ul.cards > li').matches(':hover')")
    assert card.evaluate("card => getComputedStyle(card).borderInlineStartColor") == stripe


def test_what_the_page_asks_for_by_itself_keeps_no_session_alive(agent, person):
    otto = person().sign_in("otto")
    otto.go("#/audit").heading("Audit")
    is_background = lambda request: request.headers.get("x-background") == "1"
    with otto.page.expect_request(lambda request: "/v1/audit/head" in request.url and is_background(request), timeout=25_000):
        pass
    with otto.page.expect_request("**/v1/plans*") as asked:
        otto.page.get_by_role("link", name="Plans").click()
    assert not is_background(asked.value)
