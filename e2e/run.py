#!/usr/bin/env python3
"""Official SDKs through Gearshift to real vLLM servers: `make e2e`. See README.md beside this file."""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from harness import http, install, report, services
from harness.children import Children
from harness.fleet import Fleet
from harness.paths import E2E, FLEET_FILE, FLEET_VARIABLE, REPORTS, ROOT, RUN

STARTED = time.monotonic()
# Longer than a stage takes; a hang then fails instead of lasting.
STAGE_LIMIT_S = 1200.0
# Three starts of vLLM are in it, and as many requests as a plan needs: minutes on an idle machine, and as long as it takes on a busy one.
SHIFTING_LIMIT_S = 2400.0
# Two trainings, and five times twenty seconds of traffic.
RETRAINING_LIMIT_S = 3600.0
INTERRUPT_GRACE_S = 30.0


def say(message: str) -> None:
    """A progress line."""
    print(f"[{time.monotonic() - STARTED:6.1f}s] {message}", flush=True)


@dataclass(frozen=True)
class Stage:
    """A group of tests with a runner of its own; `command` gets the JUnit file to write."""

    name: str
    command: Callable[[Path], list[str | Path]]
    needs_gearshift: bool = False
    limit_s: float = STAGE_LIMIT_S
    # It brings its own, and runs when the fleet has ended: they would take each other's cores.
    own_engines: bool = False


def pytest(*files: str) -> Callable[[Path], list[str | Path]]:
    """Runs test files inside the clients' environment."""

    def command(junit: Path) -> list[str | Path]:
        tests = [E2E / "tests" / file for file in files]
        python = install.python_of(install.CLIENTS)
        return [python, "-m", "pytest", "-c", E2E / "pytest.ini", f"--junitxml={junit}", *tests]

    return command


def node(file: str) -> Callable[[Path], list[str | Path]]:
    """Runs a file with Node's own test runner."""

    def command(junit: Path) -> list[str | Path]:
        reporters = [
            "--test-reporter=spec",
            "--test-reporter-destination=stdout",
            "--test-reporter=junit",
            f"--test-reporter-destination={junit}",
        ]
        return ["node", "--test", *reporters, install.NODE / file]

    return command


def quickstart(junit: Path) -> list[str | Path]:
    """Runs the README's quickstart as pasted."""
    return [install.python_of(install.CLIENTS), E2E / "quickstart.py", f"--junitxml={junit}"]


def shifting(junit: Path) -> list[str | Path]:
    """An engine is shifted into another profile under traffic."""
    return [install.python_of(install.CLIENTS), E2E / "shifting.py", f"--junitxml={junit}"]


def retraining(junit: Path) -> list[str | Path]:
    """Rows of live traffic become a bundle that decides, and that is taken back."""
    loadtest = install.quick("gearshift-loadtests", "gearshift-loadtest")
    train = install.quick("gearshift-training", "gearshift-train")
    command: list[str | Path] = [sys.executable, E2E / "retraining.py", f"--junitxml={junit}"]
    return [*command, "--loadtest", loadtest, "--train", train]


# In this order: the later ones take parts of the fleet away; those with engines of their own come last.
STAGES = (
    Stage("harness", pytest("test_harness.py")),
    Stage("openai python", pytest("test_openai.py", "test_embeddings.py", "test_tools.py")),
    Stage("anthropic, langchain", pytest("test_anthropic.py", "test_langchain.py")),
    Stage("openai node", node("openai.test.mjs")),
    Stage("errors", pytest("test_errors.py")),
    Stage("pass-through", pytest("test_passthrough.py"), needs_gearshift=True),
    Stage("streams", pytest("test_streams.py", "test_cancellation.py")),
    Stage("affinity", pytest("test_affinity.py")),
    Stage("reload", pytest("test_reload.py"), needs_gearshift=True),
    Stage("shutdown", pytest("test_shutdown.py"), needs_gearshift=True),
    Stage("quickstart", quickstart, needs_gearshift=True),
    Stage("bundles", pytest("test_bundles.py"), needs_gearshift=True),
    Stage("server killed", pytest("test_kill.py"), needs_gearshift=True),
    Stage("prometheus", pytest("test_prometheus.py"), needs_gearshift=True),
    Stage("retraining", retraining, needs_gearshift=True, limit_s=RETRAINING_LIMIT_S, own_engines=True),
    Stage("shifting", shifting, needs_gearshift=True, limit_s=SHIFTING_LIMIT_S, own_engines=True),
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gearshift", type=Path, help="binary to test (default: build the release binary)")
    parser.add_argument("--direct", action="store_true", help="no proxy: what the engines alone do")
    names = [stage.name for stage in STAGES]
    parser.add_argument(
        "--only", action="append", metavar="STAGE", choices=names, help=f"of: {', '.join(names)}"
    )
    parser.add_argument("--stay", action="store_true", help="keep the fleet up after the tests, until Ctrl-C")
    parser.add_argument(
        "--prepare", action="store_true", help="only install vLLM and SmolLM2, and print where they are, as JSON"
    )
    return parser.parse_args()


def bring_up(children: Children, options: argparse.Namespace) -> Fleet:
    """Installs what is missing and starts everything; the engines start while the rest is set up."""
    say("python environments")
    install.engine()
    install.clients()
    install.examples()
    say("vLLM servers start")
    engines = tuple(services.start_engine(children, spec) for spec in services.ENGINES)
    say("node packages")
    install.node()
    binary = None
    if not options.direct:
        say("gearshift")
        binary = options.gearshift or install.gearshift()
    for engine in engines:
        services.await_engine(children, engine)
        say(f"{engine.name} answers")
    if binary is None:
        return Fleet(engines, None, None)
    urls = {engine.name: engine.url for engine in engines}
    proxy = services.start_gearshift(children, binary.resolve(), RUN / "gearshift.yaml", urls)
    say(f"gearshift is ready on {proxy.url}")
    prometheus = services.start_prometheus(children, proxy)
    say("prometheus scrapes it")
    return Fleet(engines, proxy, prometheus)


def run_stage(stage: Stage, more: Sequence[str | Path] = ()) -> report.StageResult:
    """Runs a stage's command, with `more` arguments, to its end."""
    say(f"stage: {stage.name}")
    junit = RUN / "junit" / f"{stage.name.replace(' ', '-')}.xml"
    junit.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    command = [str(part) for part in (*stage.command(junit), *more)]
    env = {**os.environ, FLEET_VARIABLE: str(FLEET_FILE), services.TOKEN_VARIABLE: services.TOKEN}
    with subprocess.Popen(
        command, cwd=E2E, env=env, stdin=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            code = process.wait(stage.limit_s)
        except subprocess.TimeoutExpired:
            code = -signal.SIGINT
        finally:
            interrupt(process)
    return report.stage_result(stage.name, time.monotonic() - began, code, junit)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ends a runner that still runs; first by SIGINT, so that it can end what it started itself."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(INTERRUPT_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def keep_engine_metrics(fleet: Fleet) -> None:
    """What vLLM's metrics look like after real work; parsers elsewhere are tested on it."""
    scrape = http.get(fleet.engine("smol").url, "/metrics").body
    (RUN / "vllm-metrics.txt").write_bytes(scrape)


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """Under which conditions the report was made."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "proxy": None if options.direct else "gearshift",
        "engines": {spec.name: [spec.served, *spec.flags] for spec in services.ENGINES},
        "seconds": round(time.monotonic() - STARTED, 1),
    }


def end_by_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """Ends through the `finally` blocks, so that no process is left behind."""
    raise SystemExit(128 + number)


def prepare() -> int:
    """Installs an engine and its model for whoever wants to run them; the last line printed says where."""
    engine, model, tiny = install.engine(), install.model("smollm2.py"), install.model("tiny_llama.py")
    print(json.dumps({"vllm": str(engine), "model": str(model), "tiny": str(tiny)}))
    return 0


def with_fleet(stages: list[Stage], options: argparse.Namespace) -> list[report.StageResult]:
    """Runs the stages that share a fleet."""
    with Children() as children:
        fleet = bring_up(children, options)
        fleet.save(FLEET_FILE)
        results = [run_stage(stage) for stage in stages]
        keep_engine_metrics(fleet)
        if options.stay:
            say(f"staying until Ctrl-C; for single tests: {FLEET_VARIABLE}={FLEET_FILE}")
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    return results


def prepared(options: argparse.Namespace) -> Path:
    """The binary to test, once all is there that a stage with engines of its own needs."""
    install.engine()
    install.clients()
    binary: Path = options.gearshift or install.gearshift()
    return binary.resolve()


def main() -> int:
    options = arguments()
    if options.prepare:
        return prepare()
    signal.signal(signal.SIGTERM, end_by_signal)
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    chosen = [stage for stage in STAGES if not options.only or stage.name in options.only]
    if options.direct:
        chosen = [stage for stage in chosen if not stage.needs_gearshift]
    results = []
    shared = [stage for stage in chosen if not stage.own_engines]
    if shared or options.stay:
        results += with_fleet(shared, options)
    own = [stage for stage in chosen if stage.own_engines]
    if own:
        results += [run_stage(stage, ["--gearshift", prepared(options)]) for stage in own]
    report.write(REPORTS / "e2e.json", conditions(options), results)
    say(f"logs in {RUN.relative_to(ROOT)}, report in {REPORTS.relative_to(ROOT)}/e2e.json")
    print(report.table(results))
    return 1 if any(stage.count(report.FAILED) for stage in results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except install.Missing as missing:
        sys.exit(f"e2e: {missing}")
