"""Proxy internals: is Gearshift itself well, and does it know its fleet?"""

from . import kit
from .kit import BACKEND, INSTANCE, MODEL, ON_BACKEND, ON_INSTANCE, WINDOW, Dashboard, Panel, Query, Row
from .kit import above, stat
from .panels import PROXY

BOTH = f"{ON_INSTANCE},{ON_BACKEND}"


def own(expr: str) -> str:
    """A metric of the chosen instances."""
    return f"{expr}{{{ON_INSTANCE}}}"


def line(title: str, description: str, queries: list[Query], unit: str, **more) -> Panel:
    return Panel(title, description, queries, unit, width=more.pop("width", kit.THIRD), **more)


NOW = Row(
    "Now",
    [
        stat("Requests in flight", "Requests being served, of the most that may be (`limits.max_in_flight`). Above 90 %: 503 is near; runbook: saturated.",
             f"sum({own('gearshift_in_flight_requests')}) / sum({own('gearshift_in_flight_requests_limit')})", "percentunit", above(0.7, 0.9), maximum=1, decimals=2),
        stat("Connections", "Open connections of clients.", f"sum({own('gearshift_client_connections')})", "none"),
        stat("Bundle age", "Since the active bundle was made. Old is no fault by itself; see Selection quality for whether it still predicts.",
             "max(time() - gearshift_bundle_created_timestamp_seconds)", "s", empty="no bundle is active"),
        stat("Bundle", "The bundle that decides.", "max by (bundle) (gearshift_bundle_info)", "none", text_from_label=True, legend="{{bundle}}",
             empty="no bundle is active"),
        stat("Last bundle", "1: the bundle that was loaded last is in use; 0: it was refused and the one before serves; runbook: bundle-rejected.",
             f"min({own('gearshift_bundle_last_load_successful')})", "none", ((None, kit.WORST), (1, kit.GOOD)), maximum=1),
        stat("Configuration", "1: the file on disk is what serves; 0: it was refused; runbook: config-rejected.",
             f"min({own('gearshift_config_last_reload_successful')})", "none", ((None, kit.WORST), (1, kit.GOOD)), maximum=1),
        stat("ONNX Runtime", "1 where it is loaded; without it no bundle is used.", f"min({own('gearshift_onnxruntime_available')})", "none",
             ((None, kit.WARN), (1, kit.GOOD)), maximum=1),
        stat("Version", "The version that runs. Several: a roll-out is under way.", f"max by (version) ({own('gearshift_build_info')})", "none",
             text_from_label=True, legend="{{version}}"),
    ],
)

LOAD = Row(
    "Load",
    [
        line("In flight", "Requests being served.", [Query(f"sum by (instance) ({own('gearshift_in_flight_requests')})", "{{instance}}")], "none"),
        line("Client connections", "Open connections of clients.", [Query(f"sum by (instance) ({own('gearshift_client_connections')})", "{{instance}}")], "none"),
        line("Request bodies in memory", "Held until the backend's response head is there; limited by `limits.max_buffered`.",
             [Query(f"sum by (instance) ({own('gearshift_buffered_body_bytes')})", "{{instance}}")], "bytes"),
        line("CPU", "Cores used, over five minutes, as the process counts whole seconds. Request cores are `workers`; fleet watch, operators and bundles have a thread of their own.",
             [Query(f"sum by (instance) (rate(process_cpu_seconds_total{{{ON_INSTANCE}}}[5m]) and on (instance) gearshift_build_info)", "{{instance}}")], "short"),
        line("Memory", "Resident. Grows with open streams (tens of kB each) and backends, not with time.",
             [Query(f"sum by (instance) (process_resident_memory_bytes{{{ON_INSTANCE}}} and on (instance) gearshift_build_info)", "{{instance}}")], "bytes"),
        line("Open files", "Sockets mostly: two for each stream.",
             [Query(f"sum by (instance) (process_open_fds{{{ON_INSTANCE}}} and on (instance) gearshift_build_info)", "{{instance}}")], "none"),
    ],
)

ERRORS = Row(
    "Errors and retries",
    [
        line("Errors by reason", "Requests answered with an error by Gearshift itself; the log has each with its request id.",
             [Query(f"sum by (reason) (rate(gearshift_errors_total{{{ON_INSTANCE}}}{WINDOW})) > 0", "{{reason}}")], "reqps", stacked=True),
        line("Errors by source", "`client`: the request; `gearshift`: limits, or nobody to send to; `upstream`: the backend.",
             [Query(f"sum by (source) (rate(gearshift_errors_total{{{ON_INSTANCE}}}{WINDOW}))", "{{source}}")], "reqps", stacked=True,
             colours={"client": kit.WARN, "gearshift": kit.BAD, "upstream": kit.WORST}),
        line("Retries", "Attempts after the first, by what became of the one before. Paid from a budget, so an outage is not multiplied; they end where it is spent.",
             [Query(f"sum by (reason) (rate(gearshift_retries_total{{{ON_INSTANCE}}}{WINDOW}))", "{{reason}}")], "reqps", stacked=True),
    ],
)

DECISION = Row(
    "Decisions and reloads",
    [
        Panel("Time a decision takes", "All decisions, by their time. A second band above 100 µs is the meta-learner; its budget bounds it.",
              [Query(f"sum by (le) (increase(gearshift_decision_seconds_bucket{{{ON_INSTANCE}}}{WINDOW}))", "{{le}}")], "s", "heatmap", width=kit.QUARTER, minimum=None),
        line("Configuration reloads", "By result. `rejected`: nothing changed but this metric and the log, which says why; `gearshift check` says it too.",
             [Query(f"sum by (result) (increase(gearshift_config_reloads_total{{{ON_INSTANCE}}}{WINDOW}))", "{{result}}")], "none",
             colours={"applied": kit.GOOD, "rejected": kit.WORST}, width=kit.QUARTER),
        line("Bundle loads", "By result. `refused`: the one before decides on; `gearshift bundle list` says why.",
             [Query(f"sum by (result) (increase(gearshift_bundle_loads_total{{{ON_INSTANCE}}}{WINDOW}))", "{{result}}")], "none",
             colours={"activated": kit.GOOD, "refused": kit.WORST}, width=kit.QUARTER),
        line("Candidates the bundle looks at", "At most, by its measured speed and `learner.budget`; the prior ranks the rest. Few on a large fleet: a larger budget, or a smaller graph.",
             [Query(f"min by (instance) ({own('gearshift_bundle_candidates')})", "{{instance}}")], "none", width=kit.QUARTER),
    ],
)

WATCH = Row(
    "Watching the fleet",
    [
        line("Age of the load reading", "Since the engine's metrics were last read well. The older, the less the decision trusts it; above 30 s: runbook: scrapes-stale.",
             [Query(f"max by (backend) (gearshift_backend_scrape_age_seconds{{{BOTH}}})", "{{backend}}")], "s", lines=((None, "transparent"), (30, kit.WORST))),
        line("Scrapes by result", "Of the engines' metrics. `absent`: no vLLM metrics there; `incomplete`: a gauge is missing or no number.",
             [Query(f"sum by (result) (rate(gearshift_backend_scrapes_total{{{BOTH}}}{WINDOW})) > 0", "{{result}}")], "ops", stacked=True,
             colours={"ok": kit.GOOD, "timeout": kit.BAD, "failed": kit.WORST, "unreachable": "#C4162A", "incomplete": kit.WARN, "absent": kit.DIM}),
        line("Health checks by result", "Three failures in a row take a backend out (`fleet.unhealthy_after`).",
             [Query(f"sum by (result) (rate(gearshift_backend_health_checks_total{{{BOTH}}}{WINDOW})) > 0", "{{result}}")], "ops", stacked=True,
             colours={"alive": kit.GOOD, "timeout": kit.BAD, "failed": kit.WORST, "refused": "#C4162A", "dead": kit.PALE}),
        line("Network round trip", "To the backend, smoothed; part of what is predicted.",
             [Query(f"max by (backend) (gearshift_backend_round_trip_seconds{{{BOTH}}})", "{{backend}}")], "s"),
        line("Recent failures", "Connections that failed and refusals, halving every ten seconds. Above 1, requests prefer others.",
             [Query(f"max by (backend) (gearshift_backend_recent_failures{{{BOTH}}})", "{{backend}}")], "short"),
        line("Questions about what is served", "Detections of model and knobs, by result.",
             [Query(f"sum by (result) (rate(gearshift_backend_detections_total{{{BOTH}}}{WINDOW}))", "{{result}}")], "ops",
             colours={"ok": kit.GOOD, "failed": kit.WORST}),
        line("Names left out", "Models and adapters that an engine lists and that are not taken in: over 1,000 of them, or longer than 256 bytes. Requests for them find nobody.",
             [Query(f"max by (backend) (gearshift_backend_names_left_out{{{BOTH}}})", "{{backend}}")], "none", width=kit.QUARTER),
        line("Prefill on its way", "Prompt tokens sent whose first output has not come back: the part of the load that scrapes cannot show in time.",
             [Query(f"sum by (backend) (gearshift_backend_in_flight_prefill_tokens{{{BOTH}}})", "{{backend}}")], "short", width=kit.QUARTER),
        line("What a scrape of Gearshift takes", "By Prometheus' clock. Rendered on the control thread, never on a request core.",
             [Query("max by (instance) (scrape_duration_seconds and on (instance) gearshift_build_info)", "{{instance}}")], "s", width=kit.QUARTER),
        line("Series", "Samples in one scrape of Gearshift. Grows with routes × backends in use, never with clients.",
             [Query("max by (instance) (scrape_samples_scraped and on (instance) gearshift_build_info)", "{{instance}}")], "short", width=kit.QUARTER),
    ],
)

DASHBOARD = Dashboard(
    "gearshift-proxy",
    "Gearshift / Proxy internals",
    "Is Gearshift itself well, and does it know its fleet?",
    [INSTANCE, MODEL, BACKEND],
    [NOW, LOAD, ERRORS, DECISION, WATCH, *PROXY],
)
