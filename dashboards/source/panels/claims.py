"""What backends claim to be against what they are measured to be, and what is tried besides the best."""

from .. import kit
from ..kit import ON_BACKEND, WINDOW, Panel, Query, Row

CLAIMS = Row(
    "Claims, drift and exploration",
    [
        Panel(
            "Claims that measurements contradict",
            "1 where what is declared of a backend cannot be: `prefill` (hardware, cache), `decode` (bandwidth), `network` (nearness). Ask its owner, or correct the file.",
            [Query(f"max by (backend, claim) (gearshift_backend_claim_contradicted{{{ON_BACKEND}}})", "{{backend}} {{claim}}")],
            "none",
            width=kit.THIRD,
            maximum=1,
        ),
        Panel(
            "Drift",
            "Measured now over measured in the last ten minutes. Sudden and lasting: another tenant, a clock that was lowered; runbook: calibration-drift.",
            [Query(f"avg by (backend, target) (gearshift_backend_drift_ratio{{{ON_BACKEND}}})", "{{backend}} {{target}}")],
            "none",
            width=kit.THIRD,
            log=True,
        ),
        Panel(
            "Exploration",
            "Share of decisions that may have gone elsewhere than to the best, so that what is rarely chosen stays known (`observations.explore`).",
            [Query(f"sum(rate(gearshift_decisions_explored_total{WINDOW})) / (sum(rate(gearshift_decisions_total{WINDOW})) > 0)", "explored")],
            "percentunit",
            width=kit.THIRD,
        ),
    ],
)
