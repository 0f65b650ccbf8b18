"""SIGTERM: open streams finish, nobody new comes in."""

import os
import signal

from prompts import fact, long_answer
from streaming import streams

from harness import http, services
from harness.children import Children
from harness.fleet import TINY, Fleet, Gearshift
from harness.paths import RUN
from harness.waiting import until

COUNT = 8


def test_streams_finish(fleet: Fleet, gearshift: Gearshift) -> None:
    urls = {engine.name: engine.url for engine in fleet.engines}
    with Children() as children:
        config = RUN / "gearshift-leaving.yaml"
        leaving = services.start_gearshift(children, gearshift.binary, config, urls)
        (child,) = children

        def terminate() -> None:
            until("all streams run", lambda: fleet.running(TINY) == COUNT, 120)
            os.kill(leaving.pid, signal.SIGTERM)
            until("new connections are refused", lambda: http.refuses(leaving.url), 60)
            assert child.process.poll() is None, "it left while streams were open"

        request = {"model": TINY, **long_answer(1500)}
        results = streams(leaving.url, request, [fact(n) for n in range(COUNT)], meanwhile=terminate)
        assert [result.error for result in results] == [None] * COUNT
        assert [result.finish for result in results] == ["length"] * COUNT
        until("it ends when the last stream has", lambda: child.process.poll() is not None, 60)
        assert child.process.returncode == 0
