#!/usr/bin/env python3
"""Fetch AIConfigurator's measurements and write them as CSV into `.cache/aiconfigurator/`.

The wheel of `aiconfigurator-core` on PyPI (Apache-2.0) holds kernel timings of vLLM by GPU, as Parquet, and a table
of measured serving runs. `gearshift-loadtest fit-hardware` fits the simulator's factors to the timings,
`gearshift-loadtest validate` compares the simulator with the runs. The wheel is pinned by hash, the Parquet reader by version:

    .cache/aiconfigurator/silicon_sample.csv
    .cache/aiconfigurator/kernels/GPU/{gemm,decode_attention,prefill_attention,experts,all_reduce}.csv

A second run finds everything there. The directory's path goes to stdout.
"""

import csv
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from pinned import sha256

CORE = "aiconfigurator-core==0.12.0"
CORE_SHA256 = "aadc4aad0a00bf8a61c477c62bef43de479849c3aa0b1c3078068e08309eccc4"
READER = "pyarrow==26.0.1"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "aiconfigurator"
SYSTEMS = "aiconfigurator_core/systems/"

# Directory and file of each kind of kernel, and the columns that are kept, in order; a column that a
# file lacks is left empty.
KINDS = {
    "gemm": ("gemm", "gemm_perf", ["kernel_source", "gemm_dtype", "m", "n", "k"]),
    "decode_attention": (
        "attention",
        "generation_attention_perf",
        ["kernel_source", "kv_cache_dtype", "batch_size", "step", "num_heads", "num_key_value_heads"]
        + ["head_dim", "window_size"],
    ),
    "prefill_attention": (
        "attention",
        "context_attention_perf",
        ["kernel_source", "kv_cache_dtype", "batch_size", "isl", "num_heads", "num_key_value_heads"]
        + ["head_dim", "window_size"],
    ),
    "experts": (
        "moe",
        "moe_perf",
        ["kernel_source", "moe_dtype", "num_tokens", "hidden_size", "inter_size", "topk", "num_experts"]
        + ["moe_tp_size", "moe_ep_size", "distribution"],
    ),
    "all_reduce": ("comm", "custom_allreduce_perf", ["kernel_source", "num_gpus", "message_size"]),
}
TAIL = ["version", "latency", "power", "power_limit"]


class ExportError(Exception):
    """Why there are no tables; the message tells the reader what to do."""


def release(text):
    """A version as a tuple that sorts, or None for a development build."""
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else None


def newest(names, directory, file):
    """For each GPU the newest release of vLLM with this file: {gpu: (version, name in the wheel)}."""
    found = {}
    for name in names:
        parts = name.removeprefix(SYSTEMS + "data/").split("/")
        if not name.startswith(SYSTEMS + "data/") or len(parts) != 5:
            continue
        gpu, kind, engine, version, leaf = parts
        if (kind, engine, leaf) != (directory, "vllm", f"{file}.parquet") or release(version) is None:
            continue
        if gpu not in found or release(found[gpu][0]) < release(version):
            found[gpu] = (version, name)
    return found


def with_power(names, directory, file):
    """The file of the one release that also measured power, by GPU, where it is not the newest."""
    # Only this release of the collection has power; the newest timings replace everything else in it.
    version = "0.22.0"
    name = f"{SYSTEMS}data/b200_sxm/{directory}/vllm/{version}/{file}.parquet"
    return {"b200_sxm": (version, name)} if name in names else {}


def rows(table, columns, version):
    """Rows of a table (a mapping of columns to lists) with the columns kept, in order."""
    length = len(table["latency"])
    table = {**table, "version": [version] * length}
    chosen = [table.get(column, [""] * length) for column in columns + TAIL]
    return zip(*chosen)


def write(path, columns, parts):
    """Write CSV beside its final name, then rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, newline="", delete=False) as file:
        writer = csv.writer(file)
        writer.writerow(columns + TAIL)
        for part in parts:
            writer.writerows(part)
    os.replace(file.name, path)


def export(wheel, into, read_parquet):
    """Write every table of the wheel; `read_parquet` turns a Parquet file's path into columns of lists."""
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory(dir=into) as scratch:
        names = set(archive.namelist())

        def part(version, name, columns):
            return rows(read_parquet(archive.extract(name, scratch)), columns, version)

        for kind, (directory, file, columns) in KINDS.items():
            powered = with_power(names, directory, file)
            for gpu, (version, name) in sorted(newest(names, directory, file).items()):
                print(f"aiconfigurator: {gpu} {kind}, vLLM {version}", file=sys.stderr)
                parts = [part(version, name, columns)]
                if gpu in powered and powered[gpu][0] != version:
                    parts.append(part(*powered[gpu], columns))
                write(into / "kernels" / gpu / f"{kind}.csv", columns, parts)
        sample = Path(archive.extract(SYSTEMS + "silicon_sample.csv", scratch))
        os.replace(sample, into / "silicon_sample.csv")


def pip(*arguments, python=sys.executable):
    """Run a Python's pip, or say why that failed."""
    command = [python, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        raise ExportError("pip failed, see above. This needs PyPI, once: 140 MB.")


def download(cache):
    """Path of the cached wheel, fetched where it is missing; its hash is checked either way."""
    wheels = list(cache.glob("aiconfigurator_core-*.whl"))
    if not wheels:
        print(f"aiconfigurator: fetching {CORE} (82 MB)", file=sys.stderr)
        options = ["--no-deps", "--only-binary=:all:", "--python-version", "3.11"]
        pip("download", *options, "--platform", "manylinux_2_28_x86_64", "-d", str(cache), CORE)
        wheels = list(cache.glob("aiconfigurator_core-*.whl"))
    if len(wheels) != 1 or sha256(wheels[0]) != CORE_SHA256:
        raise ExportError(f"the wheel of {CORE} in {cache} is not the pinned one; remove it and run again")
    return wheels[0]


def inside_environment(cache):
    """Run this script again in an environment that has the Parquet reader, made where it is missing."""
    environment = cache / "venv"
    python = environment / "bin" / "python"
    if Path(sys.prefix) == environment:
        raise ExportError(f"{READER} does not load in {environment}; remove it and run again")
    if not python.exists():
        venv.create(environment, with_pip=True)
    pip("install", READER, python=python)
    return subprocess.run([python, __file__], check=False).returncode


def main():
    """Export where nothing is there yet and print the directory; returns the exit code."""
    complete = CACHE / "complete"
    if complete.exists() and complete.read_text() == CORE_SHA256:
        print(CACHE)
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        try:
            from pyarrow import parquet
        except ImportError:
            return inside_environment(CACHE)
        export(download(CACHE), CACHE, lambda path: parquet.read_table(path).to_pydict())
        complete.write_text(CORE_SHA256)
        print(CACHE)
    except ExportError as error:
        print(f"aiconfigurator_kernels: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
