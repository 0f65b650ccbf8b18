"""Who goes away frees the engine at once, while streaming and while waiting for the first byte."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import anthropic
import openai
import pytest
from prompts import CAPITAL, long_answer

from harness import http
from harness.fleet import SMOL, TINY, Fleet
from harness.waiting import until

# Tokens asked for, near the models' contexts: seconds of work for either, of which next to none should be done.
ASKED = {SMOL: 1800, TINY: 7000}
FREED_WITHIN_S = 60.0


def generated(fleet: Fleet, model: str) -> float:
    """Tokens that the model's engines ever generated. A counter is not missed, however quick an engine is."""
    return sum(engine.metric("vllm:generation_tokens_total") for engine in fleet.serving(model))


def busy(fleet: Fleet, model: str, before: float) -> None:
    until(f"a server of {model} generates", lambda: generated(fleet, model) > before, 60)


@contextmanager
def cut_short(fleet: Fleet, model: str) -> Iterator[float]:
    """Whoever leaves frees the engine: it is idle and generates no more, before it is through.

    Gives what was generated before.
    """
    before = generated(fleet, model)
    yield before

    seen = [-1.0]

    def at_rest() -> bool:
        seen.append(generated(fleet, model))
        return fleet.running(model) == 0 and seen[-1] == seen[-2]

    until(f"no server of {model} works", at_rest, FREED_WITHIN_S)
    assert seen[-1] - before < ASKED[model], "it was generated to its end"


@pytest.mark.parametrize("model", [SMOL, TINY])
def test_stream_closed_by_the_client(
    fleet: Fleet, make_client: Callable[[str], openai.OpenAI], model: str
) -> None:
    client, length = make_client(fleet.base(model)), long_answer(ASKED[model])
    with cut_short(fleet, model):
        with client.chat.completions.create(model=model, messages=CAPITAL, stream=True, **length) as stream:
            next(iter(stream))


def test_message_stream_closed_by_the_client(fleet: Fleet, claude: anthropic.Anthropic) -> None:
    length = long_answer(ASKED[SMOL])
    with cut_short(fleet, SMOL) as before:
        with claude.messages.create(model=SMOL, messages=CAPITAL, stream=True, **length) as stream:
            next(iter(stream))
            busy(fleet, SMOL, before)


def test_timeout_of_the_sdk_while_waiting(fleet: Fleet, smol: openai.OpenAI) -> None:
    impatient, length = smol.with_options(timeout=1.5), long_answer(ASKED[SMOL])
    with cut_short(fleet, SMOL), pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(model=SMOL, messages=CAPITAL, **length)


def test_connection_closed_while_waiting(fleet: Fleet) -> None:
    request = {"model": TINY, "prompt": "Once", "max_tokens": ASKED[TINY], "ignore_eos": True}
    with cut_short(fleet, TINY) as before, closing(http.connect(fleet.base(TINY))) as connection:
        connection.request("POST", "/v1/completions", json.dumps(request).encode(), http.JSON)
        busy(fleet, TINY, before)
