"""Prefix caching: what the engine reports arrives, and where a long shared prefix goes."""

import uuid
from collections.abc import Callable

import openai

from harness.fleet import TINY, Fleet

REPEATS = 8


def shared_prefix() -> str:
    """Some thousand tokens that no earlier run has cached."""
    return f"{uuid.uuid4()} " + " ".join(f"import module_{number}" for number in range(600))


def cached_tokens(client: openai.OpenAI, prefix: str, suffix: str) -> int:
    answer = client.completions.create(model=TINY, prompt=prefix + suffix, max_tokens=4)
    details = answer.usage.prompt_tokens_details
    return (details.cached_tokens or 0) if details else 0


def test_cached_tokens_are_reported(fleet: Fleet, make_client: Callable[[str], openai.OpenAI]) -> None:
    """On the caching engine itself, as the ground for the next test."""
    client = make_client(fleet.engine("tiny-caching").url)
    prefix = shared_prefix()
    cached_tokens(client, prefix, "first")
    assert cached_tokens(client, prefix, "second") > 1000


def test_repeated_prefix(
    fleet: Fleet, tiny: openai.OpenAI, record_property: Callable[[str, object], None]
) -> None:
    """Where the requests go is the selector's business and noted; that they are all served is asserted."""
    caching, plain = fleet.engine("tiny-caching"), fleet.engine("tiny-plain")
    hits = caching.metric("vllm:prefix_cache_hits_total")
    before = [engine.metric("vllm:prompt_tokens_total") for engine in (caching, plain)]
    prefix = shared_prefix()
    reported = [cached_tokens(tiny, prefix, f"number {number}") for number in range(REPEATS)]
    after = [engine.metric("vllm:prompt_tokens_total") for engine in (caching, plain)]
    share = (after[0] - before[0]) / (sum(after) - sum(before))
    record_property("share of prompt tokens sent to the caching server", f"{share:.0%}")
    record_property(
        "prompt tokens served from its cache", round(caching.metric("vllm:prefix_cache_hits_total") - hits)
    )
    assert len(reported) == REPEATS
    assert sum(reported) == caching.metric("vllm:prefix_cache_hits_total") - hits
