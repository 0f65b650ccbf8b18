"""Selection quality: are predictions right, does the meta-learner decide, and what does choosing save?"""

from . import kit
from .kit import BACKEND, FALLBACKS, MODEL, ON_BACKEND, ON_ROUTE, ROUTE, WINDOW, Dashboard, Panel, Query, Row
from .kit import above, below, quantile, rate, stat
from .panels import SELECTION

DECISIONS = "gearshift_decisions_total"
ACCURACY = "gearshift_measured_over_predicted_ratio"
ON_OFFER = 'model=~"$model",backend=~"$backend"'
NO_BUNDLE = "without an active bundle the meta-learner is never asked"


def target(name: str) -> str:
    return f'{ON_OFFER},target="{name}"'


def within(name: str, low: str, high: str) -> str:
    """Share of requests whose measured time was between two multiples of the predicted one."""
    count = lambda bound: f"sum(rate({ACCURACY}_bucket{{{target(name)},{kit.le(bound)}}}{WINDOW}))"  # noqa: E731
    return f"({count(high)} - {count(low)}) / (sum(rate({ACCURACY}_count{{{target(name)}}}{WINDOW})) > 0)"


def predicted(choice: str, by: str = "") -> str:
    """Seconds that were predicted for what was taken, or for an even spread."""
    return rate("gearshift_decision_predicted_seconds_total", by, f'{ON_ROUTE},choice="{choice}"')


def saved(by: str = "") -> str:
    """The share of the predicted time that choosing saved."""
    return f"1 - {predicted('chosen', by)} / ({predicted('round_robin', by)} > 0)"


ESTIMATED = (
    " Estimated: the chosen candidate's prediction against the mean over all candidates of the same decision, at the loads that Gearshift's "
    "own choices brought about, so it is too small where those it prefers are busy. Routes with another objective than latency give time away. Costs are not compared so: an idle engine would charge "
    "its whole time to one request."
)
NOW = Row(
    "Now",
    [
        stat("Decisions", "Decisions a second, retries among them.", rate(DECISIONS, labels=ON_ROUTE), "reqps"),
        stat(
            "By the meta-learner",
            "Share of decisions in which the meta-learner had its say. The rest fell back, see by what below. All of it falling back while a "
            "bundle is active: runbook: all-fallback.",
            f'(sum(rate({DECISIONS}{{{ON_ROUTE},fallback="none"}}{WINDOW})) / (sum(rate({DECISIONS}{{{ON_ROUTE}}}{WINDOW})) > 0))',
            "percentunit",
            ((None, kit.DIM), (0.5, kit.WARN), (0.9, kit.GOOD)),
            maximum=1,
        ),
        stat(
            "TTFT within ×2",
            "Share of streams whose time to first token was between half and twice the predicted one. The decision needs the order of candidates "
            "right more than the figure; below one half for long: runbook: predictions-off.",
            within("ttft", "0.5", "2"),
            "percentunit",
            below(0.5, 0.7),
            maximum=1,
        ),
        stat("TPOT within ×1.25", "As beside, for the time per output token, which is easier to predict.", within("tpot", "0.8", "1.25"),
             "percentunit", below(0.5, 0.7), maximum=1),
        stat("Time saved", "End-to-end time saved against round robin." + ESTIMATED, saved(), "percentunit", ((None, kit.BAD), (0, kit.GOOD)), minimum=None),
        stat("Median TTFT ratio", "Measured over predicted time to first token, in the middle. 1 is right; calibration pulls it there.",
             quantile(0.5, ACCURACY, labels=target("ttft")), "none", ((None, kit.WARN), (0.67, kit.GOOD), (1.5, kit.WARN), (2, kit.WORST)), decimals=2),
        stat("Median TPOT ratio", "As beside, for the time per output token.", quantile(0.5, ACCURACY, labels=target("tpot")), "none",
             ((None, kit.WARN), (0.67, kit.GOOD), (1.5, kit.WARN), (2, kit.WORST)), decimals=2),
        stat("Decision p99", "Time that 99 of 100 decisions stay below. The learner's budget is 100 µs by default; over it, it is left out for a while.",
             quantile(0.99, "gearshift_decision_seconds", labels=""), "s", above(0.0005, 0.001)),
    ],
)

DECIDED = Row(
    "Who decides",
    [
        Panel(
            "Decisions by fallback",
            "`none`: the meta-learner decided. `no_bundle`, `low_confidence`, `no_say`, `over_budget`, `learner_failed`: the prior and calibration did. "
            "`unknown_facts`: no prediction, declare hardware and model. `none_ready`: no backend was ready.",
            [Query(f"{rate(DECISIONS, 'fallback', ON_ROUTE)} > 0", "{{fallback}}")],
            "reqps",
            stacked=True,
            colours=FALLBACKS,
        ),
        Panel(
            "Confidence of the meta-learner",
            "How far its ensemble agreed on the chosen backend. Falls when traffic, models or hardware leave what it was trained on: collect rows and train anew.",
            [Query(quantile(q, "gearshift_decision_confidence_ratio", labels=ON_ROUTE), name) for q, name in ((0.1, "p10"), (0.5, "p50"))],
            "percentunit",
            maximum=1,
            colours={"p10": kit.PALE, "p50": kit.CALM},
            empty=NO_BUNDLE,
        ),
        Panel(
            "Time a decision takes",
            "Without the shadow's. Budgeted: the slower the machine, the fewer candidates the learner is asked about.",
            [Query(quantile(q, "gearshift_decision_seconds", labels=""), name) for q, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))],
            "s",
            colours=kit.QUANTILES,
            log=True,
        ),
        Panel(
            "Bundle in shadow",
            "Decisions that a new bundle was asked about before it may decide, by whether it would have chosen the same backend. Much disagreement: compare "
            "`gearshift bundle list` and the evaluation in its manifest before it takes over.",
            [Query(f"sum by (agrees) (rate(gearshift_bundle_shadow_decisions_total{WINDOW}))", "agrees: {{agrees}}")],
            "reqps",
            stacked=True,
            colours={"agrees: true": kit.GOOD, "agrees: false": kit.BAD},
        ),
    ],
)


def heat(name: str, label: str, what: str) -> Panel:
    return Panel(
        f"{label}: measured over predicted",
        f"{what} 1 is right, 2 took twice as long as predicted. A band off 1 is an engine unlike what is declared and is being calibrated; a wide one is noise.",
        [Query(f"sum by (le) (increase({ACCURACY}_bucket{{{target(name)}}}{WINDOW}))", "{{le}}")],
        "none",
        "heatmap",
        width=kit.THIRD,
        minimum=None,
    )


def median(name: str, label: str) -> Panel:
    return Panel(
        f"{label}: median by backend",
        "One backend off and staying off: its declaration is wrong or its engine is ill; runbook: predictions-off.",
        [Query(quantile(0.5, ACCURACY, "backend", target(name)), "{{backend}}")],
        "none",
        width=kit.THIRD,
        log=True,
        lines=((None, "transparent"), (2, kit.BAD)),
    )


PREDICTED = Row(
    "Predicted against measured",
    [
        heat("ttft", "TTFT", "Each stream's time to first token, over the prediction at its decision."),
        heat("tpot", "TPOT", "Each stream's time per output token, over the prediction at its decision."),
        heat("e2e", "End to end", "Each answer's time, over the prediction for the output that came."),
        median("ttft", "TTFT"),
        median("tpot", "TPOT"),
        median("e2e", "End to end"),
    ],
)


def factor(name: str, label: str) -> Panel:
    return Panel(
        f"Calibration of {label}",
        "Measured over the roofline prior, learned from outcomes. Far from 1 is no fault, but far from its equals is: an engine slower than its hardware "
        "should be. Moving fast: runbook: calibration-drift.",
        [Query(f'avg by (backend) (gearshift_backend_calibration_ratio{{{ON_BACKEND},target="{name}"}})', "{{backend}}")],
        "none",
        width=kit.THIRD,
        log=True,
    )


CALIBRATION = f"gearshift_backend_calibration_ratio{{{ON_BACKEND}}}"
CALIBRATED = Row(
    "Calibration and drift",
    [
        factor("ttft", "TTFT"),
        factor("tpot", "TPOT"),
        Panel(
            "Drift within six hours",
            "How many times larger or smaller a backend's calibration is than its mean over six hours, where over 100 outcomes taught it. Above 1.5 "
            "for a quarter of an hour an alert goes off; runbook: calibration-drift.",
            [
                Query(
                    f"max by (backend, target) (exp(abs(ln({CALIBRATION}) - ln(avg_over_time({CALIBRATION}[6h])))) "
                    "and on (job, instance, backend) gearshift_backend_calibration_samples > 100)",
                    "{{backend}} {{target}}",
                )
            ],
            "none",
            width=kit.THIRD,
            minimum=1,
            lines=((None, "transparent"), (1.5, kit.WORST)),
        ),
        Panel(
            "Outcomes learned from",
            "Answers that calibration has learned from since the backend is known. A flat line: it gets no requests, so nothing new is learned.",
            [Query(f"sum by (backend) (gearshift_backend_calibration_samples{{{ON_BACKEND}}})", "{{backend}}")],
            "short",
        ),
        Panel(
            "Declared and found differ",
            "Differences between what the configuration declares of a backend and what its engine says. Any: `/fleet` names them; predictions rest on what is declared.",
            [Query(f"max by (backend) (gearshift_backend_mismatches{{{ON_BACKEND}}})", "{{backend}}")],
            "none",
        ),
    ],
)


def hindsight(of: str) -> str:
    """Seconds of whole answers on routes for latency, by how they are counted."""
    return rate("gearshift_estimated_regret_seconds_total", "route", f'{ON_ROUTE},of="{of}"')


def by_route(title: str, description: str, expr: str, **more) -> Panel:
    return Panel(title, description, [Query(expr, "{{route}}")], "percentunit", width=kit.THIRD, **more)


HINDSIGHT = Row(
    "What choosing was worth (estimated)",
    [
        by_route("Time saved against round robin", "Share of the predicted end-to-end time." + ESTIMATED, saved("route"), minimum=None),
        by_route(
            "Regret",
            "Share of the measured time of whole answers by which they exceeded what the best other candidate of the same decision was predicted to "
            "take, counted only where they did. Estimated, too high rather than too low: noise of each measurement counts, and the best of many "
            "predictions is too good to be true. Growing: see who decides, and drift; runbook: predictions-off. Routes for latency only.",
            f"{hindsight('regret')} / ({hindsight('chosen')} > 0)",
        ),
        by_route(
            "Against the best other candidate",
            "The same over all answers, also those that were faster than the best other was predicted to be: below zero the choices were better than "
            "any other is thought to have been. Lasting above zero: predictions are too good for some backend; see *median by backend*.",
            f"{hindsight('chosen')} / ({hindsight('best_other')} > 0) - 1",
            minimum=None,
            lines=((None, "transparent"), (0, kit.WARN)),
        ),
    ],
)

DASHBOARD = Dashboard(
    "gearshift-selection",
    "Gearshift / Selection quality",
    "Are predictions right, does the meta-learner decide, and what does choosing save?",
    [ROUTE, MODEL, BACKEND],
    [NOW, DECIDED, PREDICTED, CALIBRATED, HINDSIGHT, *SELECTION],
)
