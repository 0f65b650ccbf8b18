"""Many streams at once, and what became of each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import openai

Messages = list[dict[str, str]]


@dataclass
class Streamed:
    """One stream: its text, how it finished, or the exception that the SDK raised."""

    text: str = ""
    finish: str | None = None
    error: openai.APIError | None = None

    @property
    def whole(self) -> bool:
        return self.error is None and self.finish is not None


async def _one(client: openai.AsyncOpenAI, request: dict[str, Any], messages: Messages) -> Streamed:
    streamed = Streamed()
    try:
        stream = await client.chat.completions.create(messages=messages, stream=True, **request)
        async for chunk in stream:
            for choice in chunk.choices:
                streamed.text += choice.delta.content or ""
                streamed.finish = choice.finish_reason or streamed.finish
    except openai.APIError as error:
        streamed.error = error
    return streamed


async def _all(
    base: str, request: dict[str, Any], prompts: Sequence[Messages], meanwhile: Callable[[], None] | None
) -> list[Streamed]:
    options = {"api_key": "unused", "max_retries": 0, "timeout": 120.0}
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", **options) as client:
        tasks = [asyncio.create_task(_one(client, request, messages)) for messages in prompts]
        if meanwhile:
            await asyncio.to_thread(meanwhile)
        return await asyncio.gather(*tasks)


def streams(
    base: str,
    request: dict[str, Any],
    prompts: Sequence[Messages],
    meanwhile: Callable[[], None] | None = None,
) -> list[Streamed]:
    """Streams the answers to all prompts at once, and calls `meanwhile` beside them."""
    return asyncio.run(_all(base, request, prompts, meanwhile))
