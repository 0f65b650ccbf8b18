"""The page itself: what it may load, who may see, how it is used, and that it comes back."""

import re

from playwright.sync_api import Browser, Page, expect

from console import looks, stage
from console.looks import Watched
from console.stage import Stage
from harness import http

VIEWS = ("fleet", "decisions", "accuracy", "traffic", "bundles", "config")
# Of text against what is behind it (WCAG 2, AA).
LEAST_CONTRAST = 4.5


def test_it_asks_for_a_token_and_loads_nothing_from_elsewhere(chromium: Browser, gearshift: Stage) -> None:
    policy = http.get(gearshift.admin, "/console/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    with looks.page(chromium) as watched:
        page = watched.page
        page.goto(f"{gearshift.admin}/console")
        expect(page.locator("#login")).to_be_visible()
        page.locator("#token").fill("wrong")
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#refused")).to_contain_text("refused")
        page.locator("#token").fill(stage.TOKEN)
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#status")).to_have_text("live")
        expect(page.locator(".cell")).to_have_count(5)
        # It is there for this tab only.
        assert page.evaluate("Object.values(localStorage).join()") == ""
        assert stage.TOKEN not in page.url
        assert watched.foreign(gearshift.admin) == []
        assert [error for error in watched.errors if "401" not in error] == []


def test_the_policy_stops_what_is_not_the_pages_own(watched: Watched) -> None:
    page = watched.page
    script = "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    page.evaluate(script)
    reached = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'reached', () => 'stopped')")
    assert page.evaluate("window.ran") is None and reached == "stopped"
    assert len(watched.errors) >= 2 and all("Content Security Policy" in error for error in watched.errors)
    watched.errors.clear()
    watched.requests[:] = [url for url in watched.requests if not url.startswith("http://127.0.0.1:9/")]


def contrasts(page: Page) -> dict[str, float]:
    """The least contrast of every kind of text that is shown, by its element."""
    return page.evaluate(
        """() => {
        const numbers = text => (text.match(/[\\d.]+/g) ?? []).map(Number);
        const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const behind = node => {
            for (; node; node = node.parentElement) {
                const colour = numbers(getComputedStyle(node).backgroundColor);
                if (colour.length === 3 || colour[3] === 1) return colour;
            }
            return [255, 255, 255];
        };
        const found = {};
        for (const node of document.querySelectorAll("body *")) {
            const own = [...node.childNodes].some(child => child.nodeType === 3 && child.nodeValue.trim());
            if (!own || !node.checkVisibility() || node.disabled) continue;
            const [a, b] = [light(numbers(getComputedStyle(node).color)), light(behind(node))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            const name = `${node.localName}.${node.className}`;
            found[name] = Math.min(found[name] ?? 99, ratio);
        }
        return found;
    }"""
    )


def test_dark_and_light_can_be_read_and_are_kept(chromium: Browser, gearshift: Stage) -> None:
    for scheme in ("dark", "light"):
        with looks.page(chromium, scheme) as watched:
            looks.enter(watched, gearshift.admin, stage.TOKEN)
            page = watched.page
            background = "getComputedStyle(document.body).backgroundColor"
            assert page.evaluate(background) == ("rgb(13, 17, 23)" if scheme == "dark" else "rgb(255, 255, 255)")
            for view in VIEWS:
                looks.show(watched, view)
                page.wait_for_timeout(150)
                poor = {name: ratio for name, ratio in contrasts(page).items() if ratio < LEAST_CONTRAST}
                assert not poor, (scheme, view, poor)
            before = page.evaluate(background)
            page.keyboard.press("t")
            assert page.evaluate(background) != before
            page.reload()
            page.locator("#status.ok").wait_for()
            assert page.evaluate(background) != before


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.dataset.key ?? document.activeElement.id")


def test_the_keyboard_does_all(watched: Watched) -> None:
    page = watched.page
    for number, view in enumerate(VIEWS, 1):
        page.keyboard.press(str(number))
        expect(page.locator(f"#tab-{view}")).to_have_attribute("aria-selected", "true")
        assert page.url.endswith(f"#{view}")
    page.keyboard.press("1")
    page.locator(".cell").first.wait_for()
    cells = [cell.get_attribute("data-key") for cell in page.locator(".cell").all()]
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == cells[1]
    page.keyboard.press("ArrowRight")
    assert focused(page) == cells[2]
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.locator("#detail h2")).to_have_text(cells[1] or "")
    # The focus is where it was, also after redraws.
    page.wait_for_timeout(2500)
    assert focused(page) == cells[1]
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    page.keyboard.press("/")
    assert focused(page) == "filter"
    page.keyboard.type("h100")
    expect(page.locator(".cell")).to_have_count(2)
    page.keyboard.press("Escape")
    assert focused(page) != "filter"
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    # Tabs by arrows, one of them in the order of the tabulator.
    page.locator("#tab-fleet").focus()
    page.keyboard.press("ArrowRight")
    assert focused(page) == "tab-decisions"
    expect(page.locator("#tab-decisions")).to_have_attribute("aria-selected", "true")
    assert page.locator("#tabs [tabindex='0']").count() == 1


def test_a_selection_of_text_outlives_what_comes(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    page.locator(".cell").first.click()
    page.locator("#detail h2").wait_for()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#detail h2'))")
    gearshift.ask()
    page.wait_for_timeout(2500)
    assert page.evaluate("getSelection().toString()") != ""


def test_it_comes_back_after_gearshift_has_restarted(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    looks.show(watched, "decisions")
    page.locator("#view tbody tr").first.wait_for()
    before = page.locator("#view tbody tr").count()
    gearshift.stop()
    expect(page.locator("#status")).to_have_text(re.compile("not connected|connecting again"))
    gearshift.start()
    expect(page.locator("#status")).to_have_text("live", timeout=20_000)
    # What it saw before is still there, once.
    expect(page.locator("#view tbody tr")).to_have_count(before)
    assert gearshift.ask() == 200
    expect(page.locator("#view tbody tr")).to_have_count(before + 1)
    watched.errors[:] = [error for error in watched.errors if "ERR_" not in error]


def test_a_listener_that_says_nothing_is_given_up(watched: Watched) -> None:
    page = watched.page
    page.route("**/events", lambda route: None)
    page.reload()
    expect(page.locator("#status")).to_contain_text("no word for 10 s", timeout=20_000)
    page.unroute_all(behavior="ignoreErrors")


def test_too_many_consoles_are_told_so(watched: Watched) -> None:
    page = watched.page
    page.route("**/events", lambda route: route.fulfill(status=503, body="as many read the stream as may"))
    page.reload()
    expect(page.locator("#status")).to_contain_text("as many read the stream as may")
    page.unroute_all(behavior="ignoreErrors")
    expect(page.locator("#status")).to_have_text("live")
    watched.errors[:] = [error for error in watched.errors if "503" not in error]
