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

    def variables(self) -> list[tuple[str, str]]:
        """Names and queries of the variables that a query fills, in order."""
        listed = self.raw["templating"]["list"]
        return [(one["name"], one["query"]["query"]) for one in listed if one["type"] == "query"]

    def annotations(self) -> list[str]:
        """The expressions of its annotations."""
        return [one["expr"] for one in self.raw["annotations"]["list"]]

    def values(self, prometheus: Prometheus, span: Span) -> dict[str, list[str]]:
        """What each variable offers. Later ones may rest on earlier ones, as in Grafana."""
        offered: dict[str, list[str]] = {}
        for name, query in self.variables():
            parts = LABEL_VALUES.match(query)
            if parts is None:
                raise ValueError(f"{self.path.name}: variable {name}: {query!r} is not label_values(selector, label)")
            offered[name] = prometheus.label_values(parts["label"], filled(parts["selector"], offered), span)
        return offered


def filled(expr: str, variables: dict[str, list[str]], window: str = "20s") -> str:
    """An expression with all values of each variable chosen, as Grafana puts them into a regular expression."""
    for name, values in variables.items():
        # In PromQL's string a backslash of the expression stands twice.
        alternatives = "|".join(REGEX_SPECIAL.sub(r"\\\\\1", value) for value in values)
        expr = expr.replace(f'"${name}"', f'"({alternatives})"')
    return expr.replace("$__rate_interval", window)
