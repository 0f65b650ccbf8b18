"""Requests that do not generate."""

from collections.abc import Callable

import openai
import pytest

from harness import http
from harness.fleet import EMBEDDER, SMOL, Fleet

TEXTS = ["The first of two texts.", "And the second."]


def test_embeddings(fleet: Fleet, make_client: Callable[[str], openai.OpenAI]) -> None:
    through, direct = (
        make_client(base).embeddings.create(model=EMBEDDER, input=TEXTS)
        for base in (fleet.base(EMBEDDER), fleet.serving(EMBEDDER)[0].url)
    )
    assert [len(item.embedding) for item in through.data] == [128, 128]
    assert [item.embedding for item in through.data] == [item.embedding for item in direct.data]
    assert through.usage.prompt_tokens > 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pooling", {"input": TEXTS}),
        ("/score", {"text_1": TEXTS[0], "text_2": TEXTS}),
        ("/v1/rerank", {"query": TEXTS[0], "documents": TEXTS}),
        ("/tokenize", {"prompt": TEXTS[0]}),
    ],
)
def test_other_endpoints_of_a_pooling_server(fleet: Fleet, path: str, body: dict[str, object]) -> None:
    through, direct = (
        http.post_json(base, path, {"model": EMBEDDER, **body})
        for base in (fleet.base(EMBEDDER), fleet.serving(EMBEDDER)[0].url)
    )
    assert through.status == 200
    assert stable(through) == stable(direct)


def stable(reply: http.Reply) -> dict[str, object]:
    """A body without what differs between any two requests."""
    return {name: value for name, value in reply.json().items() if name not in ("id", "created")}


def test_embeddings_of_a_model_that_generates(smol: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refusal:
        smol.embeddings.create(model=SMOL, input=TEXTS)
    assert 400 <= refusal.value.status_code < 500
