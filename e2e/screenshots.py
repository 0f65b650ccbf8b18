#!/usr/bin/env python3
"""Portraits of the console, of a Gearshift that runs: URL TOKEN FOLDER. `observe.py` calls this at the end of its run.

Every view in dark, some in light too; with `--gearshift` and `--loadtest` also of two fleets of its own: one of a thousand simulated
engines, and one with an engine that was shifted and a bundle that was rolled back.
Without a browser it says so and writes nothing.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness import install
from harness.paths import ROOT

# Playwright is in the environment that this script goes over to.
if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from console.looks import Watched

VIEWS = ("fleet", "decisions", "accuracy", "traffic", "bundles", "config")
# What is also shown with details open, or in light.
OPENED = {"fleet": ".cell", "decisions": "#view tbody tr:has-text('interactive')"}
LIGHT = ("fleet", "decisions", "accuracy")
SETTLED_MS = 2500
ENGINES = 1000
LONG_S = 60.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="the operators' listener")
    parser.add_argument("token", help="its token")
    parser.add_argument("folder", type=Path, help="where the images go")
    parser.add_argument("--gearshift", type=Path, help="the proxy's binary")
    parser.add_argument("--loadtest", type=Path, help="the engines' binary")
    return parser.parse_args()


def portraits(options: argparse.Namespace, chromium: Path) -> list[Path]:
    """Draws all; what the console did that it must not do is an error."""
    from console import looks

    drawn = []
    with looks.browser(chromium) as browser:
        for scheme in ("dark", "light"):
            with looks.page(browser, scheme) as watched:
                looks.enter(watched, options.url, options.token)
                for view in VIEWS if scheme == "dark" else LIGHT:
                    looks.show(watched, view)
                    if view == "config":
                        watched.page.locator("summary").first.click()
                    watched.page.wait_for_timeout(SETTLED_MS)
                    drawn.append(shot(watched, options.folder / f"{view}-{scheme}.png"))
                    if view in OPENED and watched.page.locator(OPENED[view]).count():
                        watched.page.locator(OPENED[view]).first.click()
                        watched.page.wait_for_timeout(500)
                        drawn.append(shot(watched, options.folder / f"{view}-opened-{scheme}.png"))
                        watched.page.keyboard.press("Escape")
                faultless(watched, options.url)
        if options.gearshift and options.loadtest:
            drawn += changed(options, browser)
            drawn += thousand(options, browser)
    return drawn


def changed(options: argparse.Namespace, browser: "Browser") -> list[Path]:
    """A small fleet in which an engine was shifted, a bundle dropped in and rolled back, and the file changed."""
    from console import looks, stage
    from harness.children import Children
    from harness.waiting import until

    with Children() as children:
        small = stage.small(children, options.gearshift.resolve(), options.loadtest.resolve())
        for _ in range(20):
            small.ask()
        small.drop_in("second", "2099-01-01T00:00:00Z")
        small.shift("l4", "narrow")
        small.shift("l4", "cached")
        until("the second bundle", lambda: small.active() == "second", LONG_S)
        small.post("/bundles/rollback", None)
        small.configuration["routes"][0]["slo"]["ttft"] = "7s"
        small.write()
        until("the reload", lambda: small.get("/config")["last_change"], LONG_S)
        drawn = []
        with looks.page(browser) as watched:
            looks.enter(watched, small.admin, stage.TOKEN)
            for view in ("traffic", "bundles", "config"):
                looks.show(watched, view)
                watched.page.wait_for_timeout(SETTLED_MS)
                drawn.append(shot(watched, options.folder / f"{view}-changed-dark.png"))
            faultless(watched, small.admin)
        return drawn


def thousand(options: argparse.Namespace, browser: "Browser") -> list[Path]:
    """A large fleet with some traffic and some engines that have died."""
    from console import looks, stage
    from harness.children import Child, Children

    with Children() as children:
        large = stage.thousand(children, options.gearshift.resolve(), options.loadtest.resolve(), ENGINES)
        names = [it["name"] for it in large.configuration["backends"]]
        command = [options.loadtest.resolve(), "run", "--target", large.url, "--model", stage.MODEL, "--workload", "drift", "--stretch"]
        command += ["--context", "4096", "--seeds", "1", "--rate", "20", "--duration", "120"]
        children.add(Child("traffic", command, large.folder / "traffic.log"))
        for name in names[7::90]:
            large.fault(name, kind="crash", for_s=300)
        with looks.page(browser) as watched:
            looks.enter(watched, large.admin, stage.TOKEN)
            # Until failed checks have shown who is gone.
            watched.page.locator(".cell.bad").nth(5).wait_for(timeout=60_000)
            watched.page.wait_for_timeout(20_000)
            drawn = [shot(watched, options.folder / "thousand-dark.png")]
            faultless(watched, large.admin)
        return drawn


def shot(watched: "Watched", path: Path) -> Path:
    watched.page.screenshot(path=path)
    return path


def faultless(watched: "Watched", origin: str) -> None:
    """Raises where the console met an error or left its origin."""
    wrong = watched.errors + [f"requested {url}" for url in watched.foreign(origin)]
    if wrong:
        raise SystemExit(f"screenshots: the console is at fault: {wrong}")


def main() -> int:
    options = arguments()
    try:
        chromium = install.chromium()
    except install.Missing as missing:
        print(f"*** SKIPPED: no screenshots of the console: {missing} ***", file=sys.stderr)
        return 0
    install.browser()
    python = install.python_of(install.BROWSER)
    if Path(sys.prefix).resolve() != install.BROWSER.resolve():
        os.execv(python, [str(python), *sys.argv])
    options.folder.mkdir(parents=True, exist_ok=True)
    for path in portraits(options, chromium):
        place = path.resolve()
        print(f"screenshots: {place.relative_to(ROOT) if place.is_relative_to(ROOT) else place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
