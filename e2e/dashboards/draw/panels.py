"""The inside of each kind of panel."""

from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from math import isfinite

from ..evaluate import Answer, has_data
from ..prometheus import Series
from .scale import Axis, linear, logarithmic, written
from .style import DIM, GRID, TEXT, Box, Look, by_threshold, label, text, width_of
from .tables import table

AXIS, TIMES, LINE = 52, 15, 14
# Viridis, from few to many.
HEAT = ("#2c1e46", "#443983", "#31688e", "#21918c", "#35b779", "#90d743", "#fde725")

Named = list[tuple[str, Series]]


def body(answer: Answer, box: Box, look: Look) -> str:
    """What stands in a panel."""
    if not any(has_data(series) for series in answer.found):
        return text(box.x + box.width / 2, box.y + box.height / 2, "No data", DIM, 12, "middle")
    if answer.panel.kind == "table":
        return table(answer, box)
    named = [
        (label(query, one), one)
        for query, series in zip(answer.panel.queries, answer.found, strict=True)
        for one in series
    ]
    return KINDS[answer.panel.kind](answer.panel.raw, named, box, look)


def time_marks(box: Box, start: float, end: float) -> list[str]:
    """Times under a panel, and lines up from them."""
    step = next((s for s in (15, 30, 60, 120, 300, 600, 1800) if (end - start) / s * 55 <= box.width), 3600)
    parts, mark = [], start - start % step + step
    while mark < end:
        x = box.x + box.width * (mark - start) / (end - start)
        parts.append(f'<path d="M{x:.1f} {box.y:.1f}v{box.height:.1f}" stroke="{GRID}"/>')
        clock = datetime.fromtimestamp(mark, UTC).strftime("%H:%M:%S" if step < 60 else "%H:%M")
        parts.append(text(x, box.y + box.height + 12, clock, DIM, 9.5, "middle"))
        mark += step
    return parts


def value_marks(box: Box, axis: Axis, unit: str) -> list[str]:
    """Values left of a panel, and lines across."""
    parts = []
    for tick in axis.ticks:
        y = box.y + box.height * (1 - axis.place(tick))
        parts.append(f'<path d="M{box.x:.1f} {y:.1f}h{box.width:.1f}" stroke="{GRID}"/>')
        parts.append(text(box.x - 5, y + 3.5, written(tick, unit), DIM, 9.5, "end"))
    return parts


def legend(items: list[tuple[str, str, str]], box: Box, lines: int) -> list[str]:
    """Names with their colours and last values, at the foot; what does not fit is counted."""
    parts, x, y, line = [], box.x, box.y + box.height - (lines - 1) * LINE - 2, 1
    for index, (name, colour, value) in enumerate(items):
        wide = 16 + width_of(f"{name}  {value}", 10.5) + 12
        if x + wide > box.x + box.width and x > box.x:
            if line == lines:
                parts.append(text(x, y, f"+{len(items) - index}", DIM, 10.5))
                break
            x, y, line = box.x, y + LINE, line + 1
        parts.append(f'<rect x="{x:.1f}" y="{y - 5:.1f}" width="11" height="3" fill="{colour}"/>')
        second = f'<tspan dx="5" fill="{DIM}">{escape(value)}</tspan>' if value else ""
        parts.append(text(x + 15, y, name, TEXT, 10.5).replace("</text>", f"{second}</text>"))
        x += wide
    return parts


def segments(series: Series) -> list[list[tuple[float, float]]]:
    """Runs of points without gaps."""
    steps = [b[0] - a[0] for a, b in pairwise(series.points)]
    gap = 1.5 * min(steps, default=1.0)
    runs: list[list[tuple[float, float]]] = []
    before = None
    for time, value in series.points:
        if isfinite(value):
            if before is None or time - before > gap:
                runs.append([])
            runs[-1].append((time, value))
            before = time
        else:
            before = None
    return runs


def stack(named: Named) -> list[tuple[str, Series, dict[float, float]]]:
    """Each series raised by those under it, with what lies under it by time."""
    under: dict[float, float] = {}
    stacked = []
    for name, series in named:
        ground = {time: under.get(time, 0.0) for time, _ in series.points}
        raised = [(time, ground[time] + (value if isfinite(value) else 0.0)) for time, value in series.points]
        under.update(raised)
        stacked.append((name, Series(series.labels, raised), ground))
    return stacked


def timeseries(raw: dict, named: Named, box: Box, look: Look) -> str:
    """Lines, or stacked areas."""
    config = raw["fieldConfig"]["defaults"]
    custom, unit = config["custom"], config["unit"]
    named = sorted(named, key=lambda item: item[0]) if len(raw["targets"]) == 1 else named
    stacked = custom["stacking"]["mode"] == "normal"
    drawn = stack(named) if stacked else [(name, series, {}) for name, series in named]
    last = [next((v for _, v in reversed(series.points) if isfinite(v)), float("nan")) for _, series in named]
    items = [(name, look.colour(raw, name), written(value, unit)) for (name, _), value in zip(named, last, strict=True)]
    wide = sum(28 + width_of(f"{name}  {value}", 10.5) for name, _, value in items)
    lines = min(3, 1 + int(wide / box.width))
    plot = Box(box.x + AXIS, box.y + 2, box.width - AXIS - 4, box.height - TIMES - lines * LINE - 6)
    values = [value for _, series, _ in drawn for _, value in series.points if isfinite(value)] or [0.0]
    marks = [step["value"] for step in config["thresholds"]["steps"] if step["value"] is not None]
    axis = axis_of(config, values, custom["scaleDistribution"]["type"] == "log")
    start, end = look.start, look.end
    parts = value_marks(plot, axis, unit) + time_marks(plot, start, end)
    across = lambda time: plot.x + plot.width * (time - start) / (end - start)  # noqa: E731
    up = lambda value: plot.y + plot.height * (1 - axis.place(value))  # noqa: E731
    if custom["thresholdsStyle"]["mode"] != "off":
        for mark in (mark for mark in marks if axis.low <= mark <= axis.high):
            colour = by_threshold(config, mark)
            parts.append(f'<path d="M{plot.x:.1f} {up(mark):.1f}h{plot.width:.1f}" stroke="{colour}" stroke-dasharray="6 4"/>')
    for name, series, ground in reversed(drawn):
        parts += shape(series, ground, look.colour(raw, name), across, up, axis, custom["fillOpacity"] / 100)
    return "".join(parts + legend(items, box, lines))


def axis_of(config: dict, values: list[float], log: bool) -> Axis:
    """The panel's own limits, or those of its values."""
    if log:
        positive = [value for value in values if value > 0] or [1.0]
        return logarithmic(min(positive), max(positive))
    low = config.get("min", min(*values, 0.0) if len(values) > 1 else values[0])
    minutes = config["unit"] == "s" and max(values) > 90
    return linear(low, max(values), config.get("max"), 1024 if config["unit"] == "bytes" else 60 if minutes else 1000)


def shape(series: Series, ground: dict, colour: str, across: Callable, up: Callable, axis: Axis, fill: float) -> list[str]:
    """A series' line and what is filled under it."""
    parts = []
    for run in segments(series):
        points = " ".join(f"{across(time):.1f},{up(value):.1f}" for time, value in run)
        floor = [(time, ground.get(time, axis.low)) for time in ((t for t, _ in reversed(run)) if ground else (run[-1][0], run[0][0]))]
        base = " ".join(f"{across(time):.1f},{up(value):.1f}" for time, value in floor)
        if len(run) == 1:
            parts.append(f'<circle cx="{across(run[0][0]):.1f}" cy="{up(run[0][1]):.1f}" r="1.6" fill="{colour}"/>')
            continue
        parts.append(f'<polygon points="{points} {base}" fill="{colour}" fill-opacity="{fill:g}"/>')
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
    return parts


def stat(raw: dict, named: Named, box: Box, _: Look) -> str:
    """One number and how it was."""
    config = raw["fieldConfig"]["defaults"]
    name, series = named[-1]
    points = [(time, value) for time, value in series.points if isfinite(value)]
    if not points:
        return text(box.x + box.width / 2, box.y + box.height / 2, "No data", DIM, 12, "middle")
    value = points[-1][1]
    colour = by_threshold(config, value)
    shown = name if raw["options"]["textMode"] == "name" else written(value, config["unit"])
    size = min(24.0, box.width / max(len(shown), 1) / 0.56)
    parts = [text(box.x + box.width / 2, box.y + box.height * 0.48, shown, colour, size, "middle")]
    if raw["options"]["graphMode"] == "area" and len(points) > 1:
        low, high = min(v for _, v in points), max(v for _, v in points)
        foot = Box(box.x, box.y + box.height * 0.62, box.width, box.height * 0.38)
        start, end = points[0][0], points[-1][0]
        across = lambda time: foot.x + foot.width * (time - start) / (end - start)  # noqa: E731
        up = lambda v: foot.y + foot.height * (1 - (v - low) / ((high - low) or 1.0))  # noqa: E731
        parts += shape(Series({}, points), {}, colour, across, up, Axis(low, high, ()), 0.15)
    return "".join(parts)


def heatmap(raw: dict, named: Named, box: Box, look: Look) -> str:
    """How many fell between two bounds, by time; brighter is more."""
    unit = raw["options"]["yAxis"]["unit"]
    rows = sorted(((float(series.labels["le"]), dict(series.points)) for _, series in named), key=lambda row: row[0])
    counts, below = [], {}
    for bound, points in rows:
        counts.append((bound, {time: max(0.0, value - below.get(time, 0.0)) for time, value in points.items()}))
        below = points
    counts = trimmed(counts)
    times = sorted({time for _, row in counts for time in row})
    most = max((value for _, row in counts for value in row.values()), default=1.0) or 1.0
    plot = Box(box.x + AXIS, box.y + 2, box.width - AXIS - 4, box.height - TIMES - 4)
    step = min((b - a for a, b in pairwise(times)), default=look.end - look.start)
    wide, high = plot.width * step / (look.end - look.start + step), plot.height / len(counts)
    parts = time_marks(plot, look.start, look.end)
    for index, (bound, row) in enumerate(counts):
        y = plot.y + plot.height - (index + 1) * high
        for time in times:
            share = (row.get(time, 0.0) / most) ** 0.5
            if share > 0.02:
                colour = HEAT[min(len(HEAT) - 1, int(share * len(HEAT)))]
                x = plot.x + wide * (time - look.start) / step
                parts.append(f'<path d="M{x:.1f} {y:.1f}h{wide:.1f}v{high - 0.6:.1f}h-{wide:.1f}z" fill="{colour}"/>')
        if index % max(1, len(counts) // 8) == 0:
            parts.append(text(plot.x - 5, y + 4, "∞" if bound == float("inf") else written(bound, unit), DIM, 9.5, "end"))
    return "".join(parts)


def trimmed(rows: list) -> list:
    """Without the empty rows below and above."""
    full = [index for index, (_, row) in enumerate(rows) if any(value > 0 for value in row.values())] or [0]
    return rows[max(0, full[0] - 1) : full[-1] + 2]


def state_timeline(raw: dict, named: Named, box: Box, look: Look) -> str:
    """One bar for each series, coloured by state."""
    mappings = raw["fieldConfig"]["defaults"]["mappings"][0]["options"]
    named = sorted(named, key=lambda item: item[0])
    label_width = max(width_of(name) for name, _ in named) + 10
    plot = Box(box.x + label_width, box.y + 2, box.width - label_width - 4, box.height - TIMES - LINE - 6)
    start, end = look.start, look.end
    high = plot.height / len(named)
    parts, seen = time_marks(plot, start, end), {}
    for index, (name, series) in enumerate(named):
        y = plot.y + index * high
        parts.append(text(plot.x - 6, y + high / 2 + 4, name, TEXT, 10.5, "end"))
        points = [*series.points, (end, series.points[-1][1])]
        begun = points[0]
        for time, value in points[1:]:
            if value != begun[1] or time == end:
                state = mappings.get(str(int(begun[1])), {"text": f"{begun[1]:g}", "color": DIM})
                seen[state["text"]] = state["color"]
                x, until = (plot.x + plot.width * (t - start) / (end - start) for t in (begun[0], time))
                parts.append(
                    f'<rect x="{x:.1f}" y="{y + 2:.1f}" width="{max(until - x, 0.8):.1f}" height="{high - 4:.1f}" fill="{state["color"]}" fill-opacity="0.8"/>'
                )
                begun = (time, value)
    return "".join(parts + legend([(name, colour, "") for name, colour in seen.items()], box, 1))


KINDS: dict[str, Callable[[dict, Named, Box, Look], str]] = {
    "timeseries": timeseries,
    "stat": stat,
    "heatmap": heatmap,
    "state-timeline": state_timeline,
}
