"""Reads Prometheus' text format, as far as engines and Gearshift use it."""

import re

SAMPLE = re.compile(r"^(?P<name>[^\s{]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def total(text: str, name: str, **labels: str) -> float | None:
    """The sum of the samples of `name` that carry all of `labels`; `None` if there is none."""
    found = None
    for line in text.splitlines():
        sample = SAMPLE.match(line)
        if sample is None or sample["name"] != name:
            continue
        carried = dict(LABEL.findall(sample["labels"] or ""))
        if labels.items() <= carried.items():
            found = (found or 0.0) + float(sample["value"])
    return found
