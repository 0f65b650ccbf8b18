"""Starts the real parts: vLLM servers, Gearshift, Prometheus."""

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import http, install
from .children import Child, Children, free_port
from .fleet import EMBEDDER, SMOL, TINY, Engine, Gearshift
from .paths import E2E, RUN
from .waiting import until

LOCAL = "127.0.0.1"
TOKEN = "end-to-end"
TINY_ALIAS = "tiny-chat"
TOKEN_VARIABLE = "GEARSHIFT_E2E_TOKEN"
ENGINE_START_S = 420.0
SHORT_START_S = 30.0

GEARSHIFT_ENVIRONMENT = {TOKEN_VARIABLE: TOKEN, "GEARSHIFT_LOG": "info"}

ENGINE_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # GiB.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Opens the endpoints that control the engine, to see that the proxy does not pass them on.
    "VLLM_SERVER_DEV_MODE": "1",
    # Three engines share the machine: none may claim its cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}
ENGINE_FLAGS = (
    "--enforce-eager",
    # Rounding then no longer depends on which requests share a step: greedy answers repeat exactly.
    "--dtype=float32",
    "--enable-prompt-tokens-details",
    "--enable-server-load-tracking",
)


@dataclass(frozen=True)
class EngineSpec:
    """A vLLM server to start."""

    name: str
    served: str
    script: str
    flags: Sequence[str]


ENGINES = (
    EngineSpec(
        "smol",
        SMOL,
        "smollm2.py",
        (
            "--max-model-len=2048",
            "--max-num-seqs=32",
            "--enable-auto-tool-choice",
            "--tool-call-parser=hermes",
        ),
    ),
    EngineSpec(
        "tiny-caching",
        TINY,
        "tiny_llama.py",
        ("--max-model-len=8192", "--max-num-seqs=64", "--max-num-batched-tokens=4096"),
    ),
    EngineSpec(
        "tiny-plain",
        TINY,
        "tiny_llama.py",
        (
            "--max-model-len=8192",
            "--max-num-seqs=32",
            "--max-num-batched-tokens=2048",
            "--no-enable-prefix-caching",
        ),
    ),
    EngineSpec(
        "embedder", EMBEDDER, "tiny_llama.py", ("--max-model-len=2048", "--runner=pooling", "--convert=embed")
    ),
)


def start_engine(children: Children, spec: EngineSpec) -> Engine:
    """Starts a server; it is not ready yet."""
    port = free_port()
    command: list[str | Path] = [
        install.ENGINE / "bin" / "vllm",
        "serve",
        install.model(spec.script),
        f"--served-model-name={spec.served}",
        f"--host={LOCAL}",
        f"--port={port}",
        *ENGINE_FLAGS,
        *spec.flags,
    ]
    child = children.add(Child(spec.name, command, RUN / f"{spec.name}.log", ENGINE_ENVIRONMENT))
    return Engine(spec.name, spec.served, f"http://{LOCAL}:{port}", child.pid)


def await_engine(children: Children, engine: Engine) -> None:
    """Waits until a server answers; an engine that ended meanwhile is an error at once."""

    def ready() -> bool:
        children.check()
        return http.answers(engine.url, "/health")

    until(f"{engine.name} answers", ready, ENGINE_START_S)


class AtTemplate(string.Template):
    """`@{name}`, because the configuration itself knows `${NAME}`."""

    delimiter = "@"
    idpattern = r"[a-z0-9_-]+"


def configuration(values: Mapping[str, str], template: str = "gearshift.yaml.in") -> str:
    """Gearshift's configuration file with the run's addresses."""
    return AtTemplate((E2E / template).read_text()).substitute(values)


def start_gearshift(
    children: Children,
    binary: Path,
    config: Path,
    urls: Mapping[str, str],
) -> Gearshift:
    """Writes the configuration to `config`, starts a proxy with it, and waits until it is ready."""
    listen, admin = (f"{LOCAL}:{free_port()}" for _ in range(2))
    values = {"listen": listen, "admin": admin, "models": str(install.MODELS), "tiny_alias": TINY_ALIAS}
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(configuration({**values, **urls}))
    name = config.stem
    command: list[str | Path] = [binary, "serve", "--config", config]
    log = RUN / f"{name}.log"
    child = children.add(Child(name, command, log, GEARSHIFT_ENVIRONMENT))

    def ready() -> bool:
        child.check()
        return http.answers(f"http://{admin}", "/readyz", TOKEN)

    until(f"{name} is ready", ready, SHORT_START_S)
    return Gearshift(f"http://{listen}", f"http://{admin}", TOKEN, binary, config, log, child.pid)


def start_prometheus(children: Children, gearshift: Gearshift, rules: Sequence[Path] = ()) -> str:
    """Starts a Prometheus that scrapes the proxy's admin listener every second, with rule files if wanted."""
    folder = RUN / "prometheus"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(
        "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 5s }\n"
        f"rule_files: {json.dumps([str(rule) for rule in rules])}\n"
        "scrape_configs:\n"
        "  - job_name: gearshift\n"
        f"    authorization: {{ credentials: {gearshift.token} }}\n"
        "    static_configs:\n"
        f"      - targets: ['{gearshift.admin.removeprefix('http://')}']\n"
    )
    port = free_port()
    command: list[str | Path] = [
        install.prometheus(),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOCAL}:{port}",
    ]
    child = children.add(Child("prometheus", command, RUN / "prometheus.log"))
    url = f"http://{LOCAL}:{port}"

    def ready() -> bool:
        child.check()
        return http.answers(url, "/-/ready")

    until("Prometheus is ready", ready, SHORT_START_S)
    return url
