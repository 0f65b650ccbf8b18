#!/usr/bin/env python3
"""Estimate serving runs with AIConfigurator and write them as CSV: `.cache/aiconfigurator/sweep.csv`.

AIConfigurator (PyPI, Apache-2.0) puts times together from kernels that were measured on each GPU. It is asked for what
its kernel tables of vLLM cover: GPUs × models × workloads × knobs, drawn by a seed, in an order that makes any first
part of the sweep a sample of the whole. `--minutes` ends it, and a second run goes on where the first one ended.

Two things it lacks are not made up here. It knows no host: `gearshift-loadtest sweep --estimates` adds the simulator's
overheads. And its prefix mode lets every request hit all of `prefix`: what is asked for is the part of a prompt that
workloads like it really find in a cache (SHAPES, held by the tests of the load generator).

    tools/aiconfigurator_sweep.py --minutes 25
"""

import argparse
import csv
import itertools
import random
import subprocess
import sys
import time
import venv
from pathlib import Path

from aiconfigurator_estimates import aiconfigurator

PACKAGE = "aiconfigurator==0.12.0"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "aiconfigurator"
SEED = 4

# Its name of each GPU and model, and the catalog's.
SYSTEMS = {
    "a100_sxm": "a100_sxm_80gb",
    "l40s": "l40s",
    "rtx_pro_6000_server": "rtx_pro_6000",
    "h100_sxm": "h100_sxm",
    "h200_sxm": "h200_sxm",
    "b200_sxm": "b200_sxm",
    "b300_sxm": "b300_sxm",
    "gb200": "gb200",
    "gb300": "gb300",
}
DENSE = {
    "Qwen/Qwen3-0.6B": "qwen3-0.6b",
    "Qwen/Qwen3-1.7B": "qwen3-1.7b",
    "Qwen/Qwen3-8B": "qwen3-8b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "meta-llama/Meta-Llama-3.1-8B": "llama-3.1-8b",
    "meta-llama/Meta-Llama-3.1-70B": "llama-3.1-70b",
    "meta-llama/Meta-Llama-3.1-405B": "llama-3.1-405b",
}
SPARSE = {
    "openai/gpt-oss-20b": "gpt-oss-20b",
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "Qwen/Qwen3-30B-A3B": "qwen3-30b-a3b",
    "Qwen/Qwen3-235B-A22B": "qwen3-235b-a22b",
    "deepseek-ai/DeepSeek-V3": "deepseek-v3",
}
MODELS = DENSE | SPARSE

# Prompt and answer (mean tokens of the load generator's classes) and the share of the prompt that an unbounded prefix
# cache holds, as a range.
SHAPES = {
    "chat": (1155, 211, (0.30, 0.60)),
    "rag": (1500, 180, (0.20, 0.60)),
    "agent": (7000, 96, (0.80, 0.95)),
    "code": (2048, 28, (0.50, 0.80)),
    "summary": (6800, 270, (0.0, 0.05)),
    "reasoning": (270, 2000, (0.0, 0.15)),
}
CONCURRENCIES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
CHUNKS = [256, 512, 1024, 2048, 4096, 8192]
# Tokens accepted beyond the first: the middle of acceptance lengths measured for heads on code (1.6–1.8, 2.2–2.8).
ACCEPTED = {0: None, 1: 0.7, 3: 1.5}
COUNTS = [1, 2, 4, 8]
ACTIONS = 10
BLOCK = 16

COLUMNS = (
    "context system model workload prompt output cached concurrency action prefix_caching step_tokens kv weights "
    "drafts count tp dp ep version ttft_ms tpot_ms"
).split()


def contexts(generator):
    """All (system, model) pairs again and again, each time shuffled, each with a workload of its own; endless."""
    pairs = list(itertools.product(SYSTEMS, MODELS))
    for number in itertools.count():
        if number % len(pairs) == 0:
            generator.shuffle(pairs)
        system, model = pairs[number % len(pairs)]
        workload = generator.choice(list(SHAPES))
        prompt, output, (low, high) = SHAPES[workload]
        prompt = round(prompt * 2 ** generator.uniform(-1, 1))
        output = max(2, round(output * 2 ** generator.uniform(-1, 1)))
        cached = int(prompt * generator.uniform(low, high)) // BLOCK * BLOCK
        yield {
            "context": number,
            "system": system,
            "model": model,
            "workload": workload,
            "prompt": prompt,
            "output": output,
            "cached": cached,
            "concurrency": generator.choice(CONCURRENCIES),
        }


def layouts(model, concurrency):
    """(accelerators, tensor, data, expert) that are possible."""
    found = [(count, count, 1, 1) for count in COUNTS]
    if model in SPARSE:
        found += [(count, count, 1, count) for count in COUNTS[1:]]
        found += [(count, 1, count, count) for count in COUNTS[1:] if count <= concurrency]
    return found


def actions(generator, context):
    """Everything off and vLLM's defaults on each layout, and as many drawn ones; in an order to be tried in."""
    possible = layouts(context["model"], context["concurrency"])
    anchors = []
    for layout in possible[: len(COUNTS)]:
        anchors.append((False, None, "auto", "published", 0, layout))
        anchors.append((True, 8192, "auto", "published", 0, layout))
    weights = ["published", "fp8"] if "Qwen" in context["model"] or "llama" in context["model"] else ["published"]
    drawn = [
        (
            generator.random() < 0.7,
            generator.choice(CHUNKS),
            generator.choice(["auto", "auto", "fp8"]),
            generator.choice(weights),
            generator.choice([0, 0, 1, 3]),
            generator.choice(possible),
        )
        for _ in range(4 * ACTIONS)
    ]
    return anchors, drawn


def arguments(context, action):
    """What `cli_estimate` takes."""
    caching, chunk, kv, weights, drafts, (_, tensor, data, expert) = action
    prefix = context["cached"] if caching else 0
    uncached = context["prompt"] - prefix
    arguments = {
        "model_path": context["model"],
        "system_name": context["system"],
        "backend_name": "vllm",
        "isl": context["prompt"],
        "osl": context["output"],
        "batch_size": max(1, context["concurrency"] // data),
        "prefix": prefix,
        # It counts cached tokens as part of a step. Never more than one prompt: in a steady state they come one by one.
        "ctx_tokens": min(context["prompt"], round((chunk or uncached) * context["prompt"] / uncached)),
        "tp_size": tensor,
        "attention_dp_size": data,
        "max_seq_len": context["prompt"] + context["output"],
    }
    if context["model"] in SPARSE:
        arguments |= {"moe_tp_size": tensor * data // expert, "moe_ep_size": expert}
    if kv == "fp8":
        arguments["kvcache_quant_mode"] = "fp8"
    if weights == "fp8":
        arguments["gemm_quant_mode"] = "fp8"
        if context["model"] in SPARSE:
            arguments["moe_quant_mode"] = "fp8"
    if drafts:
        arguments |= {"nextn": drafts, "nextn_accepted": ACCEPTED[drafts]}
    return arguments


def row(context, action, estimate):
    """One line of the table."""
    caching, chunk, kv, weights, drafts, (count, tensor, data, expert) = action
    name = "-".join(
        [f"tp{tensor}", f"dp{data}", f"ep{expert}", "cache" if caching else "plain", f"c{chunk or 'whole'}"]
        + [f"kv{kv}", f"w{weights}", f"s{drafts}"]
    )
    cells = context | {
        "system": SYSTEMS[context["system"]],
        "model": MODELS[context["model"]],
        "cached": context["cached"] if caching else 0,
        "action": name,
        "prefix_caching": int(caching),
        "step_tokens": chunk or "",
        "kv": kv,
        "weights": weights,
        "drafts": drafts,
        "count": count,
        "tp": tensor,
        "dp": data,
        "ep": expert,
        "version": estimate.backend_version,
        "ttft_ms": round(float(estimate.ttft), 4),
        "tpot_ms": round(float(estimate.tpot), 5),
    }
    return [cells[column] for column in COLUMNS]


def estimates(estimate, context, seed):
    """Rows of one context; what does not fit or is not in the tables is left out."""
    anchors, drawn = actions(random.Random(seed), context)
    # The anchors of the smallest layout that fits, then others until there are enough.
    rows, names = [], set()
    for action in anchors + drawn:
        if len(rows) >= (2 if action in anchors else ACTIONS):
            continue
        try:
            found = row(context, action, estimate(**arguments(context, action)))
        except Exception:  # Its errors have no common type: no memory, no such kernel, no such mode.
            continue
        if found[COLUMNS.index("action")] not in names:
            names.add(found[COLUMNS.index("action")])
            rows.append(found)
    return rows if len(rows) > 1 else []


def inside_environment():
    """Run this script again in an environment that has AIConfigurator, made where it is missing."""
    environment = CACHE / "sweep-venv"
    python = environment / "bin" / "python"
    if Path(sys.prefix) == environment:
        raise SystemExit(f"aiconfigurator_sweep: {PACKAGE} does not load in {environment}; remove it and run again")
    if not python.exists():
        venv.create(environment, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
    subprocess.run(command, stdout=sys.stderr, check=True)
    return subprocess.run([python, __file__, *sys.argv[1:]], check=False).returncode


def done(path):
    """The last context in the table; -1 where there is none. Contexts are written whole."""
    if not path.exists():
        return -1
    with open(path, newline="") as file:
        return max((int(line["context"]) for line in csv.DictReader(file)), default=-1)


def sweep(estimate, path, minutes):
    """Append contexts to the table until the time is over; returns rows written."""
    last, start, written = done(path), time.monotonic(), 0
    fresh = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(COLUMNS)
        for context in contexts(random.Random(SEED)):
            if context["context"] <= last:
                continue
            rows = estimates(estimate, context, context["context"])
            writer.writerows(rows)
            file.flush()
            written += len(rows)
            elapsed = time.monotonic() - start
            if context["context"] % 20 == 0:
                print(f"\rcontext {context['context']}, {written} rows, {elapsed:.0f} s", end="", file=sys.stderr)
            if elapsed > 60 * minutes:
                print(file=sys.stderr)
                return written


def main():
    """Sweep; the table's path goes to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=25, help="how long to go on (default 25)")
    parser.add_argument("--out", type=Path, default=CACHE / "sweep.csv", help="the table")
    options = parser.parse_args()
    try:
        estimate = aiconfigurator()
    except ImportError:
        return inside_environment()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sweep(estimate, options.out, options.minutes)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
