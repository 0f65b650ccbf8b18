"""Tables: several instant queries, joined by the labels they share."""

from ..evaluate import Answer
from .scale import written
from .style import BORDER, DIM, TEXT, Box, text

LINE = 18


def joined(answer: Answer) -> list[dict[str, str | float]]:
    """One line for each series of the first query, with what the others say of the same labels."""
    first, *others = answer.found
    lines: list[dict[str, str | float]] = [{**one.labels, "Value #A": one.points[0][1]} for one in first]
    for query, series in zip(answer.panel.queries[1:], others, strict=True):
        for line in lines:
            for one in series:
                if all(line.get(key, value) == value for key, value in one.labels.items()):
                    line |= {**one.labels, f"Value #{query['refId']}": one.points[0][1]}
    return sorted(lines, key=lambda line: str(next(iter(line.values()), "")))


def table(answer: Answer, box: Box) -> str:
    """The lines under their heads; what does not fit is counted."""
    raw = answer.panel.raw
    organize = next(one["options"] for one in raw["transformations"] if one["id"] == "organize")
    columns = sorted(organize["indexByName"], key=lambda name: organize["indexByName"][name])
    shown = organize["renameByName"]
    units = {
        override["matcher"]["options"]: override["properties"][0]["value"]
        for override in raw["fieldConfig"]["overrides"]
    }
    lines = joined(answer)
    # Words need more room than numbers.
    weights = [1.6 if not name.startswith("Value") and len(shown[name]) > 1 else 1.0 for name in columns]
    room = box.width / sum(weights)
    places = [box.x + room * sum(weights[:index]) for index in range(len(columns))]
    parts = [text(x, box.y + 10, shown[name], DIM, 10.5) for x, name in zip(places, columns, strict=True)]
    fits = int((box.height - 16) / LINE)
    for index, line in enumerate(lines[:fits]):
        y = box.y + 12 + (index + 1) * LINE
        parts.append(f'<path d="M{box.x:.1f} {y - 13:.1f}h{box.width:.1f}" stroke="{BORDER}"/>')
        for x, name in zip(places, columns, strict=True):
            value = line.get(name, "")
            cell = written(value, units.get(shown[name], "none")) if isinstance(value, float) else value
            parts.append(text(x, y, cell, TEXT, 10.5))
    if len(lines) > fits:
        parts.append(text(box.x, box.y + box.height + 4, f"+{len(lines) - fits} more", DIM, 10))
    return "".join(parts)
