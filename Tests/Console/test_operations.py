"""Following, stopping and settling what is carried out."""

import re

import pytest
from agent import Agent
from playwright.sync_api import expect


@pytest.fixture
def slow(tmp_path):
    """An agent whose Proxmox VE takes a minute for each task."""
    agent = Agent(tmp_path)
    try:
        agent.environment("home", task_ms=60_000)
        yield agent.start()
    finally:
        agent.end()


@pytest.fixture
def agent(slow):
    return slow


def test_a_running_operation_can_be_stopped(agent, person):
    operation = agent.apply(agent.plan("backup_vm", "vm/101", storage="local"))["operation"]
    otto = person().sign_in("otto")
    otto.go("#/operations").heading("Operations")
    expect(otto.page.get_by_role("heading", name="Under way")).to_be_visible()
    otto.page.get_by_role("link", name=re.compile("Backup VM")).click()
    expect(otto.page.get_by_text("It is under way.")).to_be_visible()
    otto.page.get_by_text("Stop its task …").click()
    otto.page.get_by_role("button", name="Stop the task").click()
    expect(otto.page.get_by_text("It was cancelled.")).to_be_visible()
    assert agent.ended(operation["operation_id"])["state"] == "cancelled"


def test_an_unknown_outcome_is_settled_with_a_reason(agent, person):
    operation = agent.apply(agent.plan("start_vm", "vm/103"))["operation"]
    # The same environment at another address: what becomes of the task cannot be found out any more.
    agent.serving.kill()
    agent.serving.wait(30)
    agent.config["environments"].clear()
    agent.environment("home")
    agent.start()
    alice = person().sign_in("alice")
    alice.page.get_by_role("link", name=re.compile("Start VM")).click()
    expect(alice.page.get_by_text("Its outcome is not known.")).to_be_visible()
    alice.page.get_by_label("How do you know?").fill("looked at the node")
    alice.page.get_by_role("button", name="It failed").click()
    expect(alice.page.get_by_text("It failed.", exact=True)).to_be_visible()
    assert agent.ended(operation["operation_id"])["state"] == "failed"


def test_the_glass_is_broken_and_somebody_else_reviews_it(slow, person):
    slow.ask("alice", "POST", "/v1/freeze", {"reason": "hands off"})
    plan = slow.plan("start_vm", "vm/103", who="fay")
    fay = person().sign_in("fay")
    fay.go(f"#/plans/{plan['plan_id']}").heading("Start VM")
    fay.page.get_by_role("button", name="Apply now").click()
    expect(fay.page.locator("#apply-problem")).to_contain_text("frozen")
    fay.page.get_by_text("In an emergency …").click()
    fay.page.get_by_role("button", name="Break the glass").click()
    expect(fay.page.get_by_label("Why this cannot wait")).to_be_focused()
    fay.page.get_by_label("Why this cannot wait").fill("the shop is down")
    fay.page.get_by_role("button", name="Break the glass").click()
    fay.heading("Start VM")
    expect(fay.page.get_by_role("heading", name="Emergency")).to_be_visible()
    expect(fay.page.get_by_text("Somebody else has to review it.")).to_be_visible()
    expect(fay.page.get_by_role("button", name="It was justified")).to_have_count(0)

    alice = person().sign_in("alice")
    expect(alice.page.get_by_role("heading", name="Emergencies to review")).to_be_visible()
    alice.page.get_by_role("link", name=re.compile("Start VM")).click()
    expect(alice.page.get_by_text("the shop is down")).to_be_visible()
    alice.page.get_by_role("button", name="It was not").click()
    expect(alice.page.get_by_label("What did you find?")).to_be_focused()
    alice.page.get_by_label("What did you find?").fill("it could wait")
    alice.page.get_by_role("button", name="It was not").click()
    expect(alice.page.get_by_text("Unjustified, says alice")).to_be_visible()
    alice.go("#/").heading("Inbox")
    expect(alice.page.get_by_role("heading", name="Emergencies to review")).to_have_count(0)


def test_without_the_role_there_is_no_way_to_break_it(slow, person):
    plan = slow.plan("start_vm", "vm/103", who="otto")
    otto = person().sign_in("otto")
    otto.go(f"#/plans/{plan['plan_id']}").heading("Start VM")
    expect(otto.page.get_by_role("button", name="Apply now")).to_be_visible()
    expect(otto.page.get_by_text("In an emergency …")).to_have_count(0)
