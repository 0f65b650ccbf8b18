"""What is told to others: spans, access-log lines, engines' own metrics; and those who ask."""

from .. import kit
from ..kit import ON_INSTANCE, WINDOW, Panel, Query, Row

COLOURS = {"told": kit.GOOD, "queue_full": kit.WARN, "failed": kit.WORST, "log: dropped": kit.WORST}


def told(title: str, description: str, metric: str, *more: Query) -> Panel:
    queries = [Query(f"sum by (result) (rate({metric}{WINDOW}))", "{{result}}"), *more]
    return Panel(title, description, queries, "ops", width=kit.QUARTER, colours=COLOURS)


# On *Proxy internals*.
TOLD = Row(
    "Traces, access log, engines' metrics, operators",
    [
        told("Spans", "`queue_full`: more come than the collector takes; `failed`: it is out of reach or refuses them. Requests wait for neither.",
             "gearshift_trace_spans_total"),
        told("Access-log lines",
             "`queue_full`: nobody reads the pipe; `failed`: the file cannot be written. `log: dropped`: lines of the log on standard error, which nobody reads. Requests wait for none.",
             "gearshift_access_log_lines_total",
             Query(f"sum(rate(gearshift_log_lines_dropped_total{WINDOW}))", "log: dropped")),
        Panel("Engines' samples left out",
              "Samples of engines' own metrics (`telemetry.engine_metrics`) that were not summed up as they came: no number, out of bounds, or one series too many. "
              "Lasting: an engine says what is no metric, or has too many series.",
              [Query(f"sum by (instance) (rate(gearshift_engine_metrics_left_out_total{{{ON_INSTANCE}}}{WINDOW}))", "{{instance}}")], "ops", width=kit.QUARTER),
        Panel("Operators' connections",
              "Open at once, 256 at most; those beyond are answered 503. Near that: consoles left open, or scripts that do not close.",
              [Query(f"sum by (instance) (gearshift_admin_connections{{{ON_INSTANCE}}})", "open"),
               Query(f"sum by (instance) (increase(gearshift_admin_connections_refused_total{{{ON_INSTANCE}}}{WINDOW}))", "sent away")],
              "none", width=kit.QUARTER, colours={"open": kit.CALM, "sent away": kit.WORST}),
    ],
)
