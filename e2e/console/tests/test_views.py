"""Every view shows what there is, and lets do what may be done."""

import re
import threading

from playwright.sync_api import Dialog, expect

from console import looks
from console.looks import Watched
from console.stage import HOSTILE, Stage
from harness.waiting import until


def test_the_fleet_is_a_map_by_hardware_and_profile_with_load_and_health(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    expect(page.locator(".cell.ready")).to_have_count(5)
    groups = page.locator("#view section[data-group] h2")
    expect(groups).to_contain_text(["h100_sxm · cached", "l4 · cached", "l40s · plain"])
    expect(page.locator(".cell[data-key=h100-a]")).to_contain_text("KV")
    expect(page.locator(".cell[data-key=h100-a]")).to_contain_text("llama-3.1-8b")
    page.locator(".cell[data-key=h100-a]").click()
    detail = page.locator("#detail")
    for text in ("h100_sxm", "cached", "running", "Measured ÷ prior"):
        expect(detail).to_contain_text(text)
    gearshift.fault("h100-b", kind="crash", for_s=5)
    expect(page.locator(".cell.bad[data-key=h100-b]")).to_contain_text("down")
    expect(page.locator(".tile.bad")).to_contain_text("1")


def test_a_request_in_flight_is_seen(watched: Watched, gearshift: Stage) -> None:
    gearshift.fault("h100-a", kind="slow", factor=50.0, for_s=6)
    gearshift.fault("h100-b", kind="slow", factor=50.0, for_s=6)
    asking = [threading.Thread(target=gearshift.ask, args=(64,)) for _ in range(6)]
    for one in asking:
        one.start()
    expect(watched.page.locator(".tile").first).not_to_contain_text("0")
    for one in asking:
        one.join()


def test_decisions_come_as_they_are_made_and_tell_their_candidates(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    looks.show(watched, "decisions")
    page.locator("#view tbody tr").first.wait_for()
    before = page.locator("#view tbody tr").count()
    assert gearshift.ask() == 200
    # At least one more: earlier ones may still be on their way.
    expect(page.locator("#view tbody tr").nth(before)).to_be_visible()
    page.locator("#view tbody tr").first.click()
    candidates = page.locator("#detail tbody tr")
    candidates.first.wait_for()
    expect(page.locator("#detail tbody tr.chosen")).to_have_count(1)
    expect(page.locator("#detail caption")).to_contain_text("latency")
    key = page.locator("#view tbody tr").first.get_attribute("data-key") or ""
    told = gearshift.get(f"/decisions/{key.split('/')[0]}")
    assert len(told["candidates"]) > 2
    expect(candidates).to_have_count(len(told["candidates"]))
    shown = candidates.first.locator("td").all_inner_texts()
    assert told["candidates"][0]["backend"] in shown[1]
    # Rank, name, score, TTFT, TPOT, E2E, delays, cached, in flight, limits: each has its number.
    assert len(shown) == 10 and all(text and text != "–" for text in shown), shown
    expect(candidates.first.locator(".stack")).to_have_attribute("title", re.compile(r"prior: TTFT \S+ \S+, TPOT .*\n(.*\n)*load .* old: "))


def test_of_several_attempts_the_one_that_was_clicked_is_explained(watched: Watched, gearshift: Stage) -> None:
    """A client that names all its requests alike, and an engine that sends it away."""
    page = watched.page
    looks.show(watched, "decisions")
    name = "always:the/same"
    page.locator("#filter").fill(name)
    for engine in ("h100-a", "h100-b"):
        gearshift.fault(engine, kind="status", code=503, share=1.0, for_s=4)
    rows = page.locator("#view tbody tr")
    another = rows.filter(has_text=re.compile("attempt [23]"))
    # Where the third engine is explored just then, there is none.
    for _ in range(16):
        gearshift.ask(name=name)
        if another.count():
            break
    expect(another.first).to_be_visible()
    expect(rows.filter(has_text="upstream error").first).to_be_visible()
    for index in range(rows.count()):
        row = rows.nth(index)
        backend = row.locator("td").nth(3).inner_text()
        row.click()
        detail = page.locator("#detail")
        expect(detail.locator("h2")).to_have_text(backend)
        expect(detail.locator("tbody tr.chosen")).to_contain_text(backend)
        page.keyboard.press("Escape")
        expect(detail).to_be_hidden()


def test_what_comes_is_shown_while_another_button_is_down(watched: Watched, gearshift: Stage) -> None:
    """Where a menu opens, the page may never hear that the button was let go."""
    page = watched.page
    looks.show(watched, "decisions")
    rows = page.locator("#view tbody tr")
    rows.first.wait_for()
    before = rows.count()
    rows.nth(1).hover()
    for button in ("right", "middle"):
        page.mouse.down(button=button)
        assert gearshift.ask() == 200
        before += 1
        expect(rows).to_have_count(before)
        page.mouse.up(button=button)
        # A press of the first button that a menu took over has ended too.
        page.mouse.down()
        page.evaluate("dispatchEvent(new Event('contextmenu'))")
        assert gearshift.ask() == 200
        before += 1
        expect(rows).to_have_count(before)
        page.mouse.up()
        page.keyboard.press("Escape")


def test_no_click_is_lost_while_decisions_stream_in(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    looks.show(watched, "decisions")
    page.locator("#view tbody tr").first.wait_for()
    for _ in range(6):
        gearshift.ask(2)
        # As slow as people click at times: news comes between pressing and letting go.
        page.locator("#view tbody tr").nth(2).click(delay=1200)
        expect(page.locator("#detail .mono")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#detail")).to_be_hidden()


def test_a_held_stream_waits_and_loses_nothing(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    looks.show(watched, "decisions")
    page.locator("#view tbody tr").first.wait_for()
    page.keyboard.press("p")
    before = page.locator("#view tbody tr").count()
    for _ in range(3):
        gearshift.ask()
    expect(page.locator(".bar")).to_contain_text("3 new ones wait")
    expect(page.locator("#view tbody tr")).to_have_count(before)
    page.keyboard.press("p")
    expect(page.locator("#view tbody tr")).to_have_count(before + 3)


def test_predicted_against_actual_gets_a_dot_for_each_answer(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    looks.show(watched, "accuracy")
    expect(page.locator("canvas")).to_have_count(3)
    dots = page.locator("canvas[data-part=e2e_s]")

    def count() -> int:
        return int(dots.get_attribute("data-points") or 0)

    until("dots of what was before", lambda: count() > 0, 10)
    before = count()
    for _ in range(10):
        gearshift.ask()
    until("ten more", lambda: count() == before + 10, 10)
    # Something of the dots' own colour is on the canvas.
    painted = """canvas => { const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0; for (let at = 0; at < data.length; at += 4) count += Math.abs(data[at] - 121) < 4 && Math.abs(data[at + 1] - 192) < 4;
        return count }"""
    assert dots.evaluate(painted) > 20


def test_workload_windows_are_shown(watched: Watched) -> None:
    looks.show(watched, "traffic")
    row = watched.page.locator("#view tbody tr").first
    expect(row).to_contain_text("llama-3.1-8b")
    assert all(cell not in ("", "–") for cell in row.locator("td").all_inner_texts())


def test_a_shift_is_on_the_timeline(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    looks.show(watched, "traffic")
    lane = page.locator(".lane[data-lane=l4]")
    expect(lane).to_contain_text("cached")
    gearshift.shift("l4", "narrow")
    expect(lane.locator(".span.shift")).to_have_attribute("title", re.compile("^cached → narrow: done"))
    expect(lane.locator(".span").last).to_have_text("narrow")
    looks.show(watched, "fleet")
    expect(page.locator("#view section[data-group='l4 · narrow']")).to_be_visible()


def test_a_bundle_dropped_in_decides_and_is_rolled_back_by_the_button(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    looks.show(watched, "bundles")
    active = page.locator("tr.chosen td").first
    expect(active).to_have_text("default", timeout=60_000)
    gearshift.drop_in("second", "2099-01-01T00:00:00Z")
    expect(active).to_have_text("second", timeout=60_000)
    asked: list[str] = []

    def confirm(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Roll back").click()
    assert gearshift.get("/bundles")["active"]["id"] == "second", "nothing happens where it is not confirmed"
    page.on("dialog", confirm)
    page.get_by_role("button", name="Roll back").click()
    expect(active).to_have_text("default", timeout=60_000)
    assert asked == ["Go back to default?"]
    assert gearshift.get("/bundles")["active"]["id"] == "default"
    expect(page.locator("h2", has_text="In the folder")).to_contain_text("pinned to default")
    history = page.locator("h2:has-text('What decided') + .scroll tbody tr")
    # Newest first; below are those of before, which a restart does not forget.
    for row, bundle in enumerate(("default", "second", "default")):
        expect(history.nth(row).locator("td:nth-child(3)")).to_have_text(bundle)
    page.get_by_role("button", name="Follow the newest").click()
    expect(active).to_have_text("second", timeout=60_000)


def test_the_last_reload_is_shown_and_a_refused_one(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    looks.show(watched, "config")
    route = gearshift.configuration["routes"][0]
    route["slo"] = {"ttft": "7s", "tpot": "200ms"}
    gearshift.write()
    expect(page.locator("#diff .added")).to_have_text(["+ routes.chat.slo.ttft: \"7s\"\n"], timeout=15_000)
    expect(page.locator("#diff .removed")).to_contain_text("5s")
    good = (gearshift.folder / "gearshift.yaml").read_text()
    (gearshift.folder / "gearshift.yaml").write_text(good.replace('"routes"', '"roots"'))
    expect(page.locator("h2.bad")).to_be_visible()
    expect(page.locator("#view pre").first).to_contain_text("roots")
    gearshift.write()
    expect(page.locator("h2.bad")).to_have_count(0)
    # A section opens by its summary and stays open; secrets are not in it.
    page.locator("details", has_text="admin").locator("summary").click()
    expect(page.locator("details[open] pre")).to_contain_text("(redacted)")


def test_names_are_text_wherever_they_are_shown(watched: Watched, gearshift: Stage) -> None:
    page = watched.page
    ran: list[str] = []
    page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    expect(page.locator(".cell", has_text=HOSTILE)).to_be_visible()
    page.locator(".cell", has_text=HOSTILE).click()
    expect(page.locator("#detail h2")).to_have_text(HOSTILE)
    # A model that nobody serves is refused; its name is nowhere, or text.
    gearshift.ask(model="<script>alert(2)</script>")
    for view in ("decisions", "accuracy", "traffic", "bundles", "config"):
        looks.show(watched, view)
        page.wait_for_timeout(200)
    looks.show(watched, "decisions")
    page.locator("#view tbody tr").first.click()
    expect(page.locator("#detail tbody")).to_contain_text(HOSTILE)
    page.locator("#filter").fill(HOSTILE)
    assert page.locator("#view img, #detail img, #view script").count() == 0
    assert ran == []
