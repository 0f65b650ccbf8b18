"""What the console is looked at with: simulated engines and a Gearshift before them."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import http
from harness.children import Child, Children, free_port, free_ports
from harness.paths import ROOT, RUN
from harness.waiting import until

LOCAL = "127.0.0.1"
TOKEN = "let-me-look"
MODEL = "llama-3.1-8b"
SHIPPED_BUNDLE = ROOT / "models" / "default"
# A name that would run, were it taken for markup.
HOSTILE = "<img/src=x/onerror=alert(1)>"
# The engine that may be shifted takes vLLM's way to say where it listens.
LAUNCH = """for a; do shift; case $a in
--host=*) host=${a#--host=};; --port=*) port=${a#--port=};; *) set -- "$@" "$a";; esac; done
exec "$LOADTEST" engine --hardware l4 --model llama-3.1-8b --dev-mode --listen "$host:$port" "$@" """
START_S = 60.0
Json = dict[str, Any]


@dataclass
class Stage:
    """A running Gearshift that can be ended and started again, with its engines."""

    children: Children
    binary: Path
    folder: Path
    configuration: Json
    control: str
    child: Child | None = None

    @property
    def url(self) -> str:
        """Where clients ask."""
        return f"http://{self.configuration['listen']}"

    @property
    def admin(self) -> str:
        """Where operators ask."""
        return f"http://{self.configuration['admin']['address']}"

    @property
    def bundles(self) -> Path:
        """Where bundles are dropped."""
        return self.folder / "models"

    def write(self) -> None:
        """Writes the configuration; JSON is YAML."""
        (self.folder / "gearshift.yaml").write_text(json.dumps(self.configuration, indent=1))

    def start(self) -> None:
        """Starts Gearshift, and waits until it is ready."""
        self.write()
        command: list[str | Path] = [self.binary, "serve", "--config", self.folder / "gearshift.yaml"]
        child = self.children.add(Child("gearshift", command, self.folder / "gearshift.log"))
        self.child = child

        def ready() -> bool:
            child.check()
            return http.answers(self.admin, "/readyz", TOKEN)

        until("gearshift is ready", ready, START_S)

    def stop(self) -> None:
        """Ends Gearshift."""
        if self.child:
            self.child.stop()

    def get(self, path: str) -> Any:
        """What the operators' listener says."""
        return http.get(self.admin, path, TOKEN).json()

    def post(self, path: str, body: object) -> http.Reply:
        """Asks the operators' listener for something."""
        return http.post_json(self.admin, path, body, {"authorization": f"Bearer {TOKEN}"})

    def active(self) -> str | None:
        """The bundle that decides."""
        active = self.get("/bundles")["active"]
        return active["id"] if active else None

    def drop_in(self, name: str, created: str) -> None:
        """Another bundle, made at another time by its own word, as operators drop it in."""
        hidden = self.bundles / f".{name}"
        shutil.copytree(SHIPPED_BUNDLE, hidden)
        manifest = json.loads((hidden / "manifest.json").read_text())
        (hidden / "manifest.json").write_text(json.dumps({**manifest, "created": created}))
        hidden.rename(self.bundles / name)

    def shift(self, engine: str, profile: str) -> None:
        """Shifts an engine into a profile, and waits until that has ended."""
        answer = self.post("/controller/shift", {"backend": engine, "profile": profile})
        if answer.status != 200:
            raise RuntimeError(f"{engine} into {profile}: {answer.status} {answer.body!r}")

        def ended() -> bool:
            return all(it["switch"] is None for it in self.get("/controller")["backends"])

        until(f"{engine} is in {profile}", ended, START_S)

    def fault(self, engine: str, **fault: object) -> None:
        """Gives an engine a fault for `for_s` seconds."""
        answer = http.post_json(self.control, f"/engines/{engine}/faults", fault)
        if answer.status >= 300:
            raise RuntimeError(f"fault {fault} at {engine}: {answer.status} {answer.body!r}")

    def ask(self, tokens: int = 8, model: str = MODEL, name: str | None = None) -> int:
        """One request of a client's, which may give it an id; gives the status."""
        messages = [{"role": "user", "content": "Which gear is next?"}]
        headers = {"x-request-id": name} if name else {}
        return http.post_json(
            self.url, "/v1/chat/completions", {"model": model, "messages": messages, "max_tokens": tokens}, headers
        ).status


def backend(name: str, hardware: str, profile: str, port: int, **more: object) -> Json:
    return {"name": name, "url": f"http://{LOCAL}:{port}", "hardware": hardware, "model": MODEL, "profile": profile, **more}


PROFILES = {
    "cached": {"prefix_caching": True, "max_num_seqs": 64},
    "plain": {"prefix_caching": False, "max_num_seqs": 64},
    "narrow": {"prefix_caching": True, "max_num_seqs": 16},
}
INTERVALS = {"scrape_interval": "500ms", "health_interval": "500ms", "unhealthy_after": 2}


def small(children: Children, gearshift: Path, loadtest: Path) -> Stage:
    """Five engines, one with a hostile name, one that Gearshift runs itself and that may be shifted."""
    folder = fresh("console")
    bundles = folder / "models"
    bundles.mkdir()
    shutil.copytree(SHIPPED_BUNDLE, bundles / "default")
    simulated = [
        backend("h100-a", "h100_sxm", "cached", free_port()),
        backend("h100-b", "h100_sxm", "cached", free_port()),
        backend("l40s", "l40s", "plain", free_port()),
        backend(HOSTILE, "l40s", "plain", free_port()),
    ]
    process = {
        "command": ["sh", "-c", LAUNCH, "engine"],
        "env": {"LOADTEST": str(loadtest)},
        "memory_probe": [],
        "on_exit": "stop",
    }
    shiftable = backend(
        "l4", "l4", "cached", free_port(), profiles=["cached", "narrow"], actuator={"process": process}
    )
    return raised(children, folder, gearshift, loadtest, simulated, [shiftable], INTERVALS)


def thousand(children: Children, gearshift: Path, loadtest: Path, count: int = 1000) -> Stage:
    """A fleet of many engines, looked after seldom: so many watch and are watched on one machine."""
    kinds = [
        ("h100_sxm", "cached", 0.3), ("h200_sxm", "cached", 0.25), ("a100_sxm_80gb", "plain", 0.2),
        ("l40s", "plain", 0.15), ("l4", "narrow", 0.1),
    ]  # fmt: skip
    names = [(hardware, profile) for hardware, profile, share in kinds for _ in range(round(share * count))]
    simulated = [
        backend(f"{hardware.split('_')[0]}-{index:04}", hardware, profile, port)
        for index, ((hardware, profile), port) in enumerate(zip(names, free_ports(count), strict=True))
    ]
    intervals = {"scrape_interval": "10s", "health_interval": "10s", "detect_interval": "60s", "hang_after": "60s"}
    return raised(children, fresh("thousand"), gearshift, loadtest, simulated, [], intervals)


def fresh(name: str) -> Path:
    """An empty folder."""
    folder = RUN / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def raised(
    children: Children,
    folder: Path,
    gearshift: Path,
    loadtest: Path,
    simulated: list[Json],
    others: list[Json],
    intervals: Json,
) -> Stage:
    """Starts engines and Gearshift."""
    common: Json = {
        "listen": f"{LOCAL}:{free_port()}",
        "admin": {"address": f"{LOCAL}:{free_port()}", "token": TOKEN},
        "workers": 1,
        "paths": {"models": str(folder / "models")},
        # What is shown is not this machine's speed.
        "learner": {"budget": "50ms"},
        "fleet": {"hang_after": "10s", **intervals},
        "profiles": PROFILES,
    }
    control = f"{LOCAL}:{free_port()}"
    engines = folder / "engines.yaml"
    engines.write_text(json.dumps({**common, "backends": simulated}))
    command: list[str | Path] = [loadtest, "engines", "--config", engines, "--control", control]
    child = children.add(Child("engines", command, folder / "engines.log"))
    routes = [{"name": "chat", "objective": "latency", "slo": {"ttft": "5s", "tpot": "200ms"}}]
    configuration = {**common, "backends": simulated + others, "routes": routes, "observations": {"half_life": "1m"}}
    stage = Stage(children, gearshift, folder, configuration, f"http://{control}")

    def listening() -> bool:
        child.check()
        return not http.refuses(f"http://{control}")

    until("the engines listen", listening, START_S)
    stage.start()
    return stage
