"""Measures, colours, and the words of SVG."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ..evaluate import Answer
from ..prometheus import Series, Span

BACKGROUND, PANEL, BORDER = "#111217", "#181b1f", "#2b2e36"
HEADING, TEXT, DIM, GRID = "#e3e3ec", "#ccccdc", "#8e8e99", "#2a2d34"
# Pixels of a column and of a unit of height of Grafana's grid, and around a panel.
COLUMN, UNIT, GAP = 56, 27, 3
# Of Grafana's classic palette those that can be told apart on a dark ground.
CLASSIC = (
    "#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#37872D", "#FADE2A", "#33A2E5",
    "#FF9830", "#E0B400", "#C77DDB", "#96D98D", "#FFA6B0", "#6ED0E0", "#B7DBAB", "#F4D598", "#70DBED", "#F9BA8F",
)  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A rectangle, pixels."""

    x: float
    y: float
    width: float
    height: float

    def inner(self) -> "Box":
        """Under the title, inside the border."""
        return Box(self.x + 8, self.y + 22, self.width - 16, self.height - 28)


def label(query: dict, series: Series) -> str:
    """A series' name by its query's legend."""
    name = str(query["legendFormat"])
    if name == "__auto":
        return ", ".join(value for key, value in series.labels.items() if key != "__name__") or "value"
    for key, value in series.labels.items():
        name = name.replace(f"{{{{{key}}}}}", value)
    return name


def names(answers: Iterable[Answer]) -> list[str]:
    """The names of all series of a dashboard, backends first: they are on most panels together, and must differ most."""
    backends: set[str] = set()
    others: set[str] = set()
    for answer in (answer for answer in answers if answer.panel.kind == "timeseries"):
        for query, series in zip(answer.panel.queries, answer.found, strict=True):
            for one in series:
                (backends if "backend" in one.labels else others).add(label(query, one))
    return sorted(backends) + sorted(others - backends)


class Look:
    """What all panels have in common: a colour for each name, and from when to when."""

    def __init__(self, known: Sequence[str], span: Span) -> None:
        self.start, self.end = span.start, span.end
        self._colours = {name: CLASSIC[index % len(CLASSIC)] for index, name in enumerate(known)}

    def colour(self, panel: dict, name: str) -> str:
        """The colour of a series in a panel: fixed there, or by its name."""
        for override in panel["fieldConfig"]["overrides"]:
            if override["matcher"]["options"] == name and override["properties"][0]["id"] == "color":
                return str(override["properties"][0]["value"]["fixedColor"])
        return self._colours.get(name, CLASSIC[0])


def text(x: float, y: float, content: str, colour: str = TEXT, size: float = 11, anchor: str = "start") -> str:
    """A line of text."""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size:g}"{where}>{escape(content)}</text>'


def width_of(content: str, size: float = 11) -> float:
    """About how wide a line of text is."""
    return len(content) * size * 0.57


def by_threshold(config: dict, value: float) -> str:
    """The colour of a value by the panel's thresholds."""
    colour = TEXT
    for step in config["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return TEXT if colour in ("text", "transparent") else colour
