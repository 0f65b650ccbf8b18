"""Numbers as Grafana writes them, and axes."""

from dataclasses import dataclass
from math import ceil, floor, isfinite, log, log10

TIMES = ((1e-6, "µs", 1e6), (1e-3, "ms", 1e3), (1.0, "s", 1.0), (60.0, "min", 1 / 60), (3600.0, "h", 1 / 3600), (86400.0, "d", 1 / 86400))
BYTES = ((1.0, "B", 1.0), (2**10, "KiB", 2**-10), (2**20, "MiB", 2**-20), (2**30, "GiB", 2**-30))
COUNTS = ((1.0, "", 1.0), (1e3, " K", 1e-3), (1e6, " Mil", 1e-6))
SUFFIX = {"reqps": " req/s", "ops": " ops/s", "watth": " Wh"}


def digits(value: float) -> str:
    """Three significant digits, no more zeros than needed."""
    if value == 0:
        return "0"
    places = max(0, 2 - floor(log10(abs(value))))
    written = f"{value:.{min(places, 6)}f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def stepped(value: float, steps) -> str:
    """In the largest unit that the value fills."""
    chosen = steps[0]
    for step in steps:
        if abs(value) >= step[0]:
            chosen = step
    return f"{digits(value * chosen[2])}{'' if chosen[1].startswith(' ') or not chosen[1] else ' '}{chosen[1]}"


def written(value: float, unit: str) -> str:
    """A value in its unit."""
    if not isfinite(value):
        return "–"
    if unit == "percentunit":
        return f"{digits(value * 100)} %"
    if unit == "currencyUSD":
        return f"${digits(value)}"
    if unit == "s":
        return "0 s" if value == 0 else stepped(value, TIMES)
    if unit == "bytes":
        return stepped(value, BYTES)
    if unit == "none":
        return digits(value)
    return stepped(value, COUNTS) + SUFFIX.get(unit, "")


@dataclass(frozen=True)
class Axis:
    """From a value to a place between 0 and 1, and the values that are marked."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def place(self, value: float) -> float:
        if self.log:
            value, low, high = (log10(max(number, 1e-12)) for number in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low)))


def linear(low: float, high: float, fixed: float | None = None, thousand: int = 1000) -> Axis:
    """About four marks on round numbers; a thousand is 1,024 for bytes, 60 for minutes."""
    high = fixed if fixed is not None else high
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / 4
    unit = float(thousand) ** floor(log(rough, thousand) + 1e-9)
    power = unit * 10.0 ** floor(log10(rough / unit))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= rough * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    ticks = tuple(step * index for index in range(first, last + 1))
    return Axis(ticks[0], high if fixed is not None else ticks[-1], ticks)


def logarithmic(low: float, high: float) -> Axis:
    """Marks on 1, 2 and 5 of each decade, or on decades where there are many."""
    low, high = max(low, 1e-9) / 1.1, max(high, low, 1e-9) * 1.1
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    within = range(1, 10) if high / low < 8 else (1, 2, 5) if len(decades) < 5 else (1,)
    ticks = tuple(mark for decade in decades for times in within if low <= (mark := times * 10.0**decade) <= high)
    return Axis(low, high, ticks[:: max(1, len(ticks) // 6)], log=True)
