"""One server is killed in the middle of its work. Runs last: the server does not come back."""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import anthropic
import openai
import pytest
from prompts import CAPITAL, fact, long_answer
from streaming import streams

from harness import http
from harness.fleet import TINY, Engine, Fleet, Gearshift
from harness.waiting import until

# Of each kind at once.
STREAMS = 12
OTHERS = 4
REQUESTS = STREAMS + 3 * OTHERS
# On one server: more than those that are not streamed, so that streams are among them. On a slow machine clients start one after the other.
ENOUGH = OTHERS + 1
AFTERWARDS = 24
TOKENS = 1500
LONG = long_answer(TOKENS)

WHOLE, CUT = "whole", "in an error event"


def kill(engine: Engine) -> None:
    """Ends a server's main process without a warning, as the kernel does when memory runs out."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(engine.pid, signal.SIGKILL)
    until(f"{engine.name} is gone", lambda: http.refuses(engine.url), 60)


def ask(client: openai.OpenAI) -> str | None:
    """One answer that is not streamed; its finish reason."""
    answer = client.chat.completions.create(model=TINY, messages=CAPITAL, **LONG)
    return answer.choices[0].finish_reason


def message_stream(base: str) -> str:
    """How a stream of Anthropic's API ended: the SDK raises its error event."""
    with anthropic.Anthropic(base_url=base, api_key="unused", max_retries=0) as client:
        try:
            with client.messages.create(model=TINY, messages=CAPITAL, stream=True, **LONG) as stream:
                last = [event.type for event in stream][-1]
        except anthropic.APIStatusError:
            return CUT
    return WHOLE if last == "message_stop" else f"silently, after {last}"


def response_stream(base: str) -> str:
    """How a stream of the responses API ended: its error is an event like the others."""
    request = {"model": TINY, "input": "Hello", "max_output_tokens": TOKENS, "extra_body": LONG["extra_body"]}
    with openai.OpenAI(base_url=f"{base}/v1", api_key="unused", max_retries=0) as client:
        try:
            with client.responses.create(stream=True, **request) as stream:
                last = [event.type for event in stream][-1]
        except openai.APIError as error:
            assert not isinstance(error, openai.APIConnectionError), "no error event came"
            return CUT
    ends = {"response.completed": WHOLE, "response.incomplete": WHOLE, "error": CUT}
    return ends.get(last, f"silently, after {last}")


def check_whole_answers(answers: list[Future[str | None]]) -> None:
    """Nothing had reached the client: each is an answer, from the sibling if need be, or an honest error."""
    for answer in answers:
        error = answer.exception()
        if error is None:
            assert answer.result() == "length"
        else:
            assert isinstance(error, openai.InternalServerError), error
            assert error.status_code in (502, 503, 504)


@dataclass
class Strike:
    """Kills the busier server of the tiny model once it has work, and asks the sibling for more."""

    fleet: Fleet
    client: openai.OpenAI
    victim: Engine | None = None
    lost: float = 0

    def busier(self, engines: Sequence[Engine]) -> float:
        """How many requests the busier one works on."""
        running = ((engine.running(), engine) for engine in engines)
        self.lost, self.victim = max(running, key=lambda pair: pair[0])
        return self.lost

    def __call__(self) -> None:
        engines = self.fleet.serving(TINY)
        until("a server works on streams", lambda: self.busier(engines) > ENOUGH, 120)
        kill(self.victim)
        for _ in range(AFTERWARDS):
            self.client.chat.completions.create(model=TINY, messages=CAPITAL, max_tokens=2)


def test_killed_server(
    fleet: Fleet, gearshift: Gearshift, tiny: openai.OpenAI, record_property: Callable[[str, object], None]
) -> None:
    strike = Strike(fleet, tiny)
    with ThreadPoolExecutor(3 * OTHERS) as pool:
        answers = [pool.submit(ask, tiny) for _ in range(OTHERS)]
        messages = [pool.submit(message_stream, gearshift.url) for _ in range(OTHERS)]
        responses = [pool.submit(response_stream, gearshift.url) for _ in range(OTHERS)]
        prompts = [fact(number) for number in range(STREAMS)]
        results = streams(gearshift.url, {"model": TINY, **LONG}, prompts, meanwhile=strike)

    errors = [result.error for result in results if not result.whole]
    assert None not in errors, "a cut stream looked like success"
    assert not any(isinstance(error, openai.APIConnectionError) for error in errors), "no error event came"
    assert all(result.finish == "length" for result in results if result.whole)
    check_whole_answers(answers)
    ends = Counter([CUT] * len(errors) + [WHOLE] * (STREAMS - len(errors)))
    ends.update(future.result() for future in (*messages, *responses))
    assert ends.keys() <= {WHOLE, CUT}
    assert ends[CUT], f"no stream was cut although {strike.victim} worked on {strike.lost:g} requests"
    record_property("requests on the killed server", f"{strike.lost:g} of {REQUESTS}")
    for end, count in ends.items():
        record_property(f"streams that ended {end}", count)


def test_the_sibling_serves_alone(gearshift: Gearshift, tiny: openai.OpenAI) -> None:
    for number in range(AFTERWARDS):
        answer = tiny.chat.completions.create(model=TINY, messages=fact(number), max_tokens=2)
        assert answer.choices


def test_a_model_without_servers(
    fleet: Fleet, gearshift: Gearshift, record_property: Callable[[str, object], None]
) -> None:
    """The last server of the model goes too: the error says so, and when to come again."""
    for engine in fleet.serving(TINY):
        kill(engine)
    reply = http.post_json(gearshift.url, "/v1/chat/completions", {"model": TINY, "messages": CAPITAL})
    assert reply.status == 503
    assert int(reply.headers["retry-after"]) > 0
    assert reply.json()["error"]["message"]
    record_property("status of a model whose servers are all gone", reply.status)
    with (
        anthropic.Anthropic(base_url=gearshift.url, api_key="unused", max_retries=0) as claude,
        pytest.raises(anthropic.InternalServerError) as refusal,
    ):
        claude.messages.create(model=TINY, messages=CAPITAL, max_tokens=2)
    assert refusal.value.body["type"] == "error"
