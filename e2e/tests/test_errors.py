"""Whatever is wrong with a request, the SDKs raise the right exception."""

from typing import Any

import openai
import pytest
from prompts import CAPITAL

from harness import http
from harness.fleet import SMOL, TINY, Fleet, Gearshift

CHAT = "/v1/chat/completions"

# Every endpoint with which an engine can be controlled or looked into; all of them are open on the engines.
CONTROL = (
    ("POST", "/sleep"),
    ("POST", "/sleep?level=1"),
    ("POST", "/wake_up"),
    ("GET", "/is_sleeping"),
    ("POST", "/pause"),
    ("POST", "/resume"),
    ("POST", "/reset_prefix_cache"),
    ("POST", "/reset_mm_cache"),
    ("POST", "/collective_rpc"),
    ("POST", "/abort_requests"),
    ("POST", "/scale_elastic_ep"),
    ("POST", "/update_weights"),
    ("POST", "/v1/load_lora_adapter"),
    ("POST", "/v1/unload_lora_adapter"),
    ("POST", "/invocations"),
    ("POST", "/inference/v1/generate"),
    ("GET", "/server_info"),
    ("GET", "/load"),
    ("GET", "/metrics"),
    ("GET", "/version"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("POST", "/v1/../sleep"),
    ("POST", "//sleep"),
    ("POST", "/%73leep"),
)


def error_of(reply: http.Reply) -> dict[str, Any]:
    """The error object, which must have OpenAI's shape."""
    error = reply.json()["error"]
    assert error["message"]
    assert error["type"]
    assert {"param", "code"} <= error.keys()
    return error


def test_unknown_model(smol: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        smol.chat.completions.create(model="no-such-model", messages=CAPITAL)


def test_unknown_model_streamed(smol: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        smol.chat.completions.create(model="no-such-model", messages=CAPITAL, stream=True)


@pytest.mark.parametrize(
    "body", [b'{"model": "tiny", "messages', b"", b"[]", b"nonsense", b'{"model": "\xff"}']
)
def test_broken_json(smol: openai.OpenAI, body: bytes) -> None:
    options = {"headers": {"content-type": "application/json"}}
    with pytest.raises(openai.BadRequestError) as refusal:
        smol.post("/chat/completions", cast_to=object, content=body, options=options)
    assert refusal.value.message


def test_invalid_field_comes_back_in_the_engines_words(fleet: Fleet, smol: openai.OpenAI) -> None:
    request = {"model": SMOL, "messages": CAPITAL, "temperature": -3}
    with pytest.raises(openai.BadRequestError, match="temperature"):
        smol.chat.completions.create(**request)
    through = http.post_json(fleet.base(SMOL), CHAT, request)
    direct = http.post_json(fleet.serving(SMOL)[0].url, CHAT, request)
    assert (through.status, through.body) == (direct.status, direct.body)


def test_prompt_beyond_the_context(smol: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="2048"):
        smol.completions.create(model=SMOL, prompt="word " * 4000, max_tokens=4)


def test_missing_model(gearshift: Gearshift) -> None:
    reply = http.post_json(gearshift.url, CHAT, {"messages": CAPITAL})
    assert reply.status == 400
    assert "model" in error_of(reply)["message"]


def test_too_large(gearshift: Gearshift, smol: openai.OpenAI) -> None:
    """The configuration of this run allows 1 MiB."""
    with pytest.raises(openai.APIStatusError) as refusal:
        smol.completions.create(model=SMOL, prompt="x" * 1_100_000, max_tokens=4)
    assert refusal.value.status_code == 413


def test_unknown_path_and_method(gearshift: Gearshift) -> None:
    unknown = http.post_json(gearshift.url, "/v1/no-such-endpoint", {"model": TINY})
    assert unknown.status == 404
    error_of(unknown)
    method = http.get(gearshift.url, CHAT)
    assert method.status == 405
    assert "POST" in method.headers["allow"]
    error_of(method)


@pytest.mark.parametrize(("method", "path"), CONTROL)
def test_engine_control_is_not_for_clients(gearshift: Gearshift, method: str, path: str) -> None:
    body = b"{}" if method == "POST" else None
    reply = http.request(gearshift.url, method, path, body, http.JSON)
    assert reply.status == 404
    error_of(reply)


def test_engine_control_is_open_on_the_engines(fleet: Fleet) -> None:
    """Else the tests above would prove nothing; and no engine was put to sleep by them."""
    for engine in fleet.engines:
        assert http.get(engine.url, "/server_info").status == 200
        assert http.get(engine.url, "/load").status == 200
        assert http.request(engine.url, "POST", "/reset_prefix_cache").status == 200
        assert http.get(engine.url, "/is_sleeping").json() == {"is_sleeping": False}


def test_admin_needs_the_token(gearshift: Gearshift) -> None:
    assert http.get(gearshift.admin, "/metrics").status == 401
    assert http.get(gearshift.admin, "/metrics", "wrong").status == 401
    assert http.get(gearshift.admin, "/metrics", gearshift.token).status == 200
