"""What is told of single requests: spans, access-log lines."""

from .. import kit
from ..kit import WINDOW, Panel, Query, Row

COLOURS = {"told": kit.GOOD, "queue_full": kit.WARN, "failed": kit.WORST}


def told(title: str, description: str, metric: str) -> Panel:
    return Panel(title, description, [Query(f"sum by (result) (rate({metric}{WINDOW}))", "{{result}}")], "ops", width=kit.HALF, colours=COLOURS)


# On *Proxy internals*.
TOLD = Row(
    "Traces and access log",
    [
        told("Spans", "`queue_full`: more come than the collector takes; `failed`: it is out of reach or refuses them. Requests wait for neither.",
             "gearshift_trace_spans_total"),
        told("Access-log lines", "`queue_full`: nobody reads the pipe; `failed`: the file cannot be written.", "gearshift_access_log_lines_total"),
    ],
)
