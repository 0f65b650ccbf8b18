"""Whether dashboards are what Grafana reads, by Grafana's own SDK (PyPI `grafana-foundation-sdk`) of the oldest and the newest version
that is published for the classic model."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness import install
from harness.paths import CACHE, REQUIREMENTS

from .model import DashboardModel

VERSIONS = ("10.1", "11.6")
ROUNDTRIP = Path(__file__).with_name("roundtrip.py")


def sdk(version: str) -> Path:
    """The SDK of a Grafana version."""
    requirements, target = REQUIREMENTS / f"grafana-{version}.txt", CACHE / f"grafana-{version}"
    options = ("--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--no-deps", "--require-hashes", "--target", target)
    install.once(target, [requirements], lambda: install.run(sys.executable, "-m", "pip", "install", *options, "-r", requirements))
    return target


def check(files: Sequence[Path]) -> list[str]:
    """What is wrong with these dashboards."""
    wrong = [] if files else ["there are no dashboards"]
    for version in VERSIONS:
        environment = {**os.environ, "PYTHONPATH": str(sdk(version))}
        command = [sys.executable, str(ROUNDTRIP), *map(str, files)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        wrong += [f"Grafana {version}: {line}" for line in (done.stdout + done.stderr).splitlines()]
        if done.returncode and not wrong:
            wrong.append(f"Grafana {version}: the check ended with {done.returncode}")
    return wrong + [one for path in files for one in consistent(DashboardModel.read(path))]


def consistent(dashboard: DashboardModel) -> Iterable[str]:
    """What types do not say: ids, places, references, descriptions."""
    name, everything = dashboard.path.name, list(dashboard.everything())
    for number, times in Counter(panel.raw["id"] for panel in everything).items():
        if times > 1:
            yield f"{name}: the id {number} is used {times} times"
    taken: dict[tuple[int, int], str] = {}
    for panel in everything:
        place = panel.raw["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"{name}: {panel.title} is beyond the 24 columns"
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
            other = taken.setdefault(cell, panel.title)
            if other != panel.title:
                yield f"{name}: {panel.title} overlaps {other}"
                break
    for panel in dashboard.panels():
        if len(panel.raw["description"]) < 20:
            yield f"{name}: {panel.title} does not say what it means"
        if not panel.queries:
            yield f"{name}: {panel.title} asks nothing"
