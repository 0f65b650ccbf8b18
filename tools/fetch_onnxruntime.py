#!/usr/bin/env python3
"""Fetch ONNX Runtime's shared library and print its path.

Gearshift loads ONNX Runtime at run time. The library comes out of the official PyPI wheel, pinned by
version and hash, and is kept in `.cache/onnxruntime/`, so a second run needs no network. Set
`ORT_DYLIB_PATH` to use a library of your own; then nothing is fetched.

The path alone goes to stdout, so that it can be taken by `ORT_DYLIB_PATH=$(tools/fetch_onnxruntime.py)`.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.31.1"
LIBRARY = f"libonnxruntime.so.{VERSION}"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "onnxruntime"


class FetchError(Exception):
    """Why there is no library; the message tells the reader what to do."""


@dataclass(frozen=True)
class Wheel:
    """One wheel on PyPI: its platform tag, its SHA-256 and that of the library in it."""

    tag: str
    sha256: str
    library_sha256: str


# The cp311 wheels serve every Python: only the C library in them is used.
WHEELS = {
    ("Linux", "x86_64"): Wheel(
        "manylinux_2_28_x86_64",
        "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
        "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    ),
    ("Linux", "aarch64"): Wheel(
        "manylinux_2_28_aarch64",
        "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
        "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    ),
}


def wheel_for_this_machine():
    """The wheel for this platform, or a FetchError that names the platforms there are."""
    here = (platform.system(), platform.machine())
    libc = platform.libc_ver()[0]
    if here not in WHEELS or libc != "glibc":
        known = ", ".join(" ".join(key) for key in WHEELS)
        raise FetchError(
            f"no pinned ONNX Runtime for {' '.join(here)} ({libc or 'no glibc'}); "
            f"there is one for {known}, with glibc.\n"
            "Set ORT_DYLIB_PATH to a libonnxruntime of your own (ONNX Runtime API 24 or newer)."
        )
    return WHEELS[here]


def sha256(path):
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def download(wheel, into):
    """Let pip download the wheel into the directory `into`; pip checks the hash."""
    requirements = into / "requirements.txt"
    requirements.write_text(f"onnxruntime=={VERSION} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]
    command += ["--platform", wheel.tag, "--require-hashes", "-r", str(requirements), "-d", str(into)]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    wheels = list(into.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise FetchError(
            f"pip could not download onnxruntime {VERSION} (exit code {done.returncode}); see above.\n"
            "This needs pip (`python3 -m ensurepip`, or Debian's python3-pip) and PyPI, once; "
            "or set ORT_DYLIB_PATH."
        )
    return wheels[0]


def fetch(cache=CACHE):
    """Path of the cached library; downloads it first where it is missing or damaged."""
    wheel = wheel_for_this_machine()
    library = cache / LIBRARY
    if library.is_file() and sha256(library) == wheel.library_sha256:
        return library
    cache.mkdir(parents=True, exist_ok=True)
    # Built beside its final name and renamed: a reader never sees half a library, and two fetches at
    # once both end well.
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
        archive = download(wheel, Path(scratch))
        with zipfile.ZipFile(archive) as opened:
            extracted = Path(opened.extract(f"onnxruntime/capi/{LIBRARY}", scratch))
        if (found := sha256(extracted)) != wheel.library_sha256:
            raise FetchError(f"{LIBRARY} has SHA-256 {found}, expected {wheel.library_sha256}.")
        os.replace(extracted, library)
    return library


def main():
    """Print the library's path, or why there is none; returns the exit code."""
    try:
        own = os.environ.get("ORT_DYLIB_PATH")
        if own and not Path(own).is_file():
            raise FetchError(f"ORT_DYLIB_PATH is set, but there is no file {own}.")
        print(own or fetch())
    except FetchError as error:
        print(f"fetch_onnxruntime: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
