"""A Gearshift with simulated engines, and a browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from console import looks, stage
from console.looks import Watched
from console.stage import Stage
from harness.children import Children


def binary(name: str) -> Path:
    return Path(os.environ[f"CONSOLE_{name}"])


@pytest.fixture(scope="session")
def gearshift() -> Iterator[Stage]:
    """The small fleet; traffic has gone through it."""
    with Children() as children:
        started = stage.small(children, binary("GEARSHIFT"), binary("LOADTEST"))
        for _ in range(30):
            assert started.ask() == 200
        yield started


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with looks.browser(binary("CHROMIUM")) as opened:
        yield opened


@pytest.fixture
def watched(chromium: Browser, gearshift: Stage) -> Iterator[Watched]:
    """The console with its token given; whatever it does, it does within its origin and without errors."""
    with looks.page(chromium) as page:
        looks.enter(page, gearshift.admin, stage.TOKEN)
        yield page
        assert page.foreign(gearshift.admin) == []
        assert page.errors == []
