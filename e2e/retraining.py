#!/usr/bin/env python3
"""`gearshift-train watch` beside a real Gearshift: rows of live traffic become a bundle that decides, and that is taken back.

Engines are simulated; Gearshift, its rows, its folder of bundles and its admin listener are real, and so is the training, of few passes.
What is judged here is the way of a bundle, not its worth: bounds are set so that whatever is trained is offered (`--margin`, `--least-telling`), and that
the first is found too dear and the second good enough (`--worse`). What the figures mean is tested where they are made.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import http, report, services
from harness.children import Child, Children, free_port
from harness.paths import REPORTS, ROOT, RUN, cargo_target
from harness.waiting import Overdue, until

NAME = "retraining"
FOLDER = RUN / NAME
BUNDLES, ROWS = FOLDER / "models", FOLDER / "rows"
SHIPPED = ROOT / "models" / "default"
DATA = ROOT / "perfdb" / "data" / "vllm_cpu.parquet"
BACKENDS = ("a10g", "l4", "t4x2")
# Engines run so many times faster than those they simulate.
TIME_SCALE = 10
RATE, TRAFFIC_S = 40, 20
# Answers that a training waits for: about half of what comes before the first.
LEAST_NEW = 300
PROBATION = 200
TAKEN_UP_WITHIN_S = 60.0
ROWS_WITHIN_S = 60.0
STEP_S = 900.0
# Trainings until enough of the newest answers lie in blocks of their own.
TRAININGS = 3


class House:
    """The engines, Gearshift, and the commands that are tested."""

    def __init__(self, children: Children, options: argparse.Namespace) -> None:
        self.train: Path = options.train.resolve()
        self.loadtest: Path = options.loadtest.resolve()
        self.said: list[str] = []
        for folder in (ROWS, BUNDLES, FOLDER / "data"):
            folder.mkdir(parents=True)
        shutil.copytree(SHIPPED, BUNDLES / "default")
        # Few shipped rows: all of them would take a minute to read.
        shutil.copy(DATA, FOLDER / "data")
        listen, admin = (f"{services.LOCAL}:{free_port()}" for _ in range(2))
        self.url, self.admin = f"http://{listen}", f"http://{admin}"
        values = {"listen": listen, "admin": admin, "bundles": str(BUNDLES), "rows": str(ROWS)}
        values |= {name: f"{services.LOCAL}:{free_port()}" for name in BACKENDS}
        config = FOLDER / "gearshift.yaml"
        config.write_text(services.configuration(values, f"{NAME}.yaml.in"))
        engines = [self.loadtest, "engines", "--config", config, f"--time-scale={TIME_SCALE}"]
        children.add(Child("engines", engines, FOLDER / "engines.log", services.GEARSHIFT_ENVIRONMENT))
        serve = [options.gearshift.resolve(), "serve", "--config", config]
        children.add(Child("gearshift", serve, FOLDER / "gearshift.log", services.GEARSHIFT_ENVIRONMENT))
        (FOLDER / "token").write_text(services.TOKEN)

        def ready() -> bool:
            children.check()
            return http.answers(self.admin, "/readyz", services.TOKEN)

        until("Gearshift is ready", ready, services.SHORT_START_S)

    def active(self) -> str | None:
        """The bundle that decides."""
        active = http.get(self.admin, "/bundles", services.TOKEN).json()["active"]
        return active["id"] if active else None

    def decides(self, bundle: str) -> None:
        """Waits until this bundle does."""
        until(f"{bundle} decides", lambda: self.active() == bundle, TAKEN_UP_WITHIN_S)

    def traffic(self, seconds: float = TRAFFIC_S) -> int:
        """Requests until their rows are on the disk; how many were lost."""
        out = FOLDER / "run"
        command = [self.loadtest, "run", "--target", self.url, "--workload", "drift", "--stretch", "--context", "2048"]
        command += [f"--rate={RATE / TIME_SCALE}", f"--duration={seconds * TIME_SCALE}", f"--time-scale={TIME_SCALE}"]
        command += [f"--seeds={len(self.said) + 1}", "--out", out]
        with (FOLDER / "run.log").open("ab") as log:
            subprocess.run([str(part) for part in command], check=True, stdout=log, stderr=log, timeout=STEP_S)
        # Files appear whole, once a second, where there is something to write.
        seen: list[int] = []

        def settled() -> bool:
            seen.append(len(list(ROWS.rglob("*.parquet"))))
            return len(seen) > 30 and len(set(seen[-30:])) == 1

        until("the last rows are written", settled, ROWS_WITHIN_S)
        return lost(json.loads((out / "run.json").read_text()))

    def watch(self, *more: str) -> str:
        """One step; what it said."""
        command = [self.train, "watch", "--once", "--from", ROWS, "--models", BUNDLES, "--data", FOLDER / "data"]
        command += ["--admin", self.admin, "--token-file", FOLDER / "token", "--out", FOLDER / "reports"]
        command += [f"--least-new={LEAST_NEW}", "--epochs=2", "--live-share=0.9", "--block=0.1s", "--margin=-1", "--least-telling=0", *more]
        done = subprocess.run(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=STEP_S
        )
        if done.returncode != 0:
            raise RuntimeError(f"watch ended with {done.returncode}: {done.stderr[-2000:]}")
        said = done.stdout.strip()
        print(said, flush=True)
        self.said.append(said)
        return said

    def phase(self) -> str:
        """Where `watch` stands, by what it wrote down."""
        return str(json.loads((BUNDLES / ".watch" / "state.json").read_text())["phase"]["phase"])


def lost(run: dict[str, Any]) -> int:
    """Requests of a run without a whole answer."""
    return int(run["total"]["failed"])


def expect(what: str, holds: bool, said: str) -> None:
    """Ends the run where something is not as it should be."""
    if not holds:
        raise RuntimeError(f"{what}: {said}")


def offered(house: House) -> tuple[str, int]:
    """Traffic and trainings until one is offered; its name, and how many requests were lost."""
    missing = 0
    for _ in range(TRAININGS):
        missing += house.traffic()
        said = house.watch()
        name = re.search(r"live-\d+", said)
        if house.phase() == "offered" and name:
            return name[0], missing
    raise RuntimeError(f"no bundle was offered: {house.said[-1]}")


def exercise(house: House) -> int:
    """The whole story; how many requests were lost."""
    house.decides("default")
    said = house.watch()
    expect("it waits for rows", f"waiting: 0 of {LEAST_NEW} new answers" in said, said)

    dear, missing = offered(house)
    house.decides(dear)
    said = house.watch()
    expect("it looks on", house.phase() == "probation", said)
    missing += house.traffic()
    said = house.watch("--worse=-1", f"--probation={PROBATION}")
    expect("it takes the bundle back", "was taken back" in said and house.phase() == "waiting", said)
    house.decides("default")
    expect("nobody takes it up again", not (BUNDLES / dear).exists(), said)

    good, more = offered(house)
    missing += more
    expect("another bundle", good != dear, good)
    house.decides(good)
    house.watch()
    missing += house.traffic()
    said = house.watch("--worse=10", f"--probation={PROBATION}")
    expect("the bundle stays", f"{good} stays" in said and house.phase() == "waiting", said)
    expect("it decides", house.active() == good, said)
    return missing


def binary(name: str) -> Path:
    return cargo_target() / "quick" / name


def write(junit: Path | None, outcome: str, seconds: float, message: str) -> None:
    """The result, for run.py."""
    if junit:
        result = report.Result("bundles are trained, taken up and taken back", outcome, seconds, message)
        report.write_junit(junit, [result])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gearshift", type=Path, default=binary("gearshift"), help="the proxy's binary")
    parser.add_argument("--loadtest", type=Path, default=binary("gearshift-loadtest"), help="the engines' binary")
    parser.add_argument("--train", type=Path, default=binary("gearshift-train"), help="the binary to test")
    parser.add_argument("--junitxml", type=Path, help="where the result goes, for run.py")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    shutil.rmtree(FOLDER, ignore_errors=True)
    if "ORT_DYLIB_PATH" not in os.environ:
        print("SKIPPED: set ORT_DYLIB_PATH to libonnxruntime.so to run it")
        write(options.junitxml, report.SKIPPED, 0.0, "ORT_DYLIB_PATH is not set")
        return 0
    began, problem = time.monotonic(), ""
    with Children() as children:
        house = House(children, options)
        try:
            missing = exercise(house)
            problem = f"{missing} requests were lost" if missing else ""
        except (RuntimeError, Overdue, OSError, subprocess.SubprocessError) as error:
            problem = str(error)
    seconds = time.monotonic() - began
    print(f"{problem or 'all is well'}; {seconds:.0f} s")
    REPORTS.mkdir(parents=True, exist_ok=True)
    kept = {"simulated_engines": True, "seconds": round(seconds, 1), "said": house.said, "problem": problem}
    (REPORTS / f"{NAME}.json").write_text(json.dumps(kept, indent=2) + "\n")
    write(options.junitxml, report.FAILED if problem else report.PASSED, seconds, problem)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
