#!/usr/bin/env python3
"""Runs the README's quickstart as pasted, against a running vLLM server.

The marks that it follows are described in README.md beside this file.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import fleet as fleets
from harness import report
from harness.children import Child, Children
from harness.fleet import SMOL
from harness.paths import ROOT, RUN
from harness.relay import relay
from harness.waiting import until

# Where the README says that vLLM listens.
ENGINE_PORT = 8000
BLOCK_LIMIT_S = 120.0
SERVING_WITHIN_S = 30.0

MARKED = re.compile(
    r"^<!-- quickstart: (?P<mark>.+?) -->\n+```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Failed(Exception):
    """A block did not do what its mark says."""


@dataclass(frozen=True)
class Block:
    """A fenced block of the README and what its mark says of it."""

    action: str
    options: dict[str, str]
    language: str
    text: str

    @property
    def title(self) -> str:
        """Its first line, to tell it from others."""
        return f"{self.action}: {self.text.strip().splitlines()[0]:.60}"


def blocks(readme: str) -> Iterator[Block]:
    """The marked blocks, in order."""
    for match in MARKED.finditer(readme):
        action, *options = shlex.split(match["mark"])
        yield Block(
            action, dict(option.split("=", 1) for option in options), match["language"], match["text"]
        )


@dataclass(frozen=True)
class Session:
    """What a reader has: a folder, `gearshift` on the path, Python with the SDK, background jobs."""

    folder: Path
    env: dict[str, str]
    children: Children

    def command(self, block: Block) -> list[str]:
        if block.language == "python":
            return [sys.executable, "-c", block.text]
        return ["bash", "-euo", "pipefail", "-c", block.text]

    def file(self, block: Block) -> None:
        (self.folder / block.options["name"]).write_text(block.text)

    def serve(self, block: Block) -> None:
        log = RUN / "quickstart-serve.log"
        child = self.children.add(Child("quickstart", self.command(block), log, self.env, self.folder))

        def answers() -> bool:
            child.check()
            probe = ["curl", "--silent", "--fail", "--output", os.devnull, block.options["ready"]]
            return subprocess.run(probe, check=False).returncode == 0

        until(f"{block.options['ready']} answers", answers, SERVING_WITHIN_S)

    def run(self, block: Block) -> None:
        ended = subprocess.run(
            self.command(block),
            cwd=self.folder,
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_LIMIT_S,
            check=False,
        )
        print(ended.stdout, end="", flush=True)
        if ended.returncode != 0:
            raise Failed(f"ended with {ended.returncode}: {ended.stdout[-500:]}")
        expected = block.options.get("expect", "")
        if expected not in ended.stdout:
            raise Failed(f"the output lacks {expected!r}: {ended.stdout[-500:]}")

    def follow(self, block: Block) -> None:
        """Does what the mark says."""
        actions = {"file": self.file, "serve": self.serve, "run": self.run}
        if block.action not in actions:
            raise Failed(f"unknown mark: {block.action}; known are {', '.join(actions)}")
        actions[block.action](block)


def attempt(session: Session, block: Block) -> report.Result:
    """The outcome of one block."""
    print(f"quickstart: {block.title}", flush=True)
    began = time.monotonic()
    try:
        session.follow(block)
    except Exception as error:
        return report.Result(
            block.title, report.FAILED, time.monotonic() - began, f"{type(error).__name__}: {error}"
        )
    return report.Result(block.title, report.PASSED, time.monotonic() - began)


def follow_all(found: list[Block]) -> list[report.Result]:
    """Follows the blocks until one fails; what comes after it would only fail for the same reason."""
    fleet = fleets.load()
    if fleet.gearshift is None:
        raise SystemExit("quickstart: needs Gearshift")
    path = f"{fleet.gearshift.binary.parent}:{os.environ['PATH']}"
    results = []
    with (
        relay(fleet.serving(SMOL)[0].url, ENGINE_PORT),
        tempfile.TemporaryDirectory() as folder,
        Children() as children,
    ):
        session = Session(Path(folder), {"PATH": path}, children)
        for block in found:
            results.append(attempt(session, block))
            if results[-1].outcome == report.FAILED:
                break
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--junitxml", type=Path, required=True)
    options = parser.parse_args()
    found = list(blocks(options.readme.read_text()))
    if not found:
        raise SystemExit(f"quickstart: {options.readme} has no marked blocks")
    results = follow_all(found)
    report.write_junit(options.junitxml, results)
    return int(any(result.outcome == report.FAILED for result in results))


if __name__ == "__main__":
    sys.exit(main())
