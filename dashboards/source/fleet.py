"""Fleet overview: are requests served well, where, and at what price?"""

from . import kit
from .kit import ASKED, BACKEND, MODEL, ON_BACKEND, OUTCOMES, RIDE, ROUTE, WINDOW, Dashboard, Panel, Query, Row
from .kit import above, below, of_profiles, quantile, quantiles, rate, ratio, stat, timeline

TTFT = "gearshift_time_to_first_token_seconds"
TPOT = "gearshift_time_per_output_token_seconds"
E2E = "gearshift_request_duration_seconds"
REQUESTS = "gearshift_requests_total"

OURS, COUNTED = 'outcome=~"cut|upstream_error"', 'outcome!~"client_error|cancelled"'
READY = f'sum(max by (backend) (gearshift_backend_available{{{ON_BACKEND},state="ready"}}))'
TOKENS_OUT = rate("gearshift_tokens_total", labels=RIDE + ',kind="output"')


def either(requests: str, besides: str, labels: str) -> str:
    """Rates of requests that were forwarded, and those of another counter. No series of one has the labels of one of the other's, so a sum
    over both counts each once, and only one need be there."""
    return f"rate({REQUESTS}{{{labels},{requests}}}{WINDOW}) or rate({besides}{WINDOW})"


def failed(by: str = "") -> str:
    """Share of requests that failed for a reason on our side: forwarded ones, and those that Gearshift answered itself. The latter are of
    no backend, so the choice of backends leaves both alone."""
    grouped, labels = (f"sum by ({by})", f'{ASKED},{by}!=""') if by else ("sum", ASKED)
    own = f'gearshift_errors_total{{{labels},source!="client"}}'
    return f"{grouped} ({either(OURS, own, labels)}) / ({grouped} ({either(COUNTED, own, labels)}) > 0)"


ATTEMPTS = f"gearshift_attempts_failed_total{{{RIDE}}}"
BAD_ATTEMPTS, ALL_ATTEMPTS = either(OURS, ATTEMPTS, RIDE), either(COUNTED, ATTEMPTS, RIDE)


def engine(metric: str) -> str:
    """An engine's gauge: every replica scrapes the same engine, so one reading is enough."""
    return f"max by (backend) ({metric}{{{ON_BACKEND}}})"


NOW = Row(
    "Now",
    [
        stat(
            "Requests",
            "Requests that were forwarded and ended, a second. Falls to zero: look at the errors beside it, then at what is before Gearshift.",
            rate(REQUESTS),
            "reqps",
        ),
        stat(
            "Errors",
            "Share of requests on the chosen routes and models, whatever the backend, that failed for a reason on our side: broken streams, "
            "5xx of engines, errors Gearshift answered itself. Above 1 %: the row *Failures* says whose; runbook: error-budget-burn.",
            failed(),
            "percentunit",
            above(0.001, 0.01),
            decimals=2,
        ),
        stat(
            "TTFT p90",
            "Nine of ten streams began within this time. Compare backends below; rising everywhere means queues, rising on one means that engine.",
            quantile(0.9, TTFT),
            "s",
        ),
        stat("TPOT p90", "Nine of ten streams took at most this long for a token after the first.", quantile(0.9, TPOT), "s"),
        stat(
            "Within limits",
            "Share of whole responses on routes with an SLO that kept all of its limits. Below 99 % for long: runbook: latency-budget-burn.",
            ratio(
                rate("gearshift_slo_requests_total", labels=RIDE + ',result="met"'),
                rate("gearshift_slo_requests_total"),
            ),
            "percentunit",
            below(0.95, 0.99),
            maximum=1,
        ),
        stat(
            "Backends ready",
            "Backends that take requests without reserve, of the chosen ones. Less than all: the timeline below says which, and since when.",
            READY,
            "none",
            ((None, kit.WORST), (1, kit.GOOD)),
        ),
        stat(
            "Waiting in engines",
            "Requests in the engines' own queues, as scraped. Above zero for long: the fleet is short of capacity for this workload; runbook: queue-growing.",
            f"sum({engine('gearshift_backend_waiting_requests')})",
            "none",
            above(10, 50),
        ),
        stat("Output", "Tokens generated a second, of whole responses.", TOKENS_OUT, "short"),
    ],
)

RED = Row(
    "Rate, errors, duration",
    [
        Panel(
            "Requests by outcome",
            "Forwarded requests a second. `cut`: the engine broke off after it began; `cancelled`: the client left, which costs nothing but "
            "rises when clients time out.",
            [Query(rate(REQUESTS, "outcome"), "{{outcome}}")],
            "reqps",
            stacked=True,
            colours=OUTCOMES,
        ),
        Panel(
            "Errors answered by Gearshift",
            "Requests that were not forwarded or that no backend answered, by reason. `no_backend` and `upstream_*` mean the fleet, "
            "`overloaded` the proxy's own limits, all others the clients. What is wrong before route and model are known counts where all are chosen.",
            [Query(f'{rate("gearshift_errors_total", "reason", ASKED)} > 0', "{{reason}}")],
            "reqps",
            stacked=True,
        ),
        Panel(
            "Time to first token",
            "From a request's arrival to its first output, streams only.",
            quantiles(TTFT),
            "s",
            width=kit.THIRD,
            colours=kit.QUANTILES,
        ),
        Panel(
            "Time per output token",
            "Mean over a stream, after its first token.",
            quantiles(TPOT),
            "s",
            width=kit.THIRD,
            colours=kit.QUANTILES,
        ),
        Panel(
            "End to end",
            "From a request's arrival to the end of a whole response. Depends on how much was asked for: compare it with itself.",
            quantiles(E2E),
            "s",
            width=kit.THIRD,
            colours=kit.QUANTILES,
        ),
        Panel(
            "Tokens",
            "Tokens a second of whole responses. `cached` is the part of `prompt` that engines took from their prefix caches.",
            [Query(rate("gearshift_tokens_total", "kind"), "{{kind}}")],
            "short",
            width=kit.THIRD,
            colours={"prompt": kit.CALM, "cached": kit.COOL, "output": kit.GOOD},
        ),
        Panel(
            "Requests by route",
            "Forwarded requests a second by the route that took them.",
            [Query(rate(REQUESTS, "route"), "{{route}}")],
            "reqps",
            width=kit.THIRD,
            stacked=True,
        ),
        Panel(
            "Requests by model",
            "Forwarded requests a second by model.",
            [Query(rate(REQUESTS, "model"), "{{model}}")],
            "reqps",
            width=kit.THIRD,
            stacked=True,
        ),
    ],
)



def share(title: str, description: str, expr: str, by: str) -> Panel:
    return Panel(title, description, [Query(expr, f"{{{{{by}}}}}")], "percentunit", width=kit.THIRD, lines=((None, "transparent"), (0.01, kit.WORST)))


FAILURES = Row(
    "Failures",
    [
        share("Errors by route", "Share of requests that failed for a reason on our side, those that Gearshift answered itself among them.", failed("route"), "route"),
        share("Errors by model", "As beside. One model alone: its engines, see by backend; all: Gearshift, or what is before the engines.", failed("model"), "model"),
        share("Errors by profile", "Share of attempts at backends in a profile that failed, also where another backend answered then. One profile "
              "alone: a knob that its engines do not bear.", f"{of_profiles(BAD_ATTEMPTS)} / ({of_profiles(ALL_ATTEMPTS)} > 0)", "profile"),
        share("Errors by backend", "Share of attempts at a backend that failed, also where another answered then, so that clients did not see it; "
              "runbook: backend-failing.", f"sum by (backend) ({BAD_ATTEMPTS}) / (sum by (backend) ({ALL_ATTEMPTS}) > 0)", "backend"),
        Panel(
            "Failed attempts",
            "Attempts at backends that gave clients nothing, by reason. `connect…`: nobody listens, or the network; `broken`: the connection ended "
            "before a response; `refused`: the engine sends away; `response_timeout`: no response in time.",
            [Query(f"sum by (reason) (rate({ATTEMPTS}{WINDOW}))", "{{reason}}")],
            "reqps",
            width=kit.THIRD,
            stacked=True,
        ),
        Panel(
            "Failed attempts by backend",
            "The same by backend: whose failures others make up for. They cost the requests time and the others load.",
            [Query(f"sum by (backend) (rate({ATTEMPTS}{WINDOW})) > 0", "{{backend}}")],
            "reqps",
            width=kit.THIRD,
            stacked=True,
        ),
    ],
)

FLEET = Row(
    "Fleet",
    [
        timeline(
            "State of each backend",
            "`probation`: back after a failure, one request at a time; `hung`: work in flight and no token (runbook: engine-hung); "
            "`down`: health checks fail (runbook: model-without-backend).",
        ),
        Panel(
            "Backends",
            "Every chosen backend now. State in flight here and in the engine differ where others use the engine too.",
            [
                Query(f"max by (backend, hardware, accelerators, profile) (gearshift_backend_info{{{ON_BACKEND}}})"),
                Query(f"max by (backend, state) (gearshift_backend_available{{{ON_BACKEND}}} == 1)"),
                Query(f"sum by (backend) (gearshift_backend_in_flight_requests{{{ON_BACKEND}}})"),
                Query(engine("gearshift_backend_running_requests")),
                Query(engine("gearshift_backend_waiting_requests")),
                Query(engine("gearshift_backend_kv_cache_usage_ratio")),
                Query(engine("gearshift_backend_scrape_age_seconds")),
                Query(engine("gearshift_backend_price_usd_per_hour")),
            ],
            kind="table",
            width=kit.FULL,
            columns={
                "backend": ("Backend", ""),
                "hardware": ("Hardware", ""),
                "accelerators": ("×", ""),
                "profile": ("Profile", ""),
                "state": ("State", ""),
                "Value #C": ("In flight here", "none"),
                "Value #D": ("Running", "none"),
                "Value #E": ("Waiting", "none"),
                "Value #F": ("KV cache", "percentunit"),
                "Value #G": ("Read", "s"),
                "Value #H": ("$/h", "currencyUSD"),
            },
        ),
    ],
)


def by_backend(title: str, description: str, expr: str, unit: str, **more) -> Panel:
    return Panel(title, description, [Query(expr, "{{backend}}")], unit, width=kit.THIRD, **more)


BACKENDS = Row(
    "By backend",
    [
        by_backend("Requests", "Where requests go. One that gets none while it is ready is predicted to be worse, or was left alone: see Selection quality.",
                   rate(REQUESTS, "backend"), "reqps", stacked=True),
        by_backend("TTFT p90", "An outlier that others are not: look at its queue and KV cache beside.", quantile(0.9, TTFT, "backend"), "s"),
        by_backend("TPOT p90", "Grows with the batch; beyond the route's limit, requests go elsewhere.", quantile(0.9, TPOT, "backend"), "s"),
        by_backend("Running", "Requests in the engine's batch, as scraped: those of other routers too.", engine("gearshift_backend_running_requests"), "none"),
        by_backend("Waiting", "Requests in the engine's queue, as scraped. Gearshift sends here only when others are worse.",
                   engine("gearshift_backend_waiting_requests"), "none"),
        by_backend("KV cache", "Use of the engine's KV cache. At 100 % it preempts: requests begin again and TTFT explodes.",
                   engine("gearshift_backend_kv_cache_usage_ratio"), "percentunit", maximum=1,
                   lines=((None, "transparent"), (0.95, kit.WORST))),
    ],
)

COST = "gearshift_estimated_cost_usd_total"
ENERGY = "gearshift_estimated_energy_joules_total"
GENERATED = rate("gearshift_tokens_total", "backend", RIDE + ',kind="output"')
COSTS = Row(
    "Cost and energy (estimated)",
    [
        Panel(
            "Cost of a million output tokens",
            "Estimated at each decision: price × the request's share of the engine's time. Not a bill: an idle engine costs nothing here, and one request alone on an engine is charged for all of it.",
            [Query(f"{rate(COST, 'backend')} / ({GENERATED} > 0) * 1e6", "{{backend}}")],
            "currencyUSD",
            log=True,
        ),
        Panel(
            "Energy of a thousand output tokens",
            "Estimated by a linear power model between idle and full draw; not measured.",
            [Query(f"{rate(ENERGY, 'backend')} / 3.6 / ({GENERATED} > 0)", "{{backend}}")],
            "watth",
            log=True,
        ),
    ],
)

BURN = Row(
    "Error budgets",
    [
        Panel(
            "Availability: how fast the budget burns",
            "1 uses up the budget (0.1 % of requests) exactly in its period. An alert goes off where both windows of a pair are above 14.4 (page) "
            "or 6 (ticket); runbook: error-budget-burn.",
            [Query(f"max(gearshift:availability_errors:ratio_rate{window}) / 0.001", window) for window in ("5m", "30m", "1h", "6h")],
            "none",
            lines=((None, "transparent"), (6, kit.BAD), (14.4, kit.WORST)),
        ),
        Panel(
            "Latency: how fast the budget burns",
            "As beside, for responses that missed a limit of their route (budget 1 %), the worst route; runbook: latency-budget-burn.",
            [Query(f"max(gearshift:latency_misses:ratio_rate{window}) / 0.01", window) for window in ("5m", "30m", "1h", "6h")],
            "none",
            lines=((None, "transparent"), (6, kit.BAD), (14.4, kit.WORST)),
        ),
    ],
)

DASHBOARD = Dashboard(
    "gearshift-fleet",
    "Gearshift / Fleet overview",
    "Are requests served well, where, and at what price?",
    [ROUTE, MODEL, BACKEND],
    [NOW, RED, FAILURES, FLEET, BACKENDS, COSTS, BURN],
)
