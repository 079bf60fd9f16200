"""How large the console is, how fast it draws, and what its answers allow."""

import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect

FILES = Path(__file__).parents[2] / "Sources/CConsole/files"


def test_the_whole_console_is_smaller_than_150_kB(agent, person):
    sizes = {}
    for file in FILES.iterdir():
        with urllib.request.urlopen(f"{agent.address}/ui/{file.name}") as answer:
            sizes[file.name] = len(answer.read())
        assert sizes[file.name] == file.stat().st_size
    print(f"{sum(sizes.values())} bytes in {len(sizes)} files")
    assert sum(sizes.values()) < 150_000


def test_it_draws_soon(agent, person, record_property):
    for number in range(101, 103):
        agent.plan("stop_vm", f"vm/{number}")
    alice = person().sign_in("alice")
    expect(alice.page.locator("ul.cards h2")).to_have_count(2)
    # The page says itself when the inbox is drawn: a frame after it has got its first plan.
    alice.page.add_init_script("""new MutationObserver((_, observer) => {
        if (!document.querySelector("ul.cards h2")) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => { window.drawn = performance.now(); }));
    }).observe(document, {childList: true, subtree: true})""")
    first, inbox = [], []
    for _ in range(9):
        alice.page.goto("about:blank")
        alice.page.goto(f"{agent.url}/ui/", wait_until="commit")
        alice.page.wait_for_function("() => window.drawn")
        inbox.append(alice.page.evaluate("window.drawn"))
        first.append(alice.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    first.sort()
    inbox.sort()
    print(f"first paint {first[4]:.0f} ms, inbox {inbox[4]:.0f} ms (medians of 9); slowest {inbox[-1]:.0f} ms")
    record_property("first_paint_ms", first)
    record_property("inbox_ms", inbox)
    # The aim is 300 ms on two cores of their own; a machine that tests is busy with more.
    assert inbox[4] < 1500


@pytest.mark.parametrize("name", ["index.html", "app.js", "app.css", "icon.svg", ""])
def test_the_answers_allow_nothing_from_elsewhere(agent, name):
    with urllib.request.urlopen(f"{agent.address}/ui/{name}") as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http:" not in policy and "*" not in policy


def test_nothing_is_asked_of_another_host(agent, person):
    asked = []
    alice = person()
    alice.page.on("request", lambda request: asked.append(request.url))
    alice.sign_in("alice")
    for address in ["#/plans", "#/environments", "#/environments/home/vm/101", "#/policy", "#/account"]:
        alice.go(address)
        expect(alice.page.locator(".loading")).to_have_count(0)
    assert [url for url in asked if not url.startswith(agent.url + "/")] == []
