"""Approving, rejecting, applying; and everything that gets in between."""

import re

import pytest
from agent import Refused
from playwright.sync_api import expect


def test_the_page_of_a_plan_says_all_that_an_approver_has_to_know(agent, person):
    plan = agent.plan("configure_vm", "vm/101", reason="more\nthan one line", memory=8192, net0="virtio=BC:24:11:7F:12:66,bridge=vmbr0,firewall=0,rate=20")
    alice = person().sign_in("alice").open_plan(plan)
    main = alice.page.get_by_role("main")
    for text in ["Configure VM nas", "Awaiting approval", "High risk", "home", "memory 16384 → 8192", "net0.firewall 1 → 0", "net0.rate 20", "pi-agent asked", "more\nthan one line",
                 "base:configure_vm", "Can be taken back", "vm/101", "target", "node/pve", "memory takes effect at the next start", "POST /nodes/pve/qemu/101/config"]:
        expect(main).to_contain_text(text, use_inner_text=True)
    main.get_by_text("Numbers and hashes").click()
    expect(main.get_by_text(plan["plan_hash"], exact=True)).to_be_visible()


def test_approve(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice")
    alice.page.get_by_role("link", name=re.compile("Stop VM homeassistant")).click()
    alice.heading("Stop VM homeassistant")
    alice.page.get_by_label("Reason").fill("fine with me")
    with alice.page.expect_request("**/approvals") as sent:
        alice.decision.get_by_role("button", name="Approve").click()
    assert sent.value.post_data_json == {"decision": "approve", "plan_hash": plan["plan_hash"], "reason": "fine with me"}
    expect(alice.page.get_by_text("You approved this plan. pi-agent can apply it now.").first).to_be_visible()
    now = agent.read_plan(plan)
    assert now["state"] == "approved"
    assert [(a["approver"], a["reason"]) for a in now["approvals"]] == [("alice", "fine with me")]


def test_reject_takes_a_reason(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice").open_plan(plan)
    alice.decision.get_by_role("button", name="Reject").click()
    expect(alice.page.get_by_role("alert")).to_contain_text("Say why")
    expect(alice.page.get_by_label("Reason")).to_be_focused()
    assert agent.read_plan(plan)["state"] == "awaiting_approval"
    alice.page.get_by_label("Reason").fill("not today")
    alice.decision.get_by_role("button", name="Reject").click()
    expect(alice.page.get_by_text("You rejected this plan").first).to_be_visible()
    assert agent.read_plan(plan)["rejection"]["reason"] == "not today"


def test_high_risk_takes_the_machines_name(agent, person):
    plan = agent.plan("delete_vm", "vm/103")
    alice = person().sign_in("alice").open_plan(plan)
    expect(alice.page.get_by_text("Cannot be taken back.", exact=True)).to_be_visible()
    for typed in ["", "sandbo"]:
        alice.page.get_by_label("Type sandbox to approve").fill(typed)
        alice.decision.get_by_role("button", name="Approve").click()
        expect(alice.page.get_by_role("alert")).to_contain_text("Type sandbox first")
    assert agent.read_plan(plan)["approvals"] == []
    alice.page.get_by_label("Type sandbox to approve").fill("sandbox")
    alice.decision.get_by_role("button", name="Approve").click()
    expect(alice.page.get_by_text("You approved this plan").first).to_be_visible()
    assert agent.read_plan(plan)["state"] == "approved"


def test_two_approvers_at_once(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice").open_plan(plan)
    bob = person().sign_in("bob").open_plan(plan)
    # Neither hears of the other before both have pressed.
    for somebody in (alice, bob):
        somebody.page.evaluate("""() => { window.go = new Promise(resolve => { window.release = resolve });
            const plain = window.fetch; window.fetch = async (...all) => { if (String(all[0]).endsWith("/approvals")) await window.go; return plain(...all); } }""")
        somebody.decision.get_by_role("button", name="Approve").click()
    for somebody in (alice, bob):
        somebody.page.evaluate("window.release()")
    for somebody in (alice, bob):
        expect(somebody.decision).to_contain_text("pi-agent can apply it")
    now = agent.read_plan(plan)
    assert now["state"] == "approved" and len(now["approvals"]) == 1
    won, lost = (alice, bob) if now["approvals"][0]["approver"] == "alice" else (bob, alice)
    expect(won.page.locator("#message")).to_contain_text("You approved this plan")
    expect(lost.page.locator("#message")).to_contain_text("Nothing was decided")


def test_of_two_approvals_each_counts(agent, person):
    agent.config["policy"]["rules"].append({"id": "two-for-102", "effect": "require_approval", "approvals": 2, "targets": ["vm/102"]})
    agent.reload()
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice").open_plan(plan)
    bob = person().sign_in("bob").open_plan(plan)
    expect(alice.page.get_by_role("main")).to_contain_text("rule:two-for-102")
    bob.page.get_by_label("Reason").fill("half typed")
    alice.decision.get_by_role("button", name="Approve").click()
    expect(alice.page.locator("#message")).to_contain_text("1 more is needed")
    expect(bob.page.locator("#message")).to_contain_text("alice approved this plan")
    expect(bob.page.get_by_label("Reason")).to_have_value("half typed")
    bob.decision.get_by_role("button", name="Approve").click()
    expect(alice.decision).to_contain_text("2 of 2 approvals")
    assert agent.read_plan(plan)["state"] == "approved"


def test_a_plan_that_was_decided_meanwhile_says_so_at_once(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    alice = person().sign_in("alice").open_plan(plan)
    expect(alice.page.locator("#link")).to_have_text("Live")
    agent.decide("bob", plan, "reject", "no <i>way</i>")
    expect(alice.page.get_by_role("status").filter(has_text="This plan has changed while you looked at it")).to_contain_text("bob rejected this plan")
    expect(alice.decision.get_by_role("button", name="Approve")).to_have_count(0)
    expect(alice.decision).to_contain_text("no <i>way</i>")


def test_a_stale_plan_says_so_at_once(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    agent.decide("bob", plan)
    otto = person().sign_in("alice").open_plan(plan)
    expect(otto.page.locator("#link")).to_have_text("Live")
    other = agent.plan("configure_vm", "vm/102", memory=2048)
    assert agent.ended(agent.apply(other)["operation"]["operation_id"])["state"] == "succeeded"
    with pytest.raises(Refused) as refused:
        agent.apply(plan)
    assert refused.value.problem["code"] == "plan_stale"
    expect(otto.page.locator("#message")).to_contain_text("What it was made on has changed since")
    expect(otto.page.get_by_role("main")).to_contain_text("Stale")


def test_without_events_the_agents_refusal_says_so(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    alice = person()
    alice.context.route("**/v1/events*", lambda route: route.abort())
    alice.sign_in("alice").open_plan(plan)
    agent.decide("bob", plan, "reject", "no")
    alice.decision.get_by_role("button", name="Approve").click()
    expect(alice.page.locator("#message")).to_contain_text("Nothing was decided")
    expect(alice.decision).to_contain_text("Rejected by bob")


def test_the_one_who_asked_applies_and_follows_it(agent, person):
    otto = person().sign_in("otto")
    otto.go("#/environments/home/vm/103").heading("sandbox")
    otto.page.get_by_role("link", name="Start VM").click()
    otto.heading("Start VM sandbox vm/103")
    otto.page.get_by_label("Reason").fill("to try it")
    otto.page.get_by_role("button", name="Make a plan").click()
    otto.heading("Start VM sandbox")
    otto.page.get_by_role("button", name="Apply now").click()
    expect(otto.page.get_by_text("It succeeded.")).to_be_visible()
    expect(otto.page.get_by_role("region", name="Log of the task")).to_contain_text("TASK OK")
    otto.go("#/operations").heading("Operations")
    expect(otto.page.get_by_role("listitem").filter(has_text="Start VM vm/103")).to_contain_text("Succeeded")


def test_a_form_shows_the_agents_errors_beside_its_fields(agent, person):
    otto = person().sign_in("otto")
    otto.go("#/request?environment=home&target=vm/101&action=snapshot_vm").heading("Snapshot VM nas vm/101")
    otto.page.get_by_label("snapname").fill("1 2 3")
    otto.page.get_by_role("button", name="Make a plan").click()
    expect(otto.page.get_by_label("snapname")).to_have_attribute("aria-invalid", "true")
    expect(otto.page.get_by_label("snapname")).to_be_focused()
    otto.page.get_by_label("snapname").fill("before")
    otto.page.get_by_role("button", name="Make a plan").click()
    otto.heading("Snapshot VM nas")


def test_a_snapshot_is_taken_and_rolled_back_from_the_machines_page(agent, person):
    agent.ended(agent.apply(agent.plan("snapshot_vm", "vm/103", snapname="before", description="kept"))["operation"]["operation_id"])
    otto = person().sign_in("otto")
    otto.go("#/environments/home/vm/103").heading("sandbox")
    snapshot = otto.page.get_by_role("listitem").filter(has_text="before").filter(has_text="kept")
    snapshot.get_by_role("link", name="Roll back").click()
    otto.heading("Rollback snapshot sandbox vm/103")
    expect(otto.page.get_by_label("snapname")).to_have_value("before")
    otto.page.get_by_role("button", name="Make a plan").click()
    otto.heading("Rollback snapshot sandbox")
    expect(otto.page.get_by_text("another person has to approve it")).to_be_visible()
    # A parameter of the same name as the machine that the form is about.
    otto.go("#/request?environment=home&target=vm/101&action=migrate_vm").heading("Migrate VM nas vm/101")
    expect(otto.page.get_by_label("target required")).to_have_value("")


def test_what_would_happen_if(agent, person):
    carol = person().sign_in("carol")
    carol.go("#/policy").heading("Policy")
    carol.page.get_by_label("Action", exact=True).select_option("delete_vm")
    carol.page.get_by_label("Target").fill("vm/101")
    carol.page.get_by_role("button", name="Ask").click()
    answer = carol.page.locator("#answer")
    expect(answer).to_contain_text("denied")
    expect(answer).to_contain_text("rule:keep-nas")
    expect(answer).to_contain_text("this is about a dry run")
    rules = answer.get_by_role("listitem")
    expect(rules.filter(has_text="keep-nas")).to_contain_text("Matches vm/101")
    answer.get_by_text("1 rule does not match").click()
    expect(rules.filter(has_text="two-for-production")).to_contain_text("`tagged production` does not hold for vm/101")
    answer.get_by_text("What the rules looked at").click()
    expect(rules.filter(has_text="Guest names")).to_contain_text("nas")
    assert agent.ask("carol", "GET", "/v1/plans")["plans"] == []


def test_who_may_change_is_told_what_a_change_needs(agent, person):
    otto = person().sign_in("otto")
    otto.go("#/policy").heading("Policy")
    otto.page.get_by_label("Action", exact=True).select_option("stop_vm")
    otto.page.get_by_label("Target").fill("vm/102")
    otto.page.get_by_role("button", name="Ask").click()
    answer = otto.page.locator("#answer")
    expect(answer).to_contain_text("1 approval needed")
    expect(answer).not_to_contain_text("dry run")
    expect(answer.get_by_text("No rule matches.")).to_be_visible()
    otto.page.get_by_label("Action", exact=True).select_option("delete_vm")
    otto.page.get_by_label("Target").fill("vm/101")
    otto.page.get_by_role("button", name="Ask").click()
    expect(answer).to_contain_text("the storage of all others")
    assert agent.ask("carol", "GET", "/v1/plans")["plans"] == []


def test_an_auditor_finds_an_approval_in_the_log(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    agent.decide("alice", plan, reason="seen by alice")
    olga = person().sign_in("olga").heading("Audit")
    olga.page.get_by_label("Search").fill("seen by alice")
    records = olga.page.locator("ul.records > li")
    expect(records).to_have_count(1)
    records.locator("summary").click()
    expect(records).to_contain_text(plan["plan_hash"])


def test_from_a_plan_to_its_records(agent, person):
    plan = agent.plan("stop_vm", "vm/102")
    agent.decide("alice", plan)
    agent.plan("stop_vm", "vm/101")
    otto = person().sign_in("otto").open_plan(plan)
    otto.page.get_by_role("link", name="Its records in the audit log").click()
    otto.heading("Audit")
    records = otto.page.locator("ul.records > li")
    expect(records).to_have_count(2)
    assert [text.split()[1] for text in records.all_inner_texts()] == ["approve", "plan"]
    for record in records.all():
        expect(record.locator("summary")).to_contain_text("stop_vm vm/102")
    otto.page.get_by_label("Kind").select_option("approve")
    expect(records).to_have_count(1)
    expect(records).to_contain_text("alice")
    expect(otto.page.get_by_role("status").filter(has_text="record")).to_have_text("1 record")


def test_the_rules_in_force_are_shown(agent, person):
    carol = person().sign_in("carol")
    carol.go("#/policy").heading("Policy")
    rules = carol.page.get_by_role("listitem")
    expect(rules.filter(has_text="keep-nas")).to_contain_text("the storage of all others")
    expect(rules.filter(has_text="two-for-production")).to_contain_text("2 approvals")
    expect(rules.filter(has_text="two-for-production")).to_contain_text("require_approval (2) tagged production")
    expect(rules.filter(has_text="keep-nas")).to_contain_text("It holds everybody's files")
    agent.config["policy"]["rules"].append({"id": "new-one", "effect": "deny", "targets": ["vm/103"]})
    agent.reload()
    expect(rules.filter(has_text="new-one")).to_contain_text("vm/103")


def test_the_hints_of_a_form_are_as_they_have_to_be_typed(agent, person):
    otto = person().sign_in("otto")
    otto.go("#/request?environment=home&target=vm/101&action=configure_vm").heading("Configure VM nas vm/101")
    expect(otto.page.get_by_role("main")).to_contain_text("order=,up=,down=")
    expect(otto.page.get_by_role("main")).to_contain_text("network,disk,usb,memory,cpu")
    expect(otto.page.get_by_role("main")).to_contain_text("in home")


def test_a_form_with_nothing_in_it_says_one_sentence(agent, person):
    otto = person().sign_in("otto")
    otto.go("#/request?environment=home&target=vm/101&action=configure_vm").heading("Configure VM")
    otto.page.get_by_role("button", name="Make a plan").click()
    expect(otto.page.locator("#form-problem")).to_have_text("Nothing is filled in: give at least one setting.")
    expect(otto.page.locator("[data-field] :focus")).to_have_count(1)


def test_errors_name_the_field_and_are_short(agent, person):
    otto = person().sign_in("otto")
    otto.go("#/request?environment=home&target=vm/101&action=backup_vm").heading("Backup VM")
    otto.page.get_by_role("button", name="Make a plan").click()
    expect(otto.page.locator("#form-problem")).to_have_text("storage: needed, where the backup goes")
    expect(otto.page.get_by_label("storage")).to_be_focused()
    otto.go("#/request?environment=home&target=vm/101&action=configure_vm").heading("Configure VM")
    otto.page.locator("summary").click()
    otto.page.get_by_label("Devices").fill("net0=virtio,bridge=vmbr0\nnothing7=1")
    otto.page.get_by_role("button", name="Make a plan").click()
    expect(otto.page.locator("#form-problem")).to_have_text("nothing7: there is no such setting here")
    expect(otto.page.get_by_label("Devices")).to_be_focused()


def test_the_one_who_asked_hears_good_news_and_has_no_button_to_decide(agent, person):
    plan = agent.plan("stop_vm", "vm/102", who="otto")
    otto = person().sign_in("otto").open_plan(plan)
    expect(otto.decision).to_contain_text("anybody else who may approve in home can decide")
    expect(otto.page.get_by_role("link", name="Decide")).to_have_count(0)
    expect(otto.page.get_by_label("Approved by")).to_have_count(0)
    expect(otto.page.locator("#link")).to_have_text("Live")
    agent.decide("alice", plan)
    message = otto.page.locator("#message .notice")
    expect(message).to_have_class("notice good")
    expect(message).to_have_text("alice approved this plan. You can apply it now.")


def test_no_undo_is_red_only_where_something_is_lost(agent, person):
    alice = person().sign_in("alice")
    for plan, is_final in [(agent.plan("delete_vm", "vm/103"), True), (agent.plan("reboot_vm", "vm/101"), False),
                           (agent.plan("backup_vm", "vm/101", storage="local"), False)]:
        alice.open_plan(plan)
        expect(alice.page.locator(".notice.final")).to_have_count(int(is_final))
        expect(alice.page.get_by_text("There is no undo for this.")).to_have_count(int(not is_final))


def test_a_plan_that_needs_no_approval_is_ready(agent, person):
    plan = agent.plan("start_vm", "vm/103")
    carol = person().sign_in("carol").open_plan(plan)
    expect(carol.page.locator(".badges")).to_contain_text("Ready")
    expect(carol.decision.get_by_role("heading")).to_have_text("Ready")
    carol.go("#/plans").heading("Plans")
    expect(carol.page.get_by_role("listitem").filter(has_text="Start VM sandbox")).to_contain_text("Ready")
