"""Tool calls and structured output: the shapes pass through whether the engine takes them or not."""

import json
from typing import Any

import openai
import pytest
from prompts import CAPITAL, GREEDY

from harness import http
from harness.fleet import SMOL, TINY, Fleet

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
CALL: dict[str, Any] = {"model": SMOL, "messages": QUESTION, "tools": [WEATHER], "max_tokens": 64, **GREEDY}


@pytest.mark.parametrize("choice", [NAMED, "required"], ids=["named", "required"])
def test_tool_call(smol: openai.OpenAI, smol_direct: openai.OpenAI, choice: Any) -> None:
    """How well so small a model fills in arguments is not the point: the call must be the engine's."""
    through, direct = (
        client.chat.completions.create(**CALL, tool_choice=choice) for client in (smol, smol_direct)
    )
    (call,) = through.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)
    assert call.function == direct.choices[0].message.tool_calls[0].function
    assert through.choices[0].finish_reason == direct.choices[0].finish_reason


def test_streamed_tool_call(smol: openai.OpenAI) -> None:
    with smol.chat.completions.create(**CALL, tool_choice=NAMED, stream=True) as stream:
        deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    pieces = [call.function for delta in deltas for call in delta.tool_calls or []]
    assert [piece.name for piece in pieces if piece.name] == ["get_weather"]
    assert json.loads("".join(piece.arguments or "" for piece in pieces))


def test_tool_result_in_the_conversation(smol: openai.OpenAI) -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        *CAPITAL,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call-1", "content": "Sunny."},
    ]
    answer = smol.chat.completions.create(
        model=SMOL, messages=messages, tools=[WEATHER], max_tokens=8, **GREEDY
    )
    assert answer.choices[0].finish_reason in ("stop", "length", "tool_calls")


def test_structured_output(smol: openai.OpenAI) -> None:
    schema = {"name": "place", "schema": WEATHER["function"]["parameters"], "strict": True}
    answer = smol.chat.completions.create(
        model=SMOL,
        messages=CAPITAL,
        response_format={"type": "json_schema", "json_schema": schema},
        max_tokens=48,
        **GREEDY,
    )
    assert json.loads(answer.choices[0].message.content)["city"] in ("Paris", "Rome")


def test_refused_tool_choice_comes_back_unchanged(fleet: Fleet, tiny: openai.OpenAI) -> None:
    """The tiny servers run without a tool parser and say so in their own words."""
    request = {"model": TINY, "messages": CAPITAL, "tools": [WEATHER], "tool_choice": "auto"}
    with pytest.raises(openai.BadRequestError, match="--enable-auto-tool-choice"):
        tiny.chat.completions.create(**request)
    through = http.post_json(fleet.base(TINY), "/v1/chat/completions", request)
    direct = http.post_json(fleet.serving(TINY)[0].url, "/v1/chat/completions", request)
    assert (through.status, through.body) == (direct.status, direct.body)
