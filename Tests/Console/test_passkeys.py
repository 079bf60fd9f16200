"""Passkeys of a virtual authenticator: made, configured, used to approve and to sign in."""

import json
import re

import pytest
from playwright.sync_api import expect


def authenticator(somebody, **settings):
    """Gives the person's browser a passkey holder that confirms by itself."""
    session = somebody.context.new_cdp_session(somebody.page)
    session.send("WebAuthn.enable")
    made = session.send("WebAuthn.addVirtualAuthenticator", {"options": {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True, **settings,
    }})
    return session, made["authenticatorId"]


def add_passkey(agent, somebody, comment="phone"):
    """Makes a passkey on the account page, and puts its line into the configuration, as the page says."""
    somebody.go("#/account").heading("Account")
    somebody.page.get_by_label("Name of the device").fill(comment)
    somebody.page.get_by_role("button", name="Make a passkey").click()
    line = somebody.page.locator("#key-line").inner_text()
    assert re.fullmatch(rf"passkey ES256 [\w-]+ [A-Za-z0-9+/=]+ {comment}", line)
    next(p for p in agent.config["principals"] if p["id"] == somebody.who)["approval_keys"] = [line]
    agent.reload()
    return line


def test_approve_with_a_passkey_in_the_same_click(agent, person):
    alice = person().sign_in("alice")
    authenticator(alice)
    add_passkey(agent, alice)
    reason = 'a "reason"\nwith ümlaut'
    plan = agent.plan("stop_vm", "vm/102")
    alice.open_plan(plan)
    alice.page.get_by_label("Reason").fill(reason)
    alice.decision.get_by_role("button", name="Approve with passkey").click()
    expect(alice.page.locator("#message")).to_contain_text("You approved this plan")
    approval = agent.read_plan(plan)["approvals"][0]
    assert (approval["approver"], approval["reason"]) == ("alice", reason)
    records = agent.ask("olga", "GET", "/v1/audit?limit=1000")["records"]
    record = json.dumps(next(r for r in records if r["kind"] == "approve"))
    assert "proxmox-agent approval v1" in record and plan["plan_hash"] in record
    assert "1 signature" in agent.run("audit", "verify", agent.config["audit_log_path"])


@pytest.mark.parametrize("decision, state", [("Approve with passkey", "approved"), ("Reject", "rejected")])
def test_a_rule_that_takes_signatures(agent, person, decision, state):
    agent.config["policy"]["rules"].append({"id": "signed", "effect": "require_approval", "assurance": "signed", "targets": ["vm/102"]})
    agent.reload()
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice").open_plan(plan)
    authenticator(alice)
    expect(alice.decision).to_contain_text("takes a signed approval")
    expect(alice.decision.get_by_role("button", name="Approve")).to_be_disabled()
    add_passkey(agent, alice)
    alice.open_plan(plan)
    alice.page.get_by_label("Reason").fill("so be it")
    alice.decision.get_by_role("button", name=decision).click()
    expect(alice.decision.get_by_role("button", name=decision)).to_have_count(0)
    assert agent.read_plan(plan)["state"] == state


def test_a_passkey_that_says_no_approves_nothing(agent, person):
    alice = person().sign_in("alice")
    session, identifier = authenticator(alice)
    add_passkey(agent, alice)
    session.send("WebAuthn.setUserVerified", {"authenticatorId": identifier, "isUserVerified": False})
    plan = agent.plan("stop_vm", "vm/102")
    alice.open_plan(plan)
    alice.decision.get_by_role("button", name="Approve with passkey").click()
    expect(alice.page.get_by_role("alert")).to_contain_text("Nothing was sent")
    assert agent.read_plan(plan)["approvals"] == []


def test_sign_in_with_a_passkey(agent, person):
    alice = person().sign_in("alice")
    authenticator(alice)
    add_passkey(agent, alice)
    alice.go("#/account")
    alice.page.get_by_role("button", name="Sign out").click()
    alice.page.get_by_role("button", name="Sign in with a passkey").click()
    expect(alice.page.locator("#nav")).to_contain_text("Signed in as alice")
    assert agent.tokens["alice"] not in alice.page.content()
