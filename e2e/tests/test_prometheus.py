"""What Prometheus has scraped by the end of the run. The proxy is idle now."""

from urllib.parse import quote

import pytest

from harness import http
from harness.fleet import Fleet, Gearshift
from harness.waiting import until

SCRAPED_WITHIN_S = 60.0

# Queries that an operator would start with; after a whole run each is above zero.
QUERIES = (
    'sum(gearshift_requests_total{outcome="ok"})',
    'sum(gearshift_requests_total{outcome="cancelled"})',
    'sum(gearshift_requests_total{outcome="cut"})',
    "sum(gearshift_decisions_total)",
    'sum(gearshift_decisions_total{fallback="unmodelled"})',
    "sum(gearshift_time_to_first_token_seconds_count)",
    "sum(gearshift_time_per_output_token_seconds_count)",
    "histogram_quantile(0.5, sum by (le) (gearshift_time_to_first_token_seconds_bucket))",
    "histogram_quantile(0.5, sum by (le) (gearshift_time_per_output_token_seconds_bucket))",
    'sum(gearshift_config_reloads_total{result="applied"})',
    'sum(gearshift_config_reloads_total{result="rejected"})',
    "max_over_time(gearshift_in_flight_requests[15m])",
)


def query(prometheus: str, expression: str) -> list[float]:
    """The values of an instant query."""
    answer = http.get(prometheus, f"/api/v1/query?query={quote(expression)}").json()
    assert answer["status"] == "success", answer
    return [float(series["value"][1]) for series in answer["data"]["result"]]


@pytest.fixture(scope="module")
def prometheus(fleet: Fleet) -> str:
    assert fleet.prometheus
    return fleet.prometheus


def test_the_target_is_up(prometheus: str) -> None:
    until("the target is up", lambda: query(prometheus, 'up{job="gearshift"}') == [1.0], SCRAPED_WITHIN_S)


@pytest.mark.parametrize("expression", QUERIES)
def test_query(prometheus: str, expression: str) -> None:
    def value() -> float | None:
        return next((found for found in query(prometheus, expression) if found > 0), None)

    until(f"{expression} above zero", value, SCRAPED_WITHIN_S)


def test_nothing_is_left_in_flight(gearshift: Gearshift, prometheus: str) -> None:
    expression = "gearshift_in_flight_requests"
    until("no request is in flight", lambda: query(prometheus, expression) == [0.0], SCRAPED_WITHIN_S)
    assert gearshift.metric(expression) == 0
