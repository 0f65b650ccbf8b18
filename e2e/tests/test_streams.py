"""Thirty-two streams at once."""

from collections.abc import Callable

from prompts import GREEDY, fact
from streaming import Streamed, streams

from harness.fleet import SMOL, TINY, Fleet

COUNT = 32
PROMPTS = [fact(number) for number in range(COUNT)]


def check_whole(results: list[Streamed]) -> None:
    assert [result.error for result in results] == [None] * COUNT
    assert all(result.whole for result in results)


def test_the_same_answers_as_from_the_engine(fleet: Fleet) -> None:
    """Greedy decoding in float32 repeats: each stream must carry exactly what the engine says directly."""
    request = {"model": SMOL, "max_tokens": 32, **GREEDY}
    direct = streams(fleet.serving(SMOL)[0].url, request, PROMPTS)
    through = streams(fleet.base(SMOL), request, PROMPTS)
    check_whole(direct)
    check_whole(through)
    assert len({result.text for result in direct}) > COUNT / 2, "the answers tell the streams apart"
    assert [result.text for result in through] == [result.text for result in direct]


def test_over_two_servers(fleet: Fleet, record_property: Callable[[str, object], None]) -> None:
    """Both servers of the tiny model have the same weights, so that either may answer."""
    request = {"model": TINY, "max_tokens": 64, **GREEDY}
    direct = streams(fleet.serving(TINY)[0].url, request, PROMPTS)
    before = [engine.metric("vllm:request_success_total") for engine in fleet.serving(TINY)]
    through = streams(fleet.base(TINY), request, PROMPTS)
    after = [engine.metric("vllm:request_success_total") for engine in fleet.serving(TINY)]
    check_whole(through)
    assert [result.text for result in through] == [result.text for result in direct]
    shares = [late - early for early, late in zip(before, after, strict=True)]
    assert sum(shares) == COUNT
    record_property("streams per server", " + ".join(f"{share:g}" for share in shares))
