"""Checks what the receiver took, once all is there: DIRECTORY PLAN NEW-SECRET OLD-SECRET."""

import json
import pathlib
import sys
import time

from standardwebhooks import Webhook, WebhookVerificationError

work, plan, new, old = pathlib.Path(sys.argv[1]), *sys.argv[2:]
wanted = {"https": 2, "http": 5, "smtp": 1, "starttls": 1, "smtps": 1}


def received():
    file = work / "received"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


deadline = time.monotonic() + 30
while {by: sum(e["by"] == by for e in received()) for by in wanted} != wanted:
    if time.monotonic() > deadline:
        sys.exit(f"not all came: {[(e['by'], e.get('path')) for e in received()]}")
    time.sleep(0.1)
entries = received()
link = f"https://agent.example:8443/ui/#/plans/{plan}"
raw = json.dumps(entries, ensure_ascii=False)
assert "\u202e" not in raw, "a character that turns the direction of writing"


def one(by, path=""):
    found = [e for e in entries if e["by"] == by and e.get("path", "").startswith(path)]
    assert len(found) == 1, (by, path, len(found))
    return found[0], json.loads(found[0]["body"]) if "body" in found[0] else None


# Standard Webhooks, by their own library, with either secret and with no other.
hooks = [e for e in entries if e["by"] == "https"]
for hook in hooks:
    assert hook["path"] == "/hook?from=agent"
    for secret in (new, old):
        Webhook(secret).verify(hook["body"], hook["headers"])
    try:
        Webhook("whsec_" + "A" * 44).verify(hook["body"], hook["headers"])
        sys.exit("a wrong secret verifies")
    except WebhookVerificationError:
        pass
asked, frozen = (json.loads(hook["body"]) for hook in hooks)
assert (asked["type"], frozen["type"]) == ("approval_wanted", "freeze"), "the order"
data = asked["data"]
assert data["plan_id"] == plan and data["url"] == link and data["environment"] == "home"
facts = {fact["name"]: fact for fact in data["facts"]}
assert facts["Reason"]["source"] == "caller" and facts["Name"]["source"] == "guest"
assert facts["Asked by"]["text"] == "operator" and "vm/101 on home" in facts["Where"]["text"]

_, ntfy = one("http", "/ntfy/")
assert ntfy["topic"] == "ops" and ntfy["click"] == link and ntfy["title"] == data["title"]
push, gotify = one("http", "/gotify/message")
assert push["headers"]["x-gotify-key"] == "app-token" and gotify["title"] == data["title"]
assert gotify["extras"]["client::notification"]["click"]["url"] == link
_, slack = one("http", "/slack/T0/B0/secret")
assert [b["text"]["type"] for b in slack["blocks"]] == ["plain_text", "mrkdwn"] and "<!channel>" not in slack["text"]
assert slack["blocks"][1]["text"]["text"] == f"<{link}|Open in the console>"
_, discord = one("http", "/discord/")
assert discord["allowed_mentions"] == {"parse": []} and len(discord["content"]) <= 2000
assert "\\*bold\\*" in discord["content"] and "[x](" not in discord["content"]
_, mattermost = one("http", "/mattermost/")
assert "@everyone" not in mattermost["text"] and "\\*bold\\*" in mattermost["text"]

for by in ("smtp", "starttls", "smtps"):
    mail, _ = one(by)
    # aiosmtpd tells of TLS only where it began with STARTTLS.
    assert mail["tls"] == (by == "starttls") and mail["user"] == "agent" and not mail["defects"], mail
    assert mail["from"] == "agent@example.com" and sorted(mail["to"]) == ["boss@example.com", "ops@example.com"]
    assert mail["headers"]["auto-submitted"] == "auto-generated" and "message-id" in mail["headers"], mail
    title, text = (data["title"], link) if by != "starttls" else (frozen["data"]["title"], "fire drill")
    assert mail["headers"]["subject"] == title and text in mail["text"], mail
print(f"{len(entries)} notifications, all as they should be")
