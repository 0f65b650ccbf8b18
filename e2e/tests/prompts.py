"""Prompts whose answers are known, or known to be long."""

from typing import Any

CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]
PARIS = "The capital of France is Paris."

# Decoding is greedy wherever answers are compared.
GREEDY: dict[str, Any] = {"temperature": 0, "seed": 0}


def fact(number: int) -> list[dict[str, str]]:
    """One of many different prompts."""
    return [{"role": "user", "content": f"Tell me a fact about the number {number}."}]


def long_answer(tokens: int) -> dict[str, Any]:
    """Exactly so many output tokens, whatever the model would like to say."""
    return {"max_tokens": tokens, "extra_body": {"ignore_eos": True}}
