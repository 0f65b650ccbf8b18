"""The official OpenAI SDK for Python, on every endpoint that the engines serve."""

import time

import openai
import pytest
from prompts import CAPITAL, GREEDY, PARIS, long_answer

from harness.fleet import EMBEDDER, SMOL, TINY, Gearshift


def test_chat(smol: openai.OpenAI) -> None:
    answer = smol.chat.completions.create(model=SMOL, messages=CAPITAL, max_tokens=24, **GREEDY)
    assert answer.choices[0].message.content == PARIS
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == SMOL
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0


def test_chat_options_reach_the_engine(smol: openai.OpenAI) -> None:
    options = {"logprobs": True, "top_logprobs": 2, "stop": [" is"], "max_tokens": 8}
    answer = smol.chat.completions.create(model=SMOL, messages=CAPITAL, **options, **GREEDY)
    assert answer.choices[0].message.content == "The capital of France"
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2
    several = smol.chat.completions.create(model=SMOL, messages=CAPITAL, n=3, max_tokens=4)
    assert len(several.choices) == 3


def test_chat_stream(smol: openai.OpenAI) -> None:
    with smol.chat.completions.create(
        model=SMOL, messages=CAPITAL, max_tokens=24, stream=True, **GREEDY
    ) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == PARIS
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"


def test_stream_with_usage(smol: openai.OpenAI) -> None:
    with smol.chat.completions.create(
        model=SMOL,
        messages=CAPITAL,
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
        **GREEDY,
    ) as stream:
        chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


def test_stream_comes_as_it_is_made(tiny: openai.OpenAI) -> None:
    began = time.monotonic()
    with tiny.chat.completions.create(
        model=TINY, messages=CAPITAL, stream=True, **long_answer(400), **GREEDY
    ) as stream:
        arrivals = [time.monotonic() - began for _ in stream]
    assert arrivals[0] < arrivals[-1] / 2, "the first chunk waited for the last"
    # vLLM itself puts several tokens into one where it lags behind.
    assert len(arrivals) > 5, "the chunks were gathered"


def test_completion(smol: openai.OpenAI) -> None:
    prompt = "The capital of France is"
    answer = smol.completions.create(model=SMOL, prompt=prompt, max_tokens=8, **GREEDY)
    assert "Paris" in answer.choices[0].text
    with smol.completions.create(model=SMOL, prompt=prompt, max_tokens=8, stream=True, **GREEDY) as stream:
        text = "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    assert text == answer.choices[0].text


def test_completion_of_token_ids(tiny: openai.OpenAI) -> None:
    answer = tiny.completions.create(model=TINY, prompt=[[10, 11, 12], [20, 21]], max_tokens=4)
    assert len(answer.choices) == 2
    assert answer.usage.prompt_tokens == 5


def test_response(smol: openai.OpenAI) -> None:
    question = CAPITAL[0]["content"]
    answer = smol.responses.create(model=SMOL, input=question, max_output_tokens=24, temperature=0)
    assert answer.output_text == PARIS
    assert answer.status == "completed"


def test_response_stream(smol: openai.OpenAI) -> None:
    question = CAPITAL[0]["content"]
    with smol.responses.create(
        model=SMOL, input=question, max_output_tokens=24, temperature=0, stream=True
    ) as stream:
        events = list(stream)
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == PARIS


def test_models_of_the_whole_fleet(gearshift: Gearshift, smol: openai.OpenAI) -> None:
    listed = [model.id for model in smol.models.list()]
    assert {SMOL, TINY, EMBEDDER} <= set(listed)
    assert len(listed) == len(set(listed)), "two servers of one model are one model"
    assert smol.models.retrieve(TINY).id == TINY


@pytest.mark.parametrize(("alias", "served"), [("small", SMOL), ("tiny-chat", TINY)])
def test_aliases(gearshift: Gearshift, smol: openai.OpenAI, alias: str, served: str) -> None:
    answer = smol.chat.completions.create(model=alias, messages=CAPITAL, max_tokens=4)
    assert answer.model == served
    with smol.chat.completions.create(model=alias, messages=CAPITAL, max_tokens=4, stream=True) as stream:
        assert {chunk.model for chunk in stream} == {served}
