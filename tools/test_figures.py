"""Figures that the docs repeat from files of the repository."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def figures(pattern, path):
    """The numbers that stand at the groups of a pattern, of all places where it matches."""
    found = [tuple(int(number.replace(",", "")) for number in match.groups()) for match in re.finditer(pattern, text(path))]
    if not found:
        raise AssertionError(f"{path} has nothing like {pattern}")
    return found


class Figures(unittest.TestCase):
    def test_the_catalog_is_as_long_as_it_is_said_to_be(self):
        entries = [len(re.findall(r"^[\w.-]+:$", text(f"config/catalog/{kind}.yaml"), re.MULTILINE)) for kind in ("hardware", "models")]
        self.assertEqual(figures(r"\[(\d+) accelerators\]\(\S+\) and \[(\d+) models\]", "README.md"), [tuple(entries)])
        self.assertEqual(figures(r"Catalog of (\d+) accelerators and (\d+) models", "CHANGELOG.md"), [tuple(entries)])

    def test_there_are_as_many_alerts_as_is_said(self):
        alerts = {(len(set(re.findall(r"- alert: (\w+)", text("dashboards/rules/alerts.yaml")))),)}
        for path in ("README.md", "CHANGELOG.md"):
            self.assertEqual(set(figures(r"rules with (\d+) alerts", path)), alerts, path)

    def test_the_shipped_rows_add_up(self):
        [(measured, simulated, kernels)] = figures(r"([\d,]+) measured rows[^.]*?([\d,]+) simulated and ([\d,]+) kernel-based", "README.md")
        self.assertEqual(figures(r"([\d,]+) shipped rows", "CHANGELOG.md"), [(measured + simulated + kernels,)])
        parts = sum(rows for (rows,) in figures(r"\n\| `simulated_\S+.*?\| ([\d,]+) \|", "perfdb/data/README.md"))
        self.assertEqual(parts, simulated)


if __name__ == "__main__":
    unittest.main()
