"""LangChain's OpenAI integration."""

import asyncio

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from prompts import CAPITAL, PARIS

from harness.fleet import SMOL, Fleet

QUESTION = [HumanMessage(CAPITAL[0]["content"])]


@pytest.fixture(scope="module")
def chat(fleet: Fleet) -> ChatOpenAI:
    return ChatOpenAI(
        model=SMOL,
        base_url=f"{fleet.base(SMOL)}/v1",
        api_key="unused",
        temperature=0,
        max_retries=0,
        max_completion_tokens=24,
        stream_usage=True,
    )


def test_invoke(chat: ChatOpenAI) -> None:
    answer = chat.invoke(QUESTION)
    assert answer.content == PARIS
    assert answer.usage_metadata["output_tokens"] > 0


def test_stream(chat: ChatOpenAI) -> None:
    chunks = list(chat.stream(QUESTION))
    assert "".join(chunk.text for chunk in chunks) == PARIS
    assert sum((chunk.usage_metadata or {}).get("output_tokens", 0) for chunk in chunks) > 0


def test_batch(chat: ChatOpenAI) -> None:
    assert [answer.content for answer in chat.batch([QUESTION] * 4)] == [PARIS] * 4


def test_async(chat: ChatOpenAI) -> None:
    system = SystemMessage("You answer questions about geography.")
    answer = asyncio.run(chat.ainvoke([system, *QUESTION]))
    assert "Paris" in answer.content
