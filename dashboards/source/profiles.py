"""Profiles and shifts: which profile serves what, how well, and when backends change theirs."""

from . import kit
from .kit import BACKEND, MODEL, ON_BACKEND, RIDE, ROUTE, WINDOW, Dashboard, Panel, Query, Row
from .kit import by_profile, timeline
from .panels import PROFILES

HITS = "gearshift_backend_prefix_cache_tokens_total"


def quantile_by_profile(q: float, histogram: str) -> str:
    return f"histogram_quantile({q:g}, {by_profile(histogram + '_bucket', more='le')})"


def line(title: str, description: str, expr: str, unit: str, legend: str = "{{profile}}", **more) -> Panel:
    return Panel(title, description, [Query(expr, legend)], unit, width=more.pop("width", kit.THIRD), **more)


OUTPUT = by_profile("gearshift_tokens_total", RIDE + ',kind="output"')

SERVING = Row(
    "Which profile serves what",
    [
        Panel(
            "Profiles",
            "What each chosen backend is set up as. `detected`: the file leaves it to the engine; `/fleet` shows the knobs that were found.",
            [
                Query(f"max by (backend, hardware, accelerators, profile) (gearshift_backend_info{{{ON_BACKEND}}})"),
                Query(f"max by (backend) (gearshift_backend_state_seconds{{{ON_BACKEND}}})"),
                Query(f"max by (backend) (gearshift_backend_kv_cache_tokens{{{ON_BACKEND}}})"),
            ],
            kind="table",
            width=kit.HALF,
            columns={
                "backend": ("Backend", ""),
                "hardware": ("Hardware", ""),
                "accelerators": ("×", ""),
                "profile": ("Profile", ""),
                "Value #B": ("In its state for", "s"),
                "Value #C": ("KV cache, tokens", "short"),
            },
        ),
        line("Requests by profile", "Forwarded requests a second by the profile of the backend that took them.",
             by_profile("gearshift_requests_total"), "reqps", stacked=True, width=kit.HALF),
        line("Output by profile", "Tokens generated a second.", OUTPUT, "short", stacked=True),
        line("TTFT p90 by profile", "Chunked prefill in small pieces and low batch limits show here.",
             quantile_by_profile(0.9, "gearshift_time_to_first_token_seconds"), "s"),
        line("TPOT p90 by profile", "Speculation and small batches show here.",
             quantile_by_profile(0.9, "gearshift_time_per_output_token_seconds"), "s"),
    ],
)

PRICE = Row(
    "What a profile costs (estimated)",
    [
        line("Cost of a million output tokens", "Estimated at each decision: price × the request's share of the engine's time.",
             f"{by_profile('gearshift_estimated_cost_usd_total')} / ({OUTPUT} > 0) * 1e6", "currencyUSD", width=kit.HALF, log=True),
        line("Energy of a thousand output tokens", "Estimated by a linear power model; not measured.",
             f"{by_profile('gearshift_estimated_energy_joules_total')} / 3.6 / ({OUTPUT} > 0)", "watth", width=kit.HALF, log=True),
    ],
)

CACHES = Row(
    "Prefix caches",
    [
        line(
            "Hit rate by backend",
            "Share of prompt tokens that the engine found in its prefix cache, by its own count. Low on a caching profile: its traffic shares little, or is spread too thin.",
            f'sum by (backend) (rate({HITS}{{{ON_BACKEND},result="hit"}}{WINDOW})) / (sum by (backend) (rate({HITS}{{{ON_BACKEND}}}{WINDOW})) > 0)',
            "percentunit",
            "{{backend}}",
            maximum=1,
            width=kit.HALF,
        ),
        line(
            "Cached share of prompts by model",
            "As engines count it in each response's usage; engines that do not tell count as none.",
            f"sum by (model) (rate(gearshift_tokens_total{{{RIDE},kind=\"cached\"}}{WINDOW})) / (sum by (model) (rate(gearshift_tokens_total{{{RIDE},kind=\"prompt\"}}{WINDOW})) > 0)",
            "percentunit",
            "{{model}}",
            maximum=1,
            width=kit.HALF,
        ),
    ],
)

STATES = Row(
    "Shifts",
    [
        timeline("State of each backend", "`shifting`: on its way into another profile, without requests; longer than 20 minutes: runbook: switch-stuck.", height=7),
    ],
)

DASHBOARD = Dashboard(
    "gearshift-profiles",
    "Gearshift / Profiles and shifts",
    "Which profile serves what, how well, and when backends change theirs.",
    [ROUTE, MODEL, BACKEND],
    [SERVING, PRICE, CACHES, STATES, *PROFILES],
)
