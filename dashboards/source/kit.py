"""The words a dashboard is written in. Nothing here knows Grafana's JSON; `json_model` does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# One meaning, one colour, on every dashboard.
GOOD, WARN, BAD, WORST = "#73BF69", "#FADE2A", "#FF9830", "#F2495C"
CALM, COOL, PALE, DIM = "#5794F2", "#8AB8FF", "#B877D9", "#8E8E8E"

# How a request ended, and why a decision fell back.
OUTCOMES = {"ok": GOOD, "client_error": WARN, "upstream_error": WORST, "cut": BAD, "cancelled": DIM}
FALLBACKS = {
    "none": GOOD,
    "no_bundle": CALM,
    "low_confidence": WARN,
    "no_say": COOL,
    "over_budget": BAD,
    "learner_failed": WORST,
    "unknown_facts": PALE,
    "unmodelled": DIM,
    "none_ready": "#C4162A",
}
QUANTILES = {"p50": COOL, "p90": CALM, "p99": PALE}
# A backend's states with the number each has in a timeline.
STATES = {
    "ready": (1, GOOD),
    "probation": (2, WARN),
    "unknown": (3, DIM),
    "asleep": (4, CALM),
    "draining": (5, "#6ED0E0"),
    "hung": (6, WORST),
    "down": (7, "#C4162A"),
    "shifting": (8, PALE),
}

FULL, HALF, THIRD, QUARTER, SIXTH, EIGHTH = 24, 12, 8, 6, 4, 3


@dataclass(frozen=True)
class Query:
    """One PromQL expression; `legend` names its series, `{{label}}` stands for a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel. `description` says what it means and what to do.

    `steps` are thresholds: (from, colour), the first from minus infinity. `colours` gives series a fixed colour by name.
    `empty` says why it may have no data where all is well; empty means that it must have data.
    """

    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = HALF
    height: int = 8
    decimals: int | None = None
    minimum: float | None = 0
    maximum: float | None = None
    log: bool = False
    stacked: bool = False
    lines: Sequence[tuple[float | None, str]] = ()
    steps: Sequence[tuple[float | None, str]] = ()
    colours: Mapping[str, str] = field(default_factory=dict)
    mappings: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    text_from_label: bool = False
    empty: str = ""


@dataclass(frozen=True)
class Row:
    """A heading and the panels under it."""

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard, filled by a query.

    `all` is the regular expression that *All* stands for; empty: one of the values on offer, as Grafana has it by default.
    """

    name: str
    label: str
    query: str
    all: str = ""


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; `uid` is also its file's name."""

    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]

    def panels(self) -> list[Panel]:
        """All its panels, in order."""
        return [panel for row in self.rows for panel in row.panels]


# All of them holds, beside every route and model, what failed before either was known.
ANY = ".*"
ROUTE = Variable("route", "Route", "label_values(gearshift_decisions_total, route)", ANY)
MODEL = Variable("model", "Model", "label_values(gearshift_backend_serves, model)", ANY)
# Only backends of the chosen models, so that choosing a model also narrows what has no label `model`.
BACKEND = Variable("backend", "Backend", 'label_values(gearshift_backend_serves{model=~"$model"}, backend)')
INSTANCE = Variable("instance", "Instance", "label_values(gearshift_build_info, instance)")

ASKED = 'route=~"$route",model=~"$model"'
RIDE = ASKED + ',backend=~"$backend"'
ON_ROUTE = 'route=~"$route"'
ON_BACKEND = 'backend=~"$backend"'
ON_INSTANCE = 'instance=~"$instance"'
WINDOW = "[$__rate_interval]"


def rate(metric: str, by: str = "", labels: str = RIDE) -> str:
    """Events a second, summed by labels."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({metric}{{{labels}}}{WINDOW}))"


def ratio(part: str, whole: str) -> str:
    """A share; no data where there is no whole."""
    return f"{part} / ({whole} > 0)"


def quantile(q: float, histogram: str, by: str = "", labels: str = RIDE) -> str:
    """A quantile of a histogram over the window."""
    grouped = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({q:g}, sum by ({grouped}) (rate({histogram}_bucket{{{labels}}}{WINDOW})))"


def quantiles(histogram: str, labels: str = RIDE) -> list[Query]:
    """p50, p90 and p99 of a histogram."""
    return [Query(quantile(float(f"0.{name[1:]}"), histogram, labels=labels), name) for name in QUANTILES]


def le(bound: str) -> str:
    """The matcher of a bucket. Prometheus 3 writes a whole number's `le` as a fraction (`2.0`), those before it as it came (`2`)."""
    return f'le="{bound}"' if "." in bound else f'le=~"{bound}(\\\\.0)?"'


def by_profile(metric: str, labels: str = RIDE, more: str = "") -> str:
    """A counter's rate by the profile that its backend is in."""
    return of_profiles(f"rate({metric}{{{labels}}}{WINDOW})", more)


def of_profiles(rates: str, more: str = "") -> str:
    """Rates by backend, summed by the profile that it is in by the word of the Gearshift that counted: to another replica it may be in
    another one, and another fleet may have a backend of that name."""
    kept = ", ".join(filter(None, ["profile", more]))
    own = "job, instance, backend"
    inner = ", ".join(filter(None, [own, more]))
    info = f"group_left (profile) max by ({own}, profile) (gearshift_backend_info)"
    return f"sum by ({kept}) (sum by ({inner}) ({rates}) * on ({own}) {info})"


def stat(title: str, description: str, expr: str, unit: str, steps=((None, CALM),), width=EIGHTH, **more) -> Panel:
    """One number, with a sparkline."""
    queries = [Query(expr, more.pop("legend", title))]
    return Panel(title, description, queries, unit, "stat", width, 4, steps=steps, **more)


def above(warn: float, bad: float) -> tuple[tuple[float | None, str], ...]:
    """Thresholds of what is bad when it is large."""
    return ((None, GOOD), (warn, WARN), (bad, WORST))


def below(warn: float, good: float) -> tuple[tuple[float | None, str], ...]:
    """Thresholds of what is bad when it is small."""
    return ((None, WORST), (warn, WARN), (good, GOOD))


def timeline(title: str, description: str, width: int = FULL, height: int = 8) -> Panel:
    """The states of backends over time."""
    numbered = " or ".join(
        f'gearshift_backend_available{{{ON_BACKEND},state="{state}"}} * {number}' for state, (number, _) in STATES.items()
    )
    mappings = {number: (state, colour) for state, (number, colour) in STATES.items()}
    queries = [Query(f"max by (backend) ({numbered})", "{{backend}}")]
    return Panel(title, description, queries, kind="state-timeline", width=width, height=height, mappings=mappings)
