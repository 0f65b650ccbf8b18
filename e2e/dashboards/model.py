"""Reads a dashboard's JSON back: its panels, their queries, its variables."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .prometheus import Prometheus, Span

LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)$")
REGEX_SPECIAL = re.compile(r"([.+*?()\[\]{}|^$\\])")


@dataclass(frozen=True)
class Choice:
    """What a variable offers, all of it chosen; `all` is the regular expression that this is, where the dashboard gives one."""

    offered: list[str]
    all: str = ""

    @property
    def expression(self) -> str:
        """As Grafana puts it into PromQL's strings, in which a backslash of the expression stands twice."""
        alternatives = "|".join(REGEX_SPECIAL.sub(r"\\\\\1", value) for value in self.offered)
        return self.all or f"({alternatives})"


@dataclass(frozen=True)
class PanelModel:
    """One panel as Grafana would read it."""

    raw: dict[str, Any]

    @property
    def title(self) -> str:
        return str(self.raw["title"])

    @property
    def kind(self) -> str:
        return str(self.raw["type"])

    @property
    def queries(self) -> list[dict[str, Any]]:
        return list(self.raw.get("targets", []))


@dataclass(frozen=True)
class DashboardModel:
    """One dashboard's file."""

    path: Path
    raw: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "DashboardModel":
        return cls(path, json.loads(path.read_text(encoding="utf-8")))

    @property
    def title(self) -> str:
        return str(self.raw["title"])

    def everything(self) -> Iterator[PanelModel]:
        """Rows too, also those inside a collapsed one."""
        for panel in self.raw["panels"]:
            yield PanelModel(panel)
            yield from (PanelModel(inner) for inner in panel.get("panels", []))

    def panels(self) -> list[PanelModel]:
        """Panels with data."""
        return [panel for panel in self.everything() if panel.kind != "row"]

    def variables(self) -> list[tuple[str, str, str]]:
        """Names and queries of the variables that a query fills, in order, and what all of each is."""
        listed = self.raw["templating"]["list"]
        return [(one["name"], one["query"]["query"], one.get("allValue", "")) for one in listed if one["type"] == "query"]

    def annotations(self) -> list[str]:
        """The expressions of its annotations."""
        return [one["expr"] for one in self.raw["annotations"]["list"]]

    def choices(self, prometheus: Prometheus, span: Span) -> dict[str, Choice]:
        """What each variable offers. Later ones may rest on earlier ones, as in Grafana."""
        offered: dict[str, Choice] = {}
        for name, query, whole in self.variables():
            parts = LABEL_VALUES.match(query)
            if parts is None:
                raise ValueError(f"{self.path.name}: variable {name}: {query!r} is not label_values(selector, label)")
            values = prometheus.label_values(parts["label"], filled(parts["selector"], offered), span)
            offered[name] = Choice(values, whole)
        return offered


def filled(expr: str, choices: dict[str, Choice], window: str = "20s") -> str:
    """An expression with all of each variable chosen."""
    for name, choice in choices.items():
        expr = expr.replace(f'"${name}"', f'"{choice.expression}"')
    return expr.replace("$__rate_interval", window)
