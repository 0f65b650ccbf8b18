"""Draws dashboards as images from what Prometheus answered: for the docs, and for eyes where no Grafana is.

It is no Grafana: it draws the same panels in the same places, with the same units, colours and thresholds.
"""

import shutil
import subprocess
from collections.abc import Iterable
from html import escape
from pathlib import Path

from ..evaluate import Findings
from .panels import body
from .style import BACKGROUND, BORDER, COLUMN, DIM, GAP, HEADING, PANEL, TEXT, UNIT, Box, Look, names, text

MARGIN, HEAD, FOOT = 12, 52, 24
FONT = "Inter, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"


def dashboards(found: Iterable[Findings], folder: Path) -> list[Path]:
    """Writes an SVG for each dashboard, and a WebP where there is a Chromium; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for findings in found:
        path = folder / f"{findings.dashboard.path.stem}.svg"
        picture, width, height = draw(findings)
        path.write_text(picture, encoding="utf-8")
        written += [path, *photograph(path, width, height)]
    return written


def draw(findings: Findings) -> tuple[str, int, int]:
    """The SVG of a dashboard, its width and its height."""
    raw = findings.dashboard.raw
    look = Look(names(findings.answers), findings.span)
    bottom = max(panel.raw["gridPos"]["y"] + panel.raw["gridPos"]["h"] for panel in findings.dashboard.everything())
    width, height = 2 * MARGIN + 24 * COLUMN, HEAD + bottom * UNIT + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{FONT}" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="{BACKGROUND}"/>',
        text(MARGIN, 24, raw["title"], HEADING, 17),
        text(MARGIN, 42, raw["description"], DIM, 12),
    ]
    for panel in findings.dashboard.everything():
        if panel.kind == "row":
            place = box(panel.raw["gridPos"])
            parts.append(text(place.x, place.y + 20, panel.title, HEADING, 13))
    for answer in findings.answers:
        place = box(answer.panel.raw["gridPos"])
        parts.append(
            f'<rect x="{place.x}" y="{place.y}" width="{place.width}" height="{place.height}" rx="2" fill="{PANEL}" stroke="{BORDER}"/>'
        )
        parts.append(text(place.x + 8, place.y + 16, answer.panel.title, TEXT, 11.5))
        parts.append(body(answer, place.inner(), look))
    note = "Drawn by make observe from a run over simulated engines, with faults on purpose."
    parts += [text(MARGIN, height - 8, note, DIM, 10), "</svg>\n"]
    return "\n".join(parts), width, height


def box(position: dict[str, int]) -> Box:
    """Where a panel stands, pixels."""
    return Box(
        MARGIN + position["x"] * COLUMN + GAP,
        HEAD + position["y"] * UNIT + GAP,
        position["w"] * COLUMN - 2 * GAP,
        position["h"] * UNIT - 2 * GAP,
    )


def photograph(path: Path, width: int, height: int) -> list[Path]:
    """A WebP of an SVG, by a headless Chromium where there is one: smaller than a PNG by half, and than the SVG."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return []
    image = path.with_suffix(".webp")
    page = path.with_suffix(".html")
    page.write_text(f'<style>body{{margin:0}}</style><img src="{escape(path.name)}">')
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}"]
    subprocess.run([*command, f"--screenshot={image}", page.as_uri()], check=True, capture_output=True)
    page.unlink()
    return [image]
