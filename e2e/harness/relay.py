"""A TCP relay that keeps what passed: what one side sent is then known byte by byte."""

import contextlib
import http.client
import io
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from . import http as plain


@dataclass
class Recording:
    """The bytes of one connection."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)

    def responses(self) -> list[plain.Reply]:
        """The responses on this connection, their transfer coding undone."""
        stream = _Readable(bytes(self.received))
        found = []
        while stream.tell() < len(self.received):
            response = http.client.HTTPResponse(stream)  # type: ignore[arg-type]
            response.begin()
            found.append(plain.read(response))
        return found


class _Readable(io.BytesIO):
    """As much of a socket, and of its file, as `HTTPResponse` wants; survives the end of a response."""

    def makefile(self, _mode: str) -> "_Readable":
        return self

    def close(self) -> None:
        pass


class Relay(socketserver.ThreadingTCPServer):
    """Listens on a loopback port and passes connections on to the host and port of `target`."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, target: str, port: int = 0) -> None:
        url = urlsplit(target)
        self.target = (url.hostname, url.port)
        self.recordings: list[Recording] = []
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def with_request(self, marker: bytes) -> list[Recording]:
        """The connections over which a client sent `marker`."""
        return [recording for recording in self.recordings if marker in recording.sent]


class _Handler(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        recording = Recording()
        self.server.recordings.append(recording)
        with socket.create_connection(self.server.target) as upstream:
            back = threading.Thread(target=pump, args=(upstream, self.request, recording.received))
            back.start()
            pump(self.request, upstream, recording.sent)
            back.join()


def pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    """Copies until one side closes, then says so to the other."""
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            kept.extend(piece)
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_WR if end is sink else socket.SHUT_RD)


@contextlib.contextmanager
def relay(target: str, port: int = 0) -> Iterator[Relay]:
    """A relay for the time of a block."""
    with Relay(target, port) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
