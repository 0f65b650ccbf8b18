#!/usr/bin/env python3
"""Dashboards and rules against a real run: `make observe`.

Simulated engines, Gearshift, a real Prometheus, some minutes of traffic with troubles; then every panel's queries must
return data, every rule must evaluate, every alert's tests must pass. Each dashboard is drawn from what was measured.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from dashboards import conform, draw, fleet, rules, story
from dashboards.evaluate import Findings, evaluate
from dashboards.model import DashboardModel
from dashboards.prometheus import Prometheus, Span
from harness import install
from harness.children import Children
from harness.paths import E2E, REPORTS, ROOT, RUN
from run import end_by_signal, say

SOURCE = ROOT / "dashboards"
# Points across a panel.
POINTS = 120
SCREENSHOTS = E2E / "screenshots.py"
CONSOLE = REPORTS / "console"
# Screenshots that the docs show, by their name there.
SHOWN = {"console-decision.png": "decisions-opened-dark.png", "console-thousand.png": "thousand-dark.png"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gearshift", type=Path, default=ROOT / "target/quick/gearshift", help="the proxy's binary")
    parser.add_argument("--loadtest", type=Path, default=ROOT / "target/quick/gearshift-loadtest", help="the engines' binary")
    parser.add_argument("--seconds", type=float, default=240.0, help="how long traffic comes (default: %(default)s)")
    parser.add_argument("--images", type=Path, default=REPORTS / "dashboards", help="where images go")
    parser.add_argument("--docs", action="store_true", help="keep the images in dashboards/images too, and two of the console")
    parser.add_argument("--static", action="store_true", help="only what needs no run: files, rules and their tests")
    return parser.parse_args()


def static() -> list[str]:
    """What can be said of the files alone."""
    wrong = []
    if subprocess.run([sys.executable, SOURCE / "generate.py", "--check"], check=False).returncode:
        wrong.append("dashboards/grafana is stale: make dashboards")
    files = sorted((SOURCE / "grafana").glob("*.json"))
    return wrong + conform.check(files) + rules.written() + rules.tested()


def may_be_empty() -> dict[str, str]:
    """By dashboard and title, which panels may have nothing to show, and why."""
    sys.path.insert(0, str(SOURCE))
    from generate import DASHBOARDS

    bundled = (fleet.SHIPPED_BUNDLE / "manifest.json").exists()
    return {
        f"{source.uid}.json/{panel.title}": panel.empty
        for source in DASHBOARDS
        for panel in source.panels()
        if panel.empty and not ("bundle" in panel.empty and bundled)
    }


def observe(options: argparse.Namespace) -> tuple[list[Findings], list[str], dict[str, object]]:
    """The run; gives what dashboards show, what is wrong, and what happened."""
    with Children() as children:
        observed = fleet.start(children, options.gearshift.resolve(), options.loadtest.resolve())
        say(f"gearshift on {observed.gearshift.url}, operators on {observed.gearshift.admin}, prometheus on {observed.prometheus}")
        drivers = story.drive(children, options.loadtest.resolve(), observed, options.seconds)
        start = time.time()
        for event in story.tell(observed, options.seconds):
            say(event)
            children.check()
        end = time.time()
        screenshots(observed, options)
        prometheus = Prometheus(observed.prometheus)
        empty = may_be_empty()
        span = Span(start + 5, end, (end - start - 5) / POINTS)
        found, wrong = [], rules.healthy(prometheus)
        for path in sorted((SOURCE / "grafana").glob("*.json")):
            titles = {key.split("/", 1)[1]: why for key, why in empty.items() if key.startswith(f"{path.name}/")}
            found.append(evaluate(DashboardModel.read(path), prometheus, span, titles))
        fired = sorted({one.labels["alertname"] for one in prometheus.range('ALERTS{alertstate="firing"}', span)})
        for driver in drivers:
            driver.stop()
    wrong += [one for findings in found for one in findings.wrong]
    return found, wrong, {"seconds": round(end - start), "alerts_that_fired": fired, "may_be_empty": empty}


def screenshots(observed: fleet.Observed, options: argparse.Namespace) -> None:
    """Has the console of the running proxy looked at in a browser."""
    proxy = observed.gearshift
    command = [sys.executable, SCREENSHOTS, proxy.admin, proxy.token, CONSOLE]
    command += ["--gearshift", options.gearshift, "--loadtest", options.loadtest]
    subprocess.run(command, check=True)


def keep(drawn: list[Path]) -> None:
    """Puts images where the docs show them."""
    images = SOURCE / "images"
    for image in (path for path in drawn if path.suffix == ".webp"):
        shutil.copy(image, images)
    for name, source in SHOWN.items():
        # Without a browser there are none.
        if (CONSOLE / source).exists():
            shutil.copy(CONSOLE / source, images / name)


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, end_by_signal)
    say("files, rules and their tests")
    wrong = static()
    report: dict[str, object] = {"simulated_engines": True}
    if not options.static:
        shutil.rmtree(RUN, ignore_errors=True)
        RUN.mkdir(parents=True)
        install.prometheus()
        found, more, happened = observe(options)
        wrong += more
        drawn = draw.dashboards(found, options.images)
        if options.docs:
            keep(drawn)
        panels = sum(len(findings.answers) for findings in found)
        queries = sum(len(answer.found) for findings in found for answer in findings.answers)
        say(f"{len(found)} dashboards, {panels} panels, {queries} queries; images: {', '.join(path.name for path in drawn)}")
        report |= {"dashboards": len(found), "panels": panels, "queries": queries, **happened}
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / "observe.json").write_text(json.dumps({**report, "wrong": wrong}, indent=2) + "\n")
    for one in wrong:
        print(f"observe: {one}", file=sys.stderr)
    say("all is well" if not wrong else f"{len(wrong)} things are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except install.Missing as missing:
        sys.exit(f"observe: {missing}")
