"""Who goes away frees the engine at once, while streaming and while waiting for the first byte."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager

import anthropic
import openai
import pytest
from prompts import CAPITAL, long_answer

from harness import http
from harness.fleet import SMOL, Fleet
from harness.waiting import until

# Tokens asked for, near the model's context: half a minute of work, of which next to none should be done. Of the tiny model vLLM's engine makes
# them faster than its API server, which for seconds then hears nobody, not even that a client has left.
ASKED = 1800
LENGTH = long_answer(ASKED)
FREED_WITHIN_S = 60.0


def generated(fleet: Fleet) -> float:
    """Tokens that the model's engines ever generated. A counter is not missed, however quick an engine is."""
    return sum(engine.metric("vllm:generation_tokens_total") for engine in fleet.serving(SMOL))


def busy(fleet: Fleet, before: float) -> None:
    until("a server generates", lambda: generated(fleet) > before, 60)


@contextmanager
def cut_short(fleet: Fleet) -> Iterator[float]:
    """Whoever leaves frees the engine: it is idle and generates no more, before it is through.

    Gives what was generated before.
    """
    before = generated(fleet)
    yield before

    seen = [-1.0]

    def at_rest() -> bool:
        seen.append(generated(fleet))
        return fleet.running(SMOL) == 0 and seen[-1] == seen[-2]

    until("no server works", at_rest, FREED_WITHIN_S)
    assert seen[-1] - before < ASKED, "it was generated to its end"


def test_stream_closed_by_the_client(fleet: Fleet, smol: openai.OpenAI) -> None:
    with cut_short(fleet):
        with smol.chat.completions.create(model=SMOL, messages=CAPITAL, stream=True, **LENGTH) as stream:
            next(iter(stream))


def test_message_stream_closed_by_the_client(fleet: Fleet, claude: anthropic.Anthropic) -> None:
    with cut_short(fleet) as before:
        with claude.messages.create(model=SMOL, messages=CAPITAL, stream=True, **LENGTH) as stream:
            next(iter(stream))
            busy(fleet, before)


def test_timeout_of_the_sdk_while_waiting(fleet: Fleet, smol: openai.OpenAI) -> None:
    impatient = smol.with_options(timeout=1.5)
    with cut_short(fleet), pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(model=SMOL, messages=CAPITAL, **LENGTH)


def test_connection_closed_while_waiting(fleet: Fleet) -> None:
    request = {"model": SMOL, "prompt": "Once", "max_tokens": ASKED, "ignore_eos": True}
    with cut_short(fleet) as before, closing(http.connect(fleet.base(SMOL))) as connection:
        connection.request("POST", "/v1/completions", json.dumps(request).encode(), http.JSON)
        busy(fleet, before)
