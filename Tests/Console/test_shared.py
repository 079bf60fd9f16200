"""The one shared token: who holds it declares approvals, and nobody else does."""

import os

import pytest
from agent import Agent
from playwright.sync_api import expect

TOKEN = "a-shared-token-of-more-than-thirty-two-characters"


@pytest.fixture
def agent(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "PROXMOX_AGENT_API_TOKEN", TOKEN)
    agent = Agent(tmp_path)
    try:
        del agent.config["principals"]
        agent.tokens = {"operator": TOKEN}
        agent.environment("home")
        agent.config["accept_declared_approvals"] = True
        yield agent.start()
    finally:
        agent.end()


def test_who_holds_the_shared_token_names_the_person_that_approved(agent, person):
    plan = agent.plan("stop_vm", "vm/102", who="operator")
    operator = person().sign_in("operator").open_plan(plan)
    operator.decision.get_by_label("Approved by").fill("alice")
    operator.decision.get_by_role("button", name="Apply now").click()
    expect(operator.page.get_by_text("It succeeded.")).to_be_visible()
    assert [(a["approver"], a["assurance"]) for a in agent.read_plan(plan, "operator")["approvals"]] == [("alice", "declared")]


def test_plans_of_somebody_else_are_not_theirs(agent, person):
    plan = agent.plan("stop_vm", "vm/102", who="operator")
    operator = person().sign_in("operator")
    # The same plan, as if a principal had asked for it.
    operator.page.route(f"**/v1/plans/{plan['plan_id']}", lambda route: route.fulfill(json={**agent.read_plan(plan, "operator"), "requester": "pi-agent"}))
    operator.open_plan(plan)
    expect(operator.decision).to_contain_text("Waits for approval")
    expect(operator.page.get_by_label("Approved by")).to_have_count(0)
    expect(operator.page.get_by_role("button", name="Apply now")).to_have_count(0)
