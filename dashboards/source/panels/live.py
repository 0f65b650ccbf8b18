"""What is learned from requests: workload windows, rows of the performance database."""

from .. import kit
from ..kit import WINDOW, Panel, Query, Row

ON_MODEL = 'model=~"$model"'


def window(title: str, description: str, metric: str, unit: str, **more) -> Panel:
    return Panel(title, description, [Query(f"max by (model) ({metric}{{{ON_MODEL}}})", "{{model}}")], unit, width=kit.QUARTER, **more)


def lengths(title: str, metric: str) -> Panel:
    queries = [Query(f'max by (quantile) ({metric}{{{ON_MODEL},quantile="{q}"}})', name) for q, name in (("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99"))]
    return Panel(title, "Tokens, decayed; of the chosen models the one with the longest.", queries, "short", width=kit.QUARTER, colours=kit.QUANTILES)


# On *Profiles and shifts*: what a profile is chosen for.
WORKLOAD = Row(
    "The workload that profiles are chosen for",
    [
        window("Arrivals", "Requests that arrive, decayed over the window that plans look at.", "gearshift_workload_requests_per_second", "reqps"),
        window("Burstiness", "Squared coefficient of variation of the times between arrivals: 1 at random, more in bursts, which want spare capacity.",
               "gearshift_workload_burstiness", "none"),
        window("Concurrency", "Requests in the house on average. Small: speculation pays; large: big batches do.", "gearshift_workload_concurrency", "none"),
        window("Shared prefixes", "Share of prompt tokens that an earlier prompt began with: what prefix caching could save.",
               "gearshift_workload_prefix_share", "percentunit", maximum=1),
        window("Cached", "Share of prompt tokens that engines took from their caches: what it does save.", "gearshift_workload_cached_share", "percentunit", maximum=1),
        lengths("Prompts", "gearshift_workload_prompt_tokens"),
        lengths("Answers", "gearshift_workload_output_tokens"),
    ],
)
# On *Proxy internals*.
ROWS = Row(
    "Rows of the performance database",
    [
        Panel("Rows written", "Rows of the performance database written to the store.",
              [Query(f"sum(rate(gearshift_observations_written_total{WINDOW}))", "rows")], "ops", width=kit.QUARTER),
        Panel("Rows lost", "Finished requests that became no row. `store`: it did not take them; `*_full`: it is too slow; `unknown_facts`: declare hardware and model.",
              [Query(f"sum by (reason) (rate(gearshift_observations_lost_total{WINDOW}))", "{{reason}}")], "ops", width=kit.QUARTER),
        Panel("Files of rows", "Attempts to write a file. `failed` ones are tried again until too many rows wait.",
              [Query(f"sum by (result) (increase(gearshift_observation_files_total{WINDOW}))", "{{result}}")], "none", width=kit.QUARTER,
              colours={"written": kit.GOOD, "failed": kit.WORST}),
        Panel("Rows waiting", "Rows that wait for the store; growing means it is out of reach.",
              [Query("sum by (instance) (gearshift_observations_pending)", "{{instance}}")], "none", width=kit.QUARTER),
    ],
)
