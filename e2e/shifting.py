#!/usr/bin/env python3
"""Two real vLLM servers that Gearshift runs itself; one is shifted into another profile while requests come.

The traffic turns from prompts that share nothing to prompts with one long beginning. Gearshift finds that out and shifts one engine from no
prefix caching to prefix caching, by a plan of its own; with `--by-hand` it is told to. Every request must be answered, and the engine must say itself that it found what it had seen before; the
time to the first token before and after goes into the report, and is judged by nobody: the machine may be busy.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import http, install, report, services
from harness.children import Child, Children, free_port
from harness.fleet import SMOL
from harness.paths import E2E, REPORTS, RUN
from harness.waiting import until

# A start of vLLM on two cores that others use too.
ENGINES_WITHIN_S = 1200.0
SWITCH_WITHIN_S = 1200.0
FOUND_WITHIN_S = 60.0
REQUEST_S = 300.0
REQUESTS = 8
# Not counted: they warm caches.
FIRST = 2
# A pause after each answer, in times of how long that took. A planner lets no engine go where the others could not carry it all.
PAUSE, PAUSE_PLANNED = 1.0, 4.0
# About 500 tokens that every prompt of the second half begins with.
SHARED = " ".join(f"Rule {number}: answer politely and briefly." for number in range(50))
UNSHARED_WORDS = 30


@dataclass
class Run:
    """What was seen."""

    pause: float = PAUSE
    ttft_s: dict[str, list[float]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    # Answered while the engine was shifted.
    during: int = 0
    # Prompt tokens that engines found in their prefix caches, by backend, before and after.
    found: list[dict[str, float]] = field(default_factory=list)


def prompts(shared: bool) -> Iterator[str]:
    """Prompts without an end; they begin alike or have nothing in common."""
    for number in range(1_000_000):
        unique = f"{time.monotonic_ns()} {number}"
        yield f"{SHARED} Question {unique}" if shared else " ".join([unique] * UNSHARED_WORDS)


def ask(base: str, prompt: str) -> float:
    """Streams one short answer to its end; the seconds to its first event."""
    body = {"model": SMOL, "prompt": prompt, "max_tokens": 8, "stream": True, "temperature": 0}
    began = time.monotonic()
    with closing(http.connect(base, REQUEST_S)) as connection:
        connection.request("POST", "/v1/completions", json.dumps(body).encode(), http.JSON)
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {response.read()[:200]!r}")
        first = response.readline()
        ttft = time.monotonic() - began
        rest = response.read()
        if not first.startswith(b"data:") or b"[DONE]" not in rest:
            raise RuntimeError(f"no whole stream: {(first + rest)[-200:]!r}")
        return ttft


def asked(run: Run, base: str, name: str, prompt: str, stop: threading.Event) -> float | None:
    """As `ask`, with a pause afterwards that `stop` ends; takes note of what was lost."""
    began, ttft = time.monotonic(), None
    try:
        ttft = ask(base, prompt)
    except (OSError, RuntimeError) as error:
        run.lost.append(f"{name}: {error}")
    stop.wait(run.pause * (time.monotonic() - began))
    return ttft


def phase(run: Run, base: str, name: str, questions: Iterator[str]) -> None:
    """A number of requests, one after another."""
    on = threading.Event()
    taken = [asked(run, base, name, next(questions), on) for _ in range(FIRST + REQUESTS)][FIRST:]
    run.ttft_s[name] = [ttft for ttft in taken if ttft is not None]


def traffic(run: Run, base: str, stop: threading.Event) -> None:
    """One request after another until told to stop."""
    questions = prompts(shared=True)
    while not stop.is_set():
        run.during += asked(run, base, "during the switch", next(questions), stop) is not None


def found(operators: str) -> dict[str, float]:
    """Prompt tokens that each engine found in its prefix cache, by its own word."""
    backends = http.get(operators, "/fleet").json()["backends"]
    return {backend["id"]: (backend["prefix_cache"] or {}).get("hits", 0.0) for backend in backends}


def configuration(listen: str, admin: str, mode: str) -> str:
    """The proxy's configuration with this run's addresses."""
    model = install.model("smollm2.py")
    flags = [*services.ENGINE_FLAGS, "--max-model-len=2048"]
    command = [install.ENGINE / "bin" / "vllm", "serve", model, f"--served-model-name={SMOL}", *flags]
    values = {
        "listen": listen,
        "admin": admin,
        "mode": mode,
        "models": str(install.MODELS),
        "left": f"http://{services.LOCAL}:{free_port()}",
        "right": f"http://{services.LOCAL}:{free_port()}",
        # JSON is YAML.
        "command": json.dumps([str(part) for part in command]),
        "environment": json.dumps(services.ENGINE_ENVIRONMENT),
    }
    return services.AtTemplate((E2E / "shifting.yaml.in").read_text()).substitute(values)


def start(children: Children, binary: Path, mode: str) -> tuple[str, str]:
    """Starts Gearshift, which starts the engines; its two addresses."""
    listen, admin = (f"{services.LOCAL}:{free_port()}" for _ in range(2))
    folder = RUN / "shifting"
    # An earlier run's journal knows profiles and engines that are no more.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = folder / "gearshift.yaml"
    config.write_text(configuration(listen, admin, mode))
    command: list[str | Path] = [binary, "serve", "--config", config]
    child = children.add(Child("shifting", command, folder / "gearshift.log"))
    base, operators = f"http://{listen}", f"http://{admin}"

    def ready() -> bool:
        child.check()
        if not http.answers(operators, "/livez"):
            return False
        backends = http.get(operators, "/fleet").json()["backends"]
        return all(backend["availability"] == "ready" for backend in backends)

    until("both engines serve", ready, ENGINES_WITHIN_S)
    return base, operators


def switched(operators: str) -> dict[str, Any] | None:
    """The ended switch, once there is one."""
    history = http.get(operators, "/controller").json()["history"]
    return history[-1] if history else None


def exercise(children: Children, binary: Path, planned: bool) -> tuple[Run, dict[str, Any]]:
    """The whole story."""
    run = Run(PAUSE_PLANNED if planned else PAUSE)
    base, operators = start(children, binary, "act" if planned else "advisory")
    phase(run, base, "unique prompts, plain engines", prompts(shared=False))
    alike = prompts(shared=True)
    phase(run, base, "shared prefix, plain engines", alike)
    run.found.append(found(operators))
    stop = threading.Event()
    client = threading.Thread(target=traffic, args=(run, base, stop))
    client.start()
    try:
        if not planned:
            shift = [binary, "shift", "left", "caching", "--admin", operators]
            subprocess.run([str(part) for part in shift], check=True)
        ended = until("the switch ends", lambda: switched(operators), SWITCH_WITHIN_S)
    finally:
        stop.set()
        client.join()
    phase(run, base, "shared prefix, after the switch", alike)
    backend = ended["backend"]
    before = run.found[0][backend]
    # It is scraped every two seconds.
    until("the engine's word on its cache", lambda: found(operators)[backend] > before, FOUND_WITHIN_S)
    run.found.append(found(operators))
    return run, ended


def check(run: Run, ended: dict[str, Any], by_hand: bool) -> list[str]:
    """What is not as it should be."""
    problems = [f"lost: {lost}" for lost in run.lost]
    if ended["planned"] == by_hand:
        problems.append(f"who shifted: {ended}")
    if ended["outcome"] != "done" or "prefix_caching" not in ended["verified"]:
        problems.append(f"the switch: {ended}")
    if run.during == 0:
        problems.append("no request was answered during the switch")
    if any(run.found[0].values()):
        problems.append(f"engines without prefix caching found something in their caches: {run.found[0]}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gearshift", type=Path, required=True, help="binary to test")
    parser.add_argument("--by-hand", action="store_true", help="this script shifts, not the controller's plan: sooner")
    parser.add_argument("--junitxml", type=Path, help="where the result goes, for run.py")
    options = parser.parse_args()
    began = time.monotonic()
    with Children() as children:
        run, ended = exercise(children, options.gearshift.resolve(), planned=not options.by_hand)
    problems = check(run, ended, options.by_hand)
    medians = {name: f"{statistics.median(taken):.2f} s" for name, taken in run.ttft_s.items() if taken}
    notes = {
        **{f"median TTFT, {name}": median for name, median in medians.items()},
        "requests answered while it was shifted": str(run.during),
        "prompt tokens that it found in its cache": f"{run.found[1][ended['backend']]:.0f}",
        "the switch": f"{ended['outcome']} in {ended['seconds']} s, by {ended['reason']}",
    }
    for name, value in notes.items():
        print(f"{name}: {value}")
    for problem in problems:
        print(problem)
    REPORTS.mkdir(parents=True, exist_ok=True)
    kept = {"planned": not options.by_hand, "seconds": round(time.monotonic() - began, 1), **asdict(run), "switch": ended}
    (REPORTS / "shifting.json").write_text(json.dumps(kept, indent=2) + "\n")
    if options.junitxml:
        outcome = report.FAILED if problems else report.PASSED
        seconds = time.monotonic() - began
        result = report.Result("an engine is shifted under traffic", outcome, seconds, "; ".join(problems), notes)
        report.write_junit(options.junitxml, [result])
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
