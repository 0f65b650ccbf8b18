"""Bytes go through untouched, seen by a recording relay between Gearshift and an engine."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harness import http, services
from harness.children import Children
from harness.fleet import SMOL, Fleet, Gearshift
from harness.paths import RUN
from harness.relay import Relay, relay
from harness.waiting import until

CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Watched:
    """A proxy of its own whose engine for the real model is behind a relay."""

    gearshift: Gearshift
    wire: Relay


@pytest.fixture(scope="module")
def watched(fleet: Fleet, gearshift: Gearshift) -> Iterator[Watched]:
    urls = {engine.name: engine.url for engine in fleet.engines}
    with relay(urls["smol"]) as wire, Children() as children:
        config = RUN / "gearshift-watched.yaml"
        proxy = services.start_gearshift(children, gearshift.binary, config, {**urls, "smol": wire.url})
        yield Watched(proxy, wire)


def odd_request(marker: str, stream: bool) -> bytes:
    """Valid, but as no serializer writes it: spacing, escapes, key order, a field nobody knows."""
    return (
        '{ "x_unknown" : {"b":1.0, "a":[ ]},\n\t"messages":[{"content":"Say \\u0068ello, '
        + marker
        + '","role":"user"}],"max_tokens":12 , "temperature":0.0e0,"model":"'
        + SMOL
        + '"'
        + (',"stream":true' if stream else "")
        + " }\n"
    ).encode()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_bodies_are_the_same_bytes(watched: Watched, stream: bool) -> None:
    marker = uuid.uuid4().hex
    sent = odd_request(marker, stream)
    reply = http.request(watched.gearshift.url, "POST", CHAT, sent, http.JSON)
    assert reply.status == 200
    (seen,) = watched.wire.with_request(marker.encode())
    assert seen.sent.endswith(sent), "the request body was changed on its way to the engine"
    answers = [(answer.headers["content-type"], answer.body) for answer in seen.responses()]
    mine = (reply.headers["content-type"], reply.body)
    assert mine in answers, "the response was changed on its way to the client"
    if stream:
        assert reply.body.endswith(b"data: [DONE]\n\n")


def test_an_alias_is_all_that_changes(watched: Watched) -> None:
    marker = uuid.uuid4().hex
    sent = odd_request(marker, stream=False).replace(f'"{SMOL}"'.encode(), b'"small"')
    assert http.request(watched.gearshift.url, "POST", CHAT, sent, http.JSON).status == 200
    (seen,) = watched.wire.with_request(marker.encode())
    assert seen.sent.endswith(odd_request(marker, stream=False))


def test_frames_of_a_stream(fleet: Fleet, gearshift: Gearshift) -> None:
    """Through the proxy and directly: the same framing, the same first event, the same end, the same text."""
    request = json.loads(odd_request("again", stream=True))
    through = http.post_json(gearshift.url, CHAT, request)
    direct = http.post_json(fleet.serving(SMOL)[0].url, CHAT, request)
    assert through.headers["content-type"] == direct.headers["content-type"]
    ours, theirs = events(through.body), events(direct.body)
    assert (ours[0], end_of(ours), text_of(ours)) == (theirs[0], end_of(theirs), text_of(theirs))


def events(body: bytes) -> list[dict[str, Any]]:
    """The events of an SSE body in vLLM's framing, without what differs between any two requests."""
    frames = body.decode().split("\n\n")
    assert frames.pop() == "", "the body ends with a whole frame"
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames)
    assert frames.pop() == "data: [DONE]"
    found = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    for event in found:
        del event["id"], event["created"]
    return found


def end_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The last event, without its text: how many tokens one carries depends on the engine's timing."""
    return {**found[-1], "choices": [{**choice, "delta": None} for choice in found[-1]["choices"]]}


def text_of(found: list[dict[str, Any]]) -> str:
    """The whole text."""
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in found)


def test_request_id_goes_in_and_out(gearshift: Gearshift, watched: Watched) -> None:
    request = {"model": SMOL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    mine = f"e2e-{uuid.uuid4()}"
    reply = http.post_json(watched.gearshift.url, CHAT, request, {"X-Request-Id": mine})
    assert reply.headers["x-request-id"] == mine
    assert watched.wire.with_request(mine.encode()), "the engine did not get the request id"
    until("the request id is in the log", lambda: mine in watched.gearshift.log.read_text(), 60)
    given = {http.post_json(gearshift.url, CHAT, request).headers["x-request-id"] for _ in range(3)}
    assert len(given) == 3


def test_errors_carry_the_request_id(gearshift: Gearshift) -> None:
    reply = http.post_json(gearshift.url, CHAT, {"model": "no-such-model"}, {"x-request-id": "mine"})
    assert (reply.status, reply.headers["x-request-id"]) == (404, "mine")


def test_credentials_stay_out_of_the_way(watched: Watched) -> None:
    """The engine sees the client's own key, and nothing of the connection between client and proxy."""
    marker = uuid.uuid4().hex
    headers = {**http.JSON, "authorization": "Bearer of-the-client", "connection": "close", "te": "trailers"}
    body = odd_request(marker, stream=False)
    assert http.request(watched.gearshift.url, "POST", CHAT, body, headers).status == 200
    (seen,) = watched.wire.with_request(marker.encode())
    head = seen.sent[seen.sent.rindex(b"POST ", 0, seen.sent.index(marker.encode())) :].lower()
    assert b"authorization: bearer of-the-client" in head
    assert b"connection: close" not in head
    assert b"te: trailers" not in head
