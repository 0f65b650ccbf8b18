"""Asks a real Prometheus for everything that a dashboard shows."""

from dataclasses import dataclass, field
from math import isfinite

from .model import Choice, DashboardModel, PanelModel, filled
from .prometheus import BadQuery, Prometheus, Series, Span


@dataclass(frozen=True)
class Answer:
    """What one panel has to show: the series of each of its queries."""

    panel: PanelModel
    found: list[list[Series]] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """What a dashboard shows, and what is wrong with it."""

    dashboard: DashboardModel
    answers: list[Answer]
    wrong: list[str]
    span: Span


def has_data(series: list[Series]) -> bool:
    """Whether any value is a number."""
    return any(isfinite(value) for one in series for _, value in one.points)


def ask(prometheus: Prometheus, query: dict, choices: dict[str, Choice], span: Span) -> list[Series]:
    """One query's series."""
    expr = filled(query["expr"], choices)
    if "$" in expr:
        raise BadQuery(f"a variable that the dashboard does not have: {expr}")
    return prometheus.instant(expr, span.end) if query["instant"] else prometheus.range(expr, span)


def evaluate(dashboard: DashboardModel, prometheus: Prometheus, span: Span, may_be_empty: dict[str, str]) -> Findings:
    """All panels of a dashboard; `may_be_empty` says by title which may have nothing to show, and why."""
    answers, wrong = [], []
    choices = dashboard.choices(prometheus, span)
    wrong += [f"variable {name} offers nothing" for name, choice in choices.items() if not choice.offered]
    for expr in dashboard.annotations():
        try:
            if not has_data(prometheus.range(filled(expr, choices), span)):
                wrong.append(f"annotation: no data: {expr}")
        except BadQuery as error:
            wrong.append(f"annotation: {error}")
    for panel in dashboard.panels():
        answer = Answer(panel)
        for query in panel.queries:
            try:
                answer.found.append(ask(prometheus, query, choices, span))
            except BadQuery as error:
                answer.found.append([])
                wrong.append(f"{panel.title}: {query['refId']}: {error}")
                continue
            if not has_data(answer.found[-1]) and panel.title not in may_be_empty:
                wrong.append(f"{panel.title}: {query['refId']}: no data: {query['expr']}")
        answers.append(answer)
    return Findings(dashboard, answers, [f"{dashboard.path.name}: {one}" for one in wrong], span)
