import shutil
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "dashboards"), str(ROOT / "e2e")]

import generate  # noqa: E402
from dashboards import conform, rules  # noqa: E402
from dashboards.draw import scale  # noqa: E402
from dashboards.evaluate import has_data  # noqa: E402
from dashboards.model import Choice, DashboardModel, filled  # noqa: E402
from dashboards.prometheus import Series  # noqa: E402

FILES = sorted((ROOT / "dashboards" / "grafana").glob("*.json"))


class Files(unittest.TestCase):
    def test_the_json_is_what_its_source_makes(self):
        self.assertEqual(generate.stale(generate.rendered()), [])

    def test_what_is_stale_is_found(self):
        files = generate.rendered()
        first, *_ = files
        del files[first]
        files[generate.OUT / "new.json"] = "{}"
        self.assertEqual(generate.stale(files), sorted([first, generate.OUT / "new.json"]))

    def test_panels_have_ids_places_and_descriptions(self):
        self.assertEqual([one for path in FILES for one in conform.consistent(DashboardModel.read(path))], [])

    def test_what_overlaps_is_found(self):
        dashboard = DashboardModel.read(FILES[0])
        panels = dashboard.raw["panels"]
        panels[2]["gridPos"] = dict(panels[1]["gridPos"])
        panels[2]["id"] = panels[1]["id"]
        self.assertEqual(len(list(conform.consistent(dashboard))), 2)

    def test_each_alert_is_tested_both_ways_and_has_a_page(self):
        self.assertEqual(rules.written(), [])

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not here: apt-get install prometheus")
    def test_the_rules_pass_their_tests(self):
        self.assertEqual(rules.tested(), [])


class Queries(unittest.TestCase):
    def test_variables_become_alternatives_of_a_regular_expression(self):
        expr = filled('rate(x{a=~"$a",b=~"$b"}[$__rate_interval])', {"a": Choice(["one", "t.wo"]), "b": Choice(["c"])})
        self.assertEqual(expr, 'rate(x{a=~"(one|t\\\\.wo)",b=~"(c)"}[20s])')

    def test_all_is_what_the_dashboard_says_it_is(self):
        self.assertEqual(filled('x{a=~"$a"}', {"a": Choice(["one", "two"], ".*")}), 'x{a=~".*"}')

    def test_not_a_number_is_no_data(self):
        self.assertFalse(has_data([]))
        self.assertFalse(has_data([Series({}, [(0.0, float("nan"))])]))
        self.assertTrue(has_data([Series({}, [(0.0, float("nan")), (1.0, 0.0)])]))


class Scale(unittest.TestCase):
    def test_values_are_written_in_their_units(self):
        for value, unit, text in [
            (0.0000221, "s", "22.1 µs"),
            (0.133, "s", "133 ms"),
            (5400, "s", "1.5 h"),
            (0.129, "percentunit", "12.9 %"),
            (15200, "short", "15.2 K"),
            (2**20 * 1.5, "bytes", "1.5 MiB"),
            (1.05, "reqps", "1.05 req/s"),
            (float("nan"), "none", "–"),
        ]:
            self.assertEqual(scale.written(value, unit), text)

    def test_axes_hold_their_values_between_round_marks(self):
        axis = scale.linear(0, 7.3)
        self.assertEqual((axis.low, axis.high, axis.ticks), (0, 8, (0, 2, 4, 6, 8)))
        self.assertEqual([axis.place(value) for value in (0, 4, 99)], [0, 0.5, 1])
        axis = scale.logarithmic(0.01, 1)
        self.assertTrue(axis.low < 0.01 and axis.high > 1 and all(axis.low <= tick <= axis.high for tick in axis.ticks))
        self.assertEqual(scale.linear(3, 3).place(3), 0)


if __name__ == "__main__":
    unittest.main()
