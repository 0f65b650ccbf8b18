"""Who goes away frees the engine at once, while streaming and while waiting for the first byte."""

import json
from collections.abc import Callable
from contextlib import closing

import anthropic
import openai
import pytest
from prompts import CAPITAL, long_answer

from harness import http
from harness.fleet import SMOL, TINY, Fleet
from harness.waiting import until

LONG = long_answer(1800)
FREED_WITHIN_S = 5.0


def busy(fleet: Fleet, model: str) -> None:
    until(f"a server of {model} works", lambda: fleet.running(model) > 0, 10)


def freed(fleet: Fleet, model: str) -> None:
    until(f"no server of {model} works", lambda: fleet.running(model) == 0, FREED_WITHIN_S)


@pytest.mark.parametrize("model", [SMOL, TINY])
def test_stream_closed_by_the_client(
    fleet: Fleet, make_client: Callable[[str], openai.OpenAI], model: str
) -> None:
    client = make_client(fleet.base(model))
    with client.chat.completions.create(model=model, messages=CAPITAL, stream=True, **LONG) as stream:
        next(iter(stream))
        busy(fleet, model)
    freed(fleet, model)


def test_message_stream_closed_by_the_client(fleet: Fleet, claude: anthropic.Anthropic) -> None:
    with claude.messages.create(model=SMOL, messages=CAPITAL, stream=True, **LONG) as stream:
        next(iter(stream))
        busy(fleet, SMOL)
    freed(fleet, SMOL)


def test_timeout_of_the_sdk_while_waiting(fleet: Fleet, smol: openai.OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        smol.with_options(timeout=1.5).chat.completions.create(model=SMOL, messages=CAPITAL, **LONG)
    freed(fleet, SMOL)


def test_connection_closed_while_waiting(fleet: Fleet) -> None:
    request = {"model": TINY, "prompt": "Once", "max_tokens": 7000, "ignore_eos": True}
    with closing(http.connect(fleet.base(TINY))) as connection:
        connection.request("POST", "/v1/completions", json.dumps(request).encode(), http.JSON)
        busy(fleet, TINY)
    freed(fleet, TINY)
