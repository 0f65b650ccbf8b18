"""Prometheus' HTTP API, as far as dashboards use it."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from harness import http


class BadQuery(Exception):
    """Prometheus could not evaluate an expression; the message is its own."""


@dataclass(frozen=True)
class Series:
    """One series: its labels, and its values by time in seconds since 1970."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Span:
    """From when to when, and how far apart values are; seconds."""

    start: float
    end: float
    step: float


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def _get(self, path: str, **parameters: str | list[str]) -> Any:
        query = urlencode(parameters, doseq=True)
        body = http.get(self.url, f"/api/v1/{path}?{query}").body
        answer = json.loads(body)
        if answer["status"] != "success":
            raise BadQuery(answer.get("error", "no reason given"))
        return answer["data"]

    def range(self, expr: str, span: Span) -> list[Series]:
        """An expression over a span."""
        found = self._get(
            "query_range", query=expr, start=f"{span.start:.3f}", end=f"{span.end:.3f}", step=f"{span.step:.3f}"
        )
        return [
            Series(one["metric"], [(float(time), float(value)) for time, value in one["values"]])
            for one in found["result"]
        ]

    def instant(self, expr: str, at: float) -> list[Series]:
        """An expression at one time."""
        found = self._get("query", query=expr, time=f"{at:.3f}")
        if found["resultType"] != "vector":
            raise BadQuery(f"a {found['resultType']}, not a vector")
        return [
            Series(one["metric"], [(float(one["value"][0]), float(one["value"][1]))]) for one in found["result"]
        ]

    def label_values(self, label: str, selector: str, span: Span) -> list[str]:
        """The values of a label over the series that a selector finds."""
        found = self._get(
            f"label/{label}/values", start=f"{span.start:.3f}", end=f"{span.end:.3f}", **{"match[]": selector}
        )
        return sorted(found)

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with their health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
