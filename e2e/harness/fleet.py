"""The fleet under test, as `run.py` describes it to the tests."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from . import exposition, http
from .paths import FLEET_VARIABLE

SMOL = "smollm2-135m"
TINY = "tiny"
EMBEDDER = "tiny-embedder"


@dataclass(frozen=True)
class Engine:
    """One running vLLM server."""

    name: str
    model: str
    url: str
    pid: int

    def metric(self, name: str) -> float:
        """The sum of one of the engine's own metrics; 0 if it has no samples yet."""
        text = http.get(self.url, "/metrics").body.decode()
        return exposition.total(text, name) or 0.0

    def running(self) -> float:
        """Requests that the engine works on now."""
        return self.metric("vllm:num_requests_running")


@dataclass(frozen=True)
class Gearshift:
    """The proxy before the engines."""

    url: str
    admin: str
    token: str
    binary: Path
    config: Path
    log: Path
    pid: int

    def metric(self, name: str, **labels: str) -> float:
        """The sum of one of Gearshift's metrics; 0 if it has no samples yet."""
        text = http.get(self.admin, "/metrics", self.token).body.decode()
        return exposition.total(text, name, **labels) or 0.0


@dataclass(frozen=True)
class Fleet:
    """Engines, the proxy before them, and what watches it; without a proxy, tests talk to the engines."""

    engines: tuple[Engine, ...]
    gearshift: Gearshift | None
    prometheus: str | None

    def serving(self, model: str) -> list[Engine]:
        """The engines of a model."""
        return [engine for engine in self.engines if engine.model == model]

    def engine(self, name: str) -> Engine:
        """The engine of that name."""
        return next(engine for engine in self.engines if engine.name == name)

    def base(self, model: str) -> str:
        """Where requests for a model go: the proxy, or else the model's first engine."""
        return self.gearshift.url if self.gearshift else self.serving(model)[0].url

    def running(self, model: str) -> float:
        """Requests that the model's engines work on now."""
        return sum(engine.running() for engine in self.serving(model))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2, default=str))


def load() -> Fleet:
    """The fleet that the environment names."""
    raw = json.loads(Path(os.environ[FLEET_VARIABLE]).read_text())
    proxy = raw["gearshift"]
    if proxy:
        proxy |= {name: Path(proxy[name]) for name in ("binary", "config", "log")}
    return Fleet(
        engines=tuple(Engine(**engine) for engine in raw["engines"]),
        gearshift=Gearshift(**proxy) if proxy else None,
        prometheus=raw["prometheus"],
    )
