"""Waiting for something to become true, with a deadline; the only place that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.1


class Overdue(Exception):
    """What was waited for did not come in time."""


def until(what: str, probe: Callable[[], T], within_s: float) -> T:
    """Polls `probe` until it returns something truthy, and returns that.

    Raises `Overdue`, naming `what` and the last value, after `within_s` seconds.
    """
    deadline = time.monotonic() + within_s
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Overdue(f"not within {within_s:g} s: {what} (last seen: {value!r})")
        time.sleep(POLL_S)
