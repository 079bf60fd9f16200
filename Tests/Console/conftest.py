import os
from pathlib import Path

import pytest
from agent import Agent
from playwright.sync_api import expect, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}

expect.set_options(timeout=15_000)


def pytest_addoption(parser):
    parser.addoption("--screenshots", help="the directory that the pictures of the documents are written to")
    parser.addoption("--files", help="serve the console's files from this directory, not those inside the program")


@pytest.fixture
def agent(tmp_path: Path):
    agent = Agent(tmp_path)
    try:
        agent.environment("home")
        yield agent.start()
    finally:
        agent.end()


@pytest.fixture(scope="session")
def browser():
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, browser, agent, files=None, **settings):
        self.agent = agent
        self.context = browser.new_context(**{"viewport": DESK, "locale": "en-GB", "timezone_id": "UTC", **settings})
        self.context.set_default_timeout(15_000)
        if files:
            self.context.route("**/ui/**", lambda route: self.serve(route, Path(files)))
        self.page = self.context.new_page()
        self.complaints = []
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.dialogs = []
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    @staticmethod
    def serve(route, files):
        """The agent's answer, headers and all, with the file of the sources in it."""
        name = route.request.url.split("/ui/")[1].split("?")[0] or "index.html"
        route.fulfill(response=route.fetch(), body=(files / name).read_bytes())

    def heard(self, message):
        # A refusal is an answer like others; the browser lists it all the same. RSA is left out on purpose.
        if message.type in ("error", "warning") and not any(word in message.text for word in ("Failed to load resource", "pubKeyCredParams")):
            self.complaints.append(message.text)

    def sign_in(self, who):
        self.who = who
        self.page.goto(f"{self.agent.url}/ui/")
        self.page.get_by_label("Your token").fill(self.agent.tokens[who])
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        expect(self.page.locator("#nav")).to_contain_text(f"Signed in as {who}")
        return self

    def go(self, address):
        self.page.evaluate("address => { location.hash = address }", address)
        return self

    def heading(self, text):
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(text)
        return self

    def open_plan(self, plan):
        self.go(f"#/plans/{plan['plan_id']}")
        expect(self.page.get_by_role("complementary", name="Decision")).to_be_visible()
        return self

    @property
    def decision(self):
        return self.page.get_by_role("complementary", name="Decision")


@pytest.fixture
def person(browser, agent, request):
    """Makes people: `person()` has a desk, `person(viewport=PHONE)` a phone."""
    people = []

    def make(**settings):
        people.append(Person(browser, agent, request.config.getoption("--files"), **settings))
        return people[-1]

    yield make
    complaints = [text for each in people for text in each.complaints]
    for each in people:
        each.context.unroute_all(behavior="ignoreErrors")
        each.context.close()
    assert complaints == []
