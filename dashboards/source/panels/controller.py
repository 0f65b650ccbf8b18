"""The profile controller: what it plans, what it switched, how long that took."""

from collections.abc import Sequence

from .. import kit
from ..kit import WINDOW, Panel, Query, Row

ENDS = {"done": kit.GOOD, "abandoned": kit.DIM, "rolled_back": kit.BAD, "failed": kit.WORST}

PANELS: Sequence[Panel] = (
    Panel(
        "Switches by their end",
        "`done`: in the profile wanted; `abandoned`: given up before anything ended; `rolled_back`: in the profile before; `failed`: in neither, "
        "an operator is needed (runbook: switch-failed).",
        [Query(f"sum by (outcome) (increase(gearshift_controller_switches_total{WINDOW}))", "{{outcome}}")],
        "none",
        width=kit.THIRD,
        colours=ENDS,
    ),
    Panel(
        "Time of a switch, p90",
        "From its first step to its end, by how it ended. This is what a plan's gain has to pay for.",
        [Query("histogram_quantile(0.9, sum by (le, outcome) (increase(gearshift_controller_switch_seconds_bucket[1h])))", "{{outcome}}")],
        "s",
        width=kit.THIRD,
        colours=ENDS,
    ),
    Panel(
        "Time in each step, mean",
        "Where switches spend their time: draining (long answers), releasing (memory not free), starting (loading weights), warming.",
        [
            Query(
                "sum by (step) (increase(gearshift_controller_step_seconds_sum[1h])) / (sum by (step) (increase(gearshift_controller_step_seconds_count[1h])) > 0)",
                "{{step}}",
            )
        ],
        "s",
        width=kit.THIRD,
    ),
    Panel(
        "Predicted gain by profile",
        "What the last plan predicts a profile would gain over the one the backend is in, as a share of the objective. A lasting gain that is not taken: "
        "`advisory` mode, a minimum dwell, or too little capacity to let go.",
        [Query(f"max by (backend, profile) (gearshift_controller_advised_gain_ratio{{{kit.ON_BACKEND}}})", "{{backend}} → {{profile}}")],
        "percentunit",
        width=kit.THIRD,
        minimum=None,
    ),
    Panel(
        "Plans",
        "Plans made in five minutes; none while the controller is off or paused by an operator (1 beside).",
        [
            Query("sum(increase(gearshift_controller_plans_total[5m]))", "plans"),
            Query("max(gearshift_controller_paused)", "paused"),
        ],
        "none",
        width=kit.THIRD,
        colours={"plans": kit.CALM, "paused": kit.BAD},
    ),
    Panel(
        "Engines started because none ran",
        "Starts outside of switches, by backend. Again and again: the engine ends by itself; its own log says why.",
        [Query(f"sum by (backend) (increase(gearshift_controller_engine_starts_total{{{kit.ON_BACKEND}}}[10m]))", "{{backend}}")],
        "none",
        width=kit.THIRD,
    ),
)

# On *Profiles and shifts*.
SWITCHES = Row("The profile controller", PANELS)
