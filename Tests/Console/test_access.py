"""Everybody can use it: by keyboard, on a phone, in both colour schemes, with help from axe-core."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import PHONE
from playwright.sync_api import expect

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}

# What axe-core may not overlook on the way: a page with something on it.
PAGES = {
    "#/": "Inbox",
    "#/plans": "Plans",
    "#/plans/PLAN": "Delete VM sandbox",
    "#/operations": "Operations",
    "#/operations/OPERATION": "Snapshot VM",
    "#/environments": "Environments",
    "#/environments/home": "home",
    "#/environments/home/vm/101": "nas",
    "#/environments/home/node/pve": "pve",
    "#/request": "Ask for a change",
    "#/request?environment=home&target=vm/101&action=configure_vm": "Configure VM",
    "#/freeze": "Freeze",
    "#/policy": "Policy",
    "#/audit": "Audit",
    "#/account": "Account",
    "#/nowhere": "There is no such page",
}


def problems(page):
    found = Axe().run(page, options=RULES).response["violations"]
    return [(each["id"], node["html"][:160], node["failureSummary"][:300]) for each in found for node in each["nodes"]]


def settled(page):
    """Waits until nothing is being loaded."""
    expect(page.locator(".loading")).to_have_count(0)
    page.wait_for_load_state("load")


@pytest.mark.parametrize("size", ["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(agent, person, scheme, size):
    plan = agent.plan("delete_vm", "vm/103", reason="old")
    agent.plan("stop_vm", "vm/102")
    operation = agent.apply(agent.plan("snapshot_vm", "vm/101", snapname="before", description="kept"))["operation"]["operation_id"]
    agent.ended(operation)
    agent.ask("bob", "POST", "/v1/freeze", {"environment": "home", "reason": "a drill"})
    settings = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if size == "phone" else {}
    otto = person(color_scheme=scheme, reduced_motion="reduce", **settings)
    otto.page.goto(f"{agent.url}/ui/")
    expect(otto.page.get_by_label("Your token")).to_be_visible()
    found = {"sign-in": problems(otto.page)}
    otto.sign_in("otto")
    for address, heading in PAGES.items():
        otto.go(address.replace("PLAN", plan["plan_id"]).replace("OPERATION", operation)).heading(heading)
        settled(otto.page)
        for details in otto.page.locator("#main details").all()[:4]:
            details.evaluate("element => { element.open = true }")
        found[address] = problems(otto.page)
        for narrow in ([320, 360] if size == "phone" else [1280, 3840]):
            otto.page.set_viewport_size({"width": narrow, "height": 740})
            width = otto.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert width <= 0, f"{address} is wider than the window of {narrow} by {width}"
    assert {address: each for address, each in found.items() if each} == {}


def test_by_keyboard_alone(agent, person):
    plan = agent.plan("delete_vm", "vm/103")
    alice = person()
    page = alice.page
    page.goto(f"{agent.url}/ui/")
    expect(page.get_by_label("Your token")).to_be_focused()
    page.keyboard.type(agent.tokens["alice"])
    page.keyboard.press("Enter")
    alice.heading("Inbox")

    def tab_to(locator, most=40):
        for _ in range(most):
            if locator.evaluate("element => element === document.activeElement"):
                outline = locator.evaluate("""element => [element, ...["::after"]].map((part, i) => getComputedStyle(element, i ? "::after" : null).outlineStyle)""")
                assert "solid" in outline, f"the focus is not visible: {outline}"
                return
            page.keyboard.press("Tab")
        raise AssertionError("the key Tab does not reach it")

    card = page.locator("ul.cards h2 a")
    expect(card).to_have_count(1)
    tab_to(card)
    page.keyboard.press("Enter")
    alice.heading("Delete VM sandbox")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    tab_to(page.get_by_label("Reason"))
    page.keyboard.type("seen")
    page.keyboard.press("Tab")
    page.keyboard.type("sandbox")
    tab_to(alice.decision.get_by_role("button", name="Approve"))
    page.keyboard.press("Space")
    expect(page.locator("#message")).to_be_focused()
    assert agent.read_plan(plan)["state"] == "approved"
    # The skip link comes first, and leads to the content.
    page.reload()
    alice.heading("Delete VM sandbox")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_on_a_phone_it_is_found_understood_and_approved(agent, person):
    plan = agent.plan("delete_vm", "vm/103", reason="replaced")
    alice = person(viewport=PHONE, has_touch=True, is_mobile=True).sign_in("alice")
    page = alice.page
    page.locator("ul.cards h2 a").tap()
    alice.heading("Delete VM sandbox")
    expect(page.get_by_text("is deleted")).to_be_in_viewport()
    page.get_by_role("link", name="Decide").tap()
    expect(page.get_by_label("Reason")).to_be_in_viewport()
    expect(page.get_by_role("link", name="Decide")).to_be_hidden()
    page.get_by_label("Type sandbox to approve").fill("sandbox")
    approve = alice.decision.get_by_role("button", name="Approve")
    approve.tap()
    expect(page.locator("#message")).to_be_in_viewport()
    assert agent.read_plan(plan)["state"] == "approved"
    small = page.evaluate("""() => [...document.querySelectorAll("button, select, input:not([type=checkbox]), nav a, summary")]
        .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 44).map(e => e.outerHTML.slice(0, 80))""")
    assert small == []
    page.get_by_role("button", name="Menu").tap()
    page.get_by_role("link", name="Freeze").tap()
    alice.heading("Freeze")
    expect(page.locator("#nav")).to_be_hidden()


def test_a_phone_says_in_words_that_the_connection_is_lost(agent, person):
    alice = person(viewport=PHONE, has_touch=True, is_mobile=True).sign_in("alice")
    link = alice.page.locator("#link")
    expect(link).to_have_text("Live")
    agent.serving.terminate()
    agent.serving.wait(30)
    expect(link).to_have_text("Reconnecting …")
    assert float(link.evaluate("element => parseFloat(getComputedStyle(element).fontSize)")) >= 12
    expect(link).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("address, region", [("#/environments", "Guests"), ("#/policy", "Actions")])
def test_tables_fit_into_a_phone(agent, person, address, region):
    carol = person(viewport=PHONE, has_touch=True, is_mobile=True).sign_in("carol")
    carol.go(address)
    if region == "Actions":
        carol.page.locator("summary").last.click()
    table = carol.page.get_by_role("region", name=region)
    expect(table.get_by_text("Risk" if region == "Actions" else "nas").first).to_be_attached()
    assert table.evaluate("element => element.scrollWidth - element.clientWidth") <= 0
