"""Processes that this run started, each in a process group of its own, and their certain end."""

import contextlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from .waiting import Overdue, until

GRACE_S = 20.0
# Below those of outgoing connections, of which one could take a port before it is used.
PORTS = range(20_000, 28_000)
_left = random.sample(PORTS, len(PORTS))


def free_port() -> int:
    """A TCP port on the loopback address that nobody listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ones, which are not given again: whoever got one before may not listen yet."""
    found: list[int] = []
    while _left and len(found) < count:
        port = _left.pop()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    if len(found) == count:
        return found
    raise RuntimeError(f"{count} ports are not free from {PORTS.start} to {PORTS.stop - 1}")


class Child:
    """A process group whose output goes to a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, which is also the id of the group."""
        return self.process.pid

    def check(self) -> None:
        """Raises, with the end of its log, if the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise RuntimeError(f"{self.name} ended with {code}; {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal_group(self, number: signal.Signals) -> None:
        """Signals every process of the group, if there still is one."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def gone(self) -> bool:
        """Whether the group has no living process; the dead that nobody has reaped do not count."""
        self.process.poll()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _parent, group = stat.read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.pid and state != "Z":
                    return False
        return True

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Asks the group to end, then makes it."""
        self.signal_group(signal.SIGTERM)
        try:
            until(f"the end of {self.name}", self.gone, grace_s)
        except Overdue:
            self.signal_group(signal.SIGKILL)
            self.process.wait()


class Children:
    """Stops all that was started under it, the last one first, however the block ends."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def add(self, child: Child) -> Child:
        self._children.append(child)
        return child

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children)

    def check(self) -> None:
        """Raises if any of them has ended."""
        for child in self._children:
            child.check()

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in reversed(self._children):
            child.signal_group(signal.SIGTERM)
        for child in reversed(self._children):
            child.stop()
