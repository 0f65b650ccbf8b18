"""Fixtures: the fleet that `run.py` started, and the official clients on it."""

from collections.abc import Callable, Iterator

import anthropic
import openai
import pytest

from harness import fleet as fleets
from harness.fleet import SMOL, TINY, Fleet, Gearshift

TIMEOUT_S = 120.0


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    return fleets.load()


@pytest.fixture(scope="session")
def gearshift(fleet: Fleet) -> Gearshift:
    if fleet.gearshift is None:
        pytest.skip("needs Gearshift; this run goes to the engines directly")
    return fleet.gearshift


@pytest.fixture(scope="session")
def make_client() -> Iterator[Callable[[str], openai.OpenAI]]:
    """OpenAI clients for a base URL, without the SDK's own retries: what fails must be seen."""
    clients = []

    def make(base: str) -> openai.OpenAI:
        client = openai.OpenAI(base_url=f"{base}/v1", api_key="unused", max_retries=0, timeout=TIMEOUT_S)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def smol(fleet: Fleet, make_client: Callable[[str], openai.OpenAI]) -> openai.OpenAI:
    """The way to the model with real weights."""
    return make_client(fleet.base(SMOL))


@pytest.fixture(scope="session")
def smol_direct(fleet: Fleet, make_client: Callable[[str], openai.OpenAI]) -> openai.OpenAI:
    """The engine with real weights, without the proxy."""
    return make_client(fleet.serving(SMOL)[0].url)


@pytest.fixture(scope="session")
def tiny(fleet: Fleet, make_client: Callable[[str], openai.OpenAI]) -> openai.OpenAI:
    """The way to the two tiny servers."""
    return make_client(fleet.base(TINY))


@pytest.fixture(scope="session")
def claude(fleet: Fleet) -> Iterator[anthropic.Anthropic]:
    """Anthropic's client on the model with real weights."""
    base = fleet.base(SMOL)
    with anthropic.Anthropic(base_url=base, api_key="unused", max_retries=0, timeout=TIMEOUT_S) as client:
        yield client
