"""How the page shows text and time, asked of its own functions."""

import unicodedata

import pytest
from playwright.sync_api import expect

# Derived core property Default_Ignorable_Code_Point (Unicode 16), beyond format characters.
IGNORABLE = [0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2065, 0x3164, *range(0xFE00, 0xFE10), 0xFFA0, *range(0xFFF0, 0xFFF9),
             *range(0xE0000, 0xE1000)]
BLANK_BRAILLE = 0x2800


@pytest.fixture
def page(agent, person):
    page = person().page
    page.goto(f"{agent.url}/ui/")
    expect(page.get_by_label("Your token")).to_be_visible()
    return page


def test_every_character_that_is_not_seen_is_shown_by_its_number(page):
    bare = set(page.evaluate("""async () => {
        const { plain } = await import("/ui/dom.js");
        const bare = [];
        for (let code = 0; code < 0x110000; code += 1) if (plain(String.fromCodePoint(code)) === String.fromCodePoint(code)) bare.push(code);
        return bare;
    }"""))
    hidden = {code for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp")}
    hidden |= {*IGNORABLE, BLANK_BRAILLE}
    hidden -= {0x20}
    assert sorted(map(hex, hidden & bare)) == []
    seen = [ord(c) for c in " aZ09~é€漢ا🙂–“"]
    assert [chr(code) for code in seen if code not in bare] == []


@pytest.mark.parametrize("character, shown", [
    ("\u200b", "⟨U+200B⟩"), ("\u202e", "⟨U+202E⟩"), ("\u00a0", "⟨U+00A0⟩"), ("\u2003", "⟨U+2003⟩"), ("\u2800", "⟨U+2800⟩"), ("\u034f", "⟨U+034F⟩"),
    ("\u3164", "⟨U+3164⟩"), ("\ue000", "⟨U+E000⟩"), ("\U000e0041", "⟨U+E0041⟩"), ("\U0010fffd", "⟨U+10FFFD⟩"), ("\u0007", "⟨U+0007⟩"), ("\n", "⟨newline⟩"),
    ("\t", "⟨tab⟩"), ("\u2065", "⟨U+2065⟩"), ("\u2062", "⟨U+2062⟩"),
])
def test_it_says_which(page, character, shown):
    assert page.evaluate("""async (text) => (await import("/ui/dom.js")).t(text).textContent""", f"a{character}b") == f"a{shown}b"


@pytest.mark.parametrize("value", [{"onclick": "alert(1)", "style": "color:red"}, {"OnClick": "hacked=1"}, [{"href": "javascript:hacked=1"}], [["a"], {"id": "main"}]])
def test_a_value_from_elsewhere_sets_no_attribute(page, value):
    shown = page.evaluate("""async (value) => {
        const { block, h, reason, t } = await import("/ui/dom.js");
        return [t(value), block(value), reason(value).firstChild].map((element) => [element.getAttributeNames().filter((name) => name !== "class"), element.children.length]);
    }""", value)
    assert shown == [[[], 0]] * 3
    forced = page.evaluate("""async (value) => (await import("/ui/dom.js")).h("p", value).getAttributeNames()""", value)
    assert [name for name in forced if name not in ("id", "title")] == []


@pytest.mark.parametrize("seconds, past, ahead", [
    (0, "just now", "now"), (-4, "just now", "now"), (-30, "30 s ago", "30 s ago"), (-200, "3 min ago", "3 min ago"), (30, "just now", "in 30 s"),
    (59, "just now", "in 59 s"), (600, "just now", "in 10 min"), (-7300, "2 h ago", "2 h ago"),
])
def test_a_moment_that_has_been_is_never_one_to_come(page, seconds, past, ahead):
    shown = page.evaluate("""async (seconds) => {
        const { now, until, when } = await import("/ui/dom.js");
        const date = new Date(now() + 1000 * seconds + 200).toISOString();
        return [when(date).textContent, until(date).textContent];
    }""", seconds)
    assert shown == [past, ahead]


def test_times_have_plain_blanks_in_every_language(agent, person):
    page = person(locale="en-US").page
    page.goto(f"{agent.url}/ui/")
    shown = page.evaluate("""async () => (await import("/ui/dom.js")).exact("2026-03-04T15:06:07Z").textContent""")
    assert "⟨" not in shown and "3:06:07 PM" in shown
