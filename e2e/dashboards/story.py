"""What happens in the observed run: steady traffic for three routes, and on top one trouble after the other.

Each trouble is there so that a panel has something to show; all end before the run does.
"""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import http as plain
from harness.children import Child, Children
from harness.paths import RUN

from .fleet import Observed

LARGE, BATCH, SMALL = "qwen3-32b", "qwen3-32b-batch", "llama-3.1-8b"
# Model and requests a second.
TRAFFIC = ((LARGE, 8.0), (BATCH, 2.0), (SMALL, 1.2))
CHAT = "/v1/chat/completions"


def drive(children: Children, loadtest: Path, observed: Observed, seconds: float) -> list[Child]:
    """Starts the traffic."""
    drivers = []
    for seed, (model, rate) in enumerate(TRAFFIC, 1):
        command: list[str | Path] = [loadtest, "run", "--target", observed.gearshift.url, "--model", model]
        command += ["--workload", "drift", "--stretch", "--context", "4096", "--seeds", str(seed)]
        command += ["--rate", str(rate), "--duration", f"{seconds:g}"]
        drivers.append(children.add(Child(f"traffic-{model}", command, RUN / f"traffic-{model}.log")))
    return drivers


def ask(observed: Observed, body: object) -> int:
    """One request in one piece; gives the status."""
    return plain.post_json(observed.gearshift.url, CHAT, body).status


def question(model: str, tokens: int = 16, stream: bool = False) -> dict[str, object]:
    messages = [{"role": "user", "content": "Which gear is next?"}]
    return {"model": model, "messages": messages, "max_tokens": tokens, "stream": stream}


def mistakes(observed: Observed) -> None:
    """What clients get wrong."""
    for body in ({"model": "nobody", "messages": []}, {"messages": []}, [], question("nobody")):
        ask(observed, body)


def impatience(observed: Observed) -> None:
    """Clients that leave in the middle of a stream."""
    for _ in range(4):
        with contextlib.closing(plain.connect(observed.gearshift.url)) as connection:
            body = json.dumps(question(LARGE, 400, stream=True))
            connection.request("POST", CHAT, body, {"content-type": "application/json"})
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.getresponse().read(64)


def bad_file(observed: Observed) -> None:
    """A configuration that is refused, and then a good one that changes something."""
    good = observed.gearshift.config.read_text()
    observed.gearshift.config.write_text(good + "\nnonsense: true\n")
    time.sleep(4)
    observed.gearshift.config.write_text(good.replace("budget: 0.2 ", "budget: 0.25 "))


def shift(observed: Observed) -> None:
    """An engine is put into another profile by hand."""
    token = {"authorization": f"Bearer {observed.gearshift.token}"}
    wish = {"backend": "l4-c", "profile": "plain"}
    answer = plain.post_json(observed.gearshift.admin, "/controller/shift", wish, token)
    if answer.status != 200:
        raise RuntimeError(f"{wish}: {answer.status} {answer.body!r}")


def troubles(observed: Observed) -> list[tuple[float, str, Callable[[], None]]]:
    """At which share of the run what happens."""
    fault = observed.fault
    return [
        (0.08, "l4-c is shifted", lambda: shift(observed)),
        (0.10, "clients make mistakes", lambda: mistakes(observed)),
        (0.15, "clients leave", lambda: impatience(observed)),
        (0.20, "h200 is twice as slow", lambda: fault("h200", kind="slow", factor=2.0, for_s=40)),
        # Back after 10 s and what its start takes, which is a vLLM's: 100 s.
        (0.30, "l4-b dies", lambda: fault("l4-b", kind="crash", for_s=10)),
        (0.50, "h100-draft hangs", lambda: fault("h100-draft", kind="hang", for_s=20)),
        (0.68, "h200 breaks streams off", lambda: fault("h200", kind="reset_mid_stream", share=0.2, for_s=10)),
        (0.76, "a bad configuration", lambda: bad_file(observed)),
        (0.80, "h200 refuses half of what comes", lambda: fault("h200", kind="status", code=503, share=0.5, for_s=10)),
        (0.86, "clients make mistakes", lambda: mistakes(observed)),
    ]


def tell(observed: Observed, seconds: float) -> Iterator[str]:
    """Lets the troubles happen, each at its time; yields what happens, and returns at the end of the run."""
    began = time.monotonic()
    for share, what, happen in troubles(observed):
        time.sleep(max(0.0, began + share * seconds - time.monotonic()))
        happen()
        yield what
    time.sleep(max(0.0, began + seconds - time.monotonic()))
