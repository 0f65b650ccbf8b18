"""The official Anthropic SDK on `/v1/messages`."""

import anthropic
import pytest
from prompts import CAPITAL, PARIS

from harness.fleet import SMOL, Gearshift

# The SDK no longer knows `temperature`; the engine does.
GREEDY = {"extra_body": {"temperature": 0}}


def test_message(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model=SMOL, messages=CAPITAL, max_tokens=24, **GREEDY)
    assert answer.content[0].text == PARIS
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0


def test_message_stream(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model=SMOL, messages=CAPITAL, max_tokens=24, **GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == PARIS
    assert final.stop_reason == "end_turn"


def test_count_tokens(claude: anthropic.Anthropic) -> None:
    assert claude.messages.count_tokens(model=SMOL, messages=CAPITAL).input_tokens > 5


def test_unknown_model(gearshift: Gearshift, claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as refusal:
        claude.messages.create(model="no-such-model", messages=CAPITAL, max_tokens=4)
    assert refusal.value.body["type"] == "error"
    assert "no-such-model" in refusal.value.body["error"]["message"]
