#!/usr/bin/env python3
"""Fetch ONNX Runtime's shared library and print its path.

Gearshift loads ONNX Runtime at run time. The library comes out of the official PyPI wheel, pinned by
version and hash, and is kept in `.cache/onnxruntime/`, so a second run needs no network. Set
`ORT_DYLIB_PATH` to use a library of your own; then nothing is fetched.

The path alone goes to stdout, so that it can be taken by `ORT_DYLIB_PATH=$(tools/fetch_onnxruntime.py)`.
"""

import os
import platform
import sys
import tempfile
from pathlib import Path

import pinned
from pinned import FetchError, Source

VERSION = "1.31.1"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "onnxruntime"


def source(tag, wheel_sha256, library_sha256):
    """The library in the wheel of a platform tag."""
    return Source(
        package="onnxruntime",
        version=VERSION,
        wheel_sha256=wheel_sha256,
        member=f"onnxruntime/capi/libonnxruntime.so.{VERSION}",
        sha256=library_sha256,
        platform=("--implementation", "cp", "--python-version", "3.11", "--platform", tag),
    )


# The cp311 wheels serve every Python: only the C library in them is used.
SOURCES = {
    ("Linux", "x86_64"): source(
        "manylinux_2_28_x86_64",
        "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
        "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3",
    ),
    ("Linux", "aarch64"): source(
        "manylinux_2_28_aarch64",
        "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
        "8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467",
    ),
}


def source_for_this_machine():
    """The library for this platform, or a FetchError that names the platforms there are."""
    here = (platform.system(), platform.machine())
    libc = platform.libc_ver()[0]
    if here not in SOURCES or libc != "glibc":
        known = ", ".join(" ".join(key) for key in SOURCES)
        raise FetchError(
            f"no pinned ONNX Runtime for {' '.join(here)} ({libc or 'no glibc'}); "
            f"there is one for {known}, with glibc.\n"
            "A libonnxruntime of your own has to be of ONNX Runtime API 24 or newer."
        )
    return SOURCES[here]


def fetch(cache=CACHE):
    """Path of the cached library; downloads it first where it is missing or damaged."""
    wanted = source_for_this_machine()
    if pinned.is_there(wanted, cache):
        return cache / wanted.name
    cache.mkdir(parents=True, exist_ok=True)
    # Built beside its final name and renamed: a reader never sees half a library, and two fetches at
    # once both end well.
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
        os.replace(pinned.fetch(wanted, Path(scratch)), cache / wanted.name)
    return cache / wanted.name


def main():
    """Print the library's path, or why there is none; returns the exit code."""
    own = os.environ.get("ORT_DYLIB_PATH")
    if own and not Path(own).is_file():
        print(f"fetch_onnxruntime: ORT_DYLIB_PATH is set, but there is no file {own}.", file=sys.stderr)
        return 1
    try:
        print(own or fetch())
    except FetchError as error:
        print(f"fetch_onnxruntime: {error}\nOr set ORT_DYLIB_PATH.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
