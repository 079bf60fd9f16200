"""Pictures for the documents, from the real page: only with `--screenshots DIRECTORY`."""

from pathlib import Path

import pytest
from agent import Agent
from conftest import PHONE
from playwright.sync_api import expect


@pytest.fixture
def directory(request):
    directory = request.config.getoption("--screenshots")
    if not directory:
        pytest.skip("needs --screenshots DIRECTORY")
    Path(directory).mkdir(parents=True, exist_ok=True)
    return Path(directory)


@pytest.fixture
def agent(tmp_path, directory):
    agent = Agent(tmp_path)
    try:
        agent.environment("home", task_ms=20_000)
        yield agent.start()
    finally:
        agent.end()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures(agent, person, directory, scheme):
    agent.plan("stop_vm", "vm/102", reason="new disk")
    plan = agent.plan("delete_vm", "vm/103", reason="The sandbox was replaced last week.\nNothing uses it any more.")
    agent.plan("configure_vm", "vm/101", reason="half of its memory is never used", memory=8192, net0="virtio=BC:24:11:7F:12:66,bridge=vmbr0,firewall=0")
    agent.plan("reboot_container", "lxc/111", reason="kernel update")
    backup = agent.apply(agent.plan("backup_vm", "vm/101", storage="local"))["operation"]["operation_id"]
    desk = person(color_scheme=scheme, viewport={"width": 1120, "height": 700}).sign_in("alice")
    expect(desk.page.locator("ul.cards .change .arrow")).not_to_have_count(0)

    def take(somebody, name):
        path = directory / f"console-{name}-{scheme}.png"
        somebody.page.screenshot(path=path, animations="disabled")
        assert path.stat().st_size < 150_000, f"{path} has {path.stat().st_size} bytes"

    take(desk, "inbox")
    phone = person(color_scheme=scheme, viewport=PHONE, has_touch=True, is_mobile=True).sign_in("alice").open_plan(plan)
    take(phone, "plan")
    desk.go(f"#/operations/{backup}").heading("Backup VM")
    expect(desk.page.get_by_text("It is under way.")).to_be_visible()
    expect(desk.page.locator(".progress")).to_contain_text("%")
    expect(desk.page.get_by_role("region", name="Log of the task").get_by_role("listitem")).not_to_have_count(0)
    take(desk, "operation")
