"""Collects what the stages' runners wrote (JUnit XML) into one table and one JSON report."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Result:
    """One test."""

    name: str
    outcome: str
    seconds: float
    message: str = ""
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StageResult:
    """One stage; a stage whose runner failed although its tests did not carries that as a failed test."""

    name: str
    seconds: float
    tests: list[Result]

    def count(self, outcome: str) -> int:
        return sum(test.outcome == outcome for test in self.tests)


def outcome_of(case: ElementTree.Element) -> tuple[str, str]:
    """Outcome and message of a JUnit test case."""
    for tag, outcome in (("failure", FAILED), ("error", FAILED), ("skipped", SKIPPED)):
        found = case.find(tag)
        if found is not None:
            return outcome, found.get("message") or found.text or ""
    return PASSED, ""


def read_junit(path: Path) -> list[Result]:
    """The test cases of a JUnit file; none if the runner did not get to write it."""
    if not path.exists():
        return []
    results = []
    for case in ElementTree.parse(path).iter("testcase"):
        outcome, message = outcome_of(case)
        notes = {note.get("name", ""): note.get("value", "") for note in case.iter("property")}
        seconds = float(case.get("time", "0"))
        results.append(Result(case.get("name", ""), outcome, seconds, message, notes))
    return results


def write_junit(path: Path, results: Iterable[Result]) -> None:
    """Writes results as `read_junit` reads them, for runners that are not a test framework."""
    suite = ElementTree.Element("testsuite")
    for result in results:
        case = ElementTree.SubElement(suite, "testcase", name=result.name, time=f"{result.seconds:.3f}")
        properties = ElementTree.SubElement(case, "properties")
        for name, value in result.notes.items():
            ElementTree.SubElement(properties, "property", name=name, value=value)
        if result.outcome == FAILED:
            ElementTree.SubElement(case, "failure", message=result.message)
    ElementTree.ElementTree(suite).write(path, encoding="unicode")


def stage_result(name: str, seconds: float, code: int, junit: Path) -> StageResult:
    """The result of a stage whose runner ended with `code`."""
    tests = read_junit(junit)
    explained = any(test.outcome == FAILED for test in tests)
    if not tests or (code != 0 and not explained):
        tests.append(
            Result(f"{name}: the runner", FAILED, 0.0, f"ended with {code} after {len(tests)} tests")
        )
    return StageResult(name, seconds, tests)


def table(stages: Iterable[StageResult]) -> str:
    """The summary: a row for each stage, the failures and notes, and the closing line."""
    stages = list(stages)
    lines = [f"{'stage':<24}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    total: Counter[str] = Counter()
    for stage in stages:
        counts = {outcome: stage.count(outcome) for outcome in (PASSED, FAILED, SKIPPED)}
        total.update(counts)
        cells = f"{counts[PASSED]:>8}{counts[FAILED]:>8}{counts[SKIPPED]:>9}{stage.seconds:>9.1f}"
        lines.append(f"{stage.name:<24}{cells}")
    for test in (test for stage in stages for test in stage.tests):
        lines.extend(f"note: {test.name}: {name}: {value}" for name, value in test.notes.items())
        if test.outcome == FAILED:
            lines.append(f"failed: {test.name}: {' '.join(test.message.split())[:300]}")
    lines.append(f"{total[PASSED]} passed, {total[FAILED]} failed, {total[SKIPPED]} skipped")
    return "\n".join(lines)


def write(path: Path, conditions: dict[str, Any], stages: Iterable[StageResult]) -> None:
    """The JSON report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {"conditions": conditions, "stages": [asdict(stage) for stage in stages]}
    path.write_text(json.dumps(report, indent=2) + "\n")
