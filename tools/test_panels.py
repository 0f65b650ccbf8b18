"""What panels show of made-up series, by promtool: the figures that one look at a live fleet would not tell from wrong ones."""

import shutil
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "e2e")]

from dashboards import rules  # noqa: E402
from dashboards.model import Choice, DashboardModel, filled  # noqa: E402

FILES = {path.stem.removeprefix("gearshift-"): DashboardModel.read(path) for path in (ROOT / "dashboards" / "grafana").glob("*.json")}
# What a scrape each minute makes of Grafana's $__rate_interval.
WINDOW = "4m"


@unittest.skipUnless(shutil.which("promtool"), "promtool is not here: apt-get install prometheus")
class Shown(unittest.TestCase):
    def shows(self, name, title, series, expected, **chosen):
        """One panel's first query; all is chosen but what is named."""
        dashboard = FILES[name]
        choices = {variable: Choice(["x", "y", "z"], whole) for variable, _, whole in dashboard.variables()}
        choices |= {variable: Choice([value]) for variable, value in chosen.items()}
        [panel] = [panel for panel in dashboard.panels() if panel.title == title]
        expr = filled(panel.queries[0]["expr"], choices, WINDOW)
        self.assertEqual(rules.evaluates(expr, series, expected), [], expr)

    def test_what_is_not_so_is_found(self):
        self.assertEqual(rules.evaluates("sum(a)", {"a{}": "1x10"}, {"{}": 1}), [])
        self.assertIn("exp", rules.evaluates("sum(a)", {"a{}": "1x10"}, {"{}": 2})[0])
        self.assertIn("many-to-many", rules.evaluates("a * on (b) a", {'a{b="1",c="1"}': "1x10", 'a{b="1",c="2"}': "1x10"}, {})[0])


class Profiles(Shown):
    """To one replica a backend is still in the profile before; another fleet has a backend of the same name."""

    INFO = {
        'gearshift_backend_info{job="g",instance="a",backend="x",profile="old"}': "1x10",
        'gearshift_backend_info{job="g",instance="b",backend="x",profile="new"}': "1x10",
        'gearshift_backend_info{job="h",instance="c",backend="x",profile="old"}': "1x10",
    }

    def counted(self, family, *per_minute, more=""):
        """A counter of each of the three."""
        owners = ('job="g",instance="a"', 'job="g",instance="b"', 'job="h",instance="c"')
        labels = 'route="r",model="m",backend="x"' + more
        return {f"{family}{{{owner},{labels}}}": f"0+{rate}x10" for owner, rate in zip(owners, per_minute, strict=True)}

    def test_requests_are_of_the_profile_that_who_counted_them_names(self):
        series = self.INFO | self.counted("gearshift_requests_total", 60, 120, 180, more=',outcome="ok"')
        self.shows("profiles", "Requests by profile", series, {'{profile="old"}': 4, '{profile="new"}': 2})

    def test_so_are_quantiles(self):
        family = "gearshift_time_to_first_token_seconds_bucket"
        series = self.INFO | self.counted(family, 60, 0, 60, more=',le="0.1"') | self.counted(family, 60, 60, 60, more=',le="0.2"')
        series |= self.counted(family, 60, 60, 60, more=',le="+Inf"')
        self.shows("profiles", "TTFT p90 by profile", series, {'{profile="old"}': 0.09, '{profile="new"}': 0.19})

    def test_so_are_failed_attempts(self):
        series = self.INFO | self.counted("gearshift_requests_total", 60, 90, 60, more=',outcome="ok"')
        series |= self.counted("gearshift_attempts_failed_total", 0, 30, 0, more=',reason="refused"')
        self.shows("fleet", "Errors by profile", series, {'{profile="old"}': 0, '{profile="new"}': 0.25})


class Errors(Shown):
    """On route `r` two models: one is well, every tenth request to the other fails; what was not understood is of neither."""

    FORWARDED = {
        'gearshift_requests_total{job="g",route="r",model="good",backend="x",outcome="ok"}': "0+100x10",
        'gearshift_requests_total{job="g",route="r",model="good",backend="x",outcome="cut"}': "0+0x10",
        'gearshift_requests_total{job="g",route="r",model="bad",backend="y",outcome="ok"}': "0+90x10",
        'gearshift_requests_total{job="g",route="r",model="bad",backend="y",outcome="cut"}': "0+4x10",
    }
    OWN = {
        'gearshift_errors_total{job="g",source="upstream",reason="upstream_timeout",route="r",model="good"}': "0+0x10",
        'gearshift_errors_total{job="g",source="upstream",reason="upstream_timeout",route="r",model="bad"}': "0+6x10",
        'gearshift_errors_total{job="g",source="client",reason="bad_request"}': "0+500x10",
    }
    FULL = {'gearshift_errors_total{job="g",source="gearshift",reason="overloaded"}': "0+200x10"}

    def test_of_one_model_its_own_count(self):
        series = self.FORWARDED | self.OWN | self.FULL
        self.shows("fleet", "Errors", series, {"{}": 0}, model="good")
        self.shows("fleet", "Errors", series, {"{}": 0.1}, model="bad")
        self.shows("fleet", "Errors by model", series, {'{model="good"}': 0, '{model="bad"}': 0.1})
        self.shows("fleet", "Errors by route", series, {'{route="r"}': 0.05})

    def test_of_all_those_too_that_are_nobodys(self):
        self.shows("fleet", "Errors", self.FORWARDED | self.OWN | self.FULL, {"{}": 0.525})

    def test_before_the_first_forwarded_request_they_are_all(self):
        self.shows("fleet", "Errors", self.FULL, {"{}": 1})

    def test_what_others_made_up_for_counts_against_its_backend(self):
        tried = {f'gearshift_attempts_failed_total{{job="g",route="r",model="bad",backend="{it}",reason="refused"}}': "0+6x10" for it in "yz"}
        self.shows("fleet", "Errors by backend", self.FORWARDED | tried, {'{backend="x"}': 0, '{backend="y"}': 0.1, '{backend="z"}': 1})


class Predictions(Shown):
    def test_a_share_within_twice_is_there_however_prometheus_writes_two(self):
        family = 'gearshift_measured_over_predicted_ratio_{}{{job="g",model="m",backend="x",target="ttft"{}}}'
        for two in ("2", "2.0"):
            series = {
                family.format("bucket", ',le="0.5"'): "0+10x10",
                family.format("bucket", f',le="{two}"'): "0+70x10",
                family.format("count", ""): "0+100x10",
            }
            self.shows("selection", "TTFT within ×2", series, {"{}": 0.6})

    def test_drift_is_what_the_alert_looks_at(self):
        series = {}
        for backend, samples in (("x", 101), ("y", 100)):
            series[f'gearshift_backend_calibration_samples{{job="g",instance="a",backend="{backend}"}}'] = f"{samples}x10"
            for target, values in (("ttft", "1x10"), ("tpot", "1x9 12")):
                series[f'gearshift_backend_calibration_ratio{{job="g",instance="a",backend="{backend}",target="{target}"}}'] = values
        expected = {'{backend="x",target="ttft"}': 1, '{backend="x",target="tpot"}': 6}
        self.shows("selection", "Drift within six hours", series, expected)

    def test_regret_is_a_share_of_what_was_measured(self):
        family = 'gearshift_estimated_regret_seconds_total{{job="g",route="r",of="{}"}}'
        series = {family.format(of): f"0+{seconds}x10" for of, seconds in (("chosen", 90), ("best_other", 100), ("regret", 9))}
        self.shows("selection", "Regret", series, {'{route="r"}': 0.1})
        self.shows("selection", "Against the best other candidate", series, {'{route="r"}': -0.1})


class OnceAMinute(Shown):
    """Prometheus' own interval is a minute: a window of one holds a single sample, of which nothing follows."""

    def test_plans_are_seen(self):
        self.shows("profiles", "Plans", {'gearshift_controller_plans_total{job="g",instance="a"}': "0+1x10"}, {"{}": 5})

    def test_a_reload_is_marked_and_a_restart_is_not(self):
        [expr] = {one for dashboard in FILES.values() for one in dashboard.annotations()}
        reloads = 'gearshift_config_reloads_total{job="g",instance="a",result="applied"}'
        self.assertEqual(rules.evaluates(f"{expr} > bool 0", {reloads: "3x9 4"}, {"{}": 1}), [])
        self.assertEqual(rules.evaluates(expr, {reloads: "3x9 0"}, {}), [])


if __name__ == "__main__":
    unittest.main()
