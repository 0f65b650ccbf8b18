"""One plain HTTP/1.1 request at a time, with the bytes as they came: no SDK, no retries, no redirects."""

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """A whole response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def connect(base: str, timeout_s: float = 60) -> http.client.HTTPConnection:
    """A connection to the host and port of `base`."""
    url = urlsplit(base)
    return http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout_s)


def read(response: http.client.HTTPResponse) -> Reply:
    """Reads a response to its end."""
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())


def request(
    base: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> Reply:
    """Sends one request on a connection of its own."""
    with closing(connect(base, timeout_s)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        return read(connection.getresponse())


def get(base: str, path: str, token: str | None = None, timeout_s: float = 60) -> Reply:
    """GET, with a bearer token where given."""
    headers = {"authorization": f"Bearer {token}"} if token else None
    return request(base, "GET", path, headers=headers, timeout_s=timeout_s)


def post_json(base: str, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """POST of a JSON body."""
    return request(base, "POST", path, json.dumps(body).encode(), {**JSON, **(headers or {})})


def answers(base: str, path: str, token: str | None = None) -> bool:
    """Whether a GET succeeds now."""
    try:
        return get(base, path, token, timeout_s=5).status == 200
    except (OSError, http.client.HTTPException):
        return False


def refuses(base: str) -> bool:
    """Whether new connections are turned away, because nobody listens."""
    url = urlsplit(base)
    try:
        socket.create_connection((url.hostname, url.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        # A server that is dying: its socket is closed between our connecting and its accepting. The next attempt tells.
        return False
    return False
