#!/usr/bin/env python3
"""Write AIConfigurator's own estimates of the measured runs in its `silicon_sample.csv` as CSV: `id,ttft_ms,tpot_ms`.

    tools/aiconfigurator_estimates.py .cache/aiconfigurator/silicon_sample.csv .cache/aiconfigurator/estimates.csv

Needs `pip install aiconfigurator==0.12.0` (Python 3.11, 300 MB); every engine is estimated by its own database, the newest
of the wheel, at the precision that the table states, or, where the database has none for it, at the one AIConfigurator
takes for the model. Runs that it has no data for are left out. `gearshift-train import silicon --estimates` reads the result.
"""

import csv
import math
import re
import sys
import time

COLUMNS = ["id", "ttft_ms", "tpot_ms"]
# Models whose shape AIConfigurator ships under another name.
NAMES = {
    "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama/Meta-Llama-3.1-8B",
    "zhipuai/GLM-5": "zai-org/GLM-5",
}


def whole(text):
    """A size of the table: at least 1, also where it is empty."""
    return max(1, int(float(text or 1)))


def parallelism(row):
    """(GPUs, data parallel, experts parallel) of a row, mended as `gearshift-train import silicon` does."""
    tensor, data = whole(row["tp_size"]), whole(row["attention_dp_size"])
    expert_tensor, experts = whole(row["moe_tp_size"]), whole(row["moe_ep_size"])
    squared = expert_tensor >= 4 and expert_tensor == experts
    gpus = tensor
    if squared and (data == 1 and tensor == expert_tensor * experts or data > 1 and tensor == 1):
        gpus = expert_tensor
    elif data > 1 and tensor == 1:
        gpus = data
    return gpus, data > 1, experts > 1


def concurrency(row):
    """Requests in flight, or None."""
    noted = re.search(r"silicon_concurrency=(\d+)", row["silicon_data_source"])
    text = noted[1] if noted else row["batch_size"]
    return int(float(text)) if text else None


def question(row):
    """What AIConfigurator is asked: arguments of its estimate, as a tuple of pairs. None where the row has no load."""
    gpus, data, experts = parallelism(row)
    load = concurrency(row)
    if row["mode"] != "agg" or not load:
        return None
    sparse = "Llama" not in row["model_path"] and row["model_path"] != "Qwen/Qwen3-32B"
    asked = {
        "model_path": NAMES.get(row["model_path"], row["model_path"]),
        "system_name": row["system"],
        "backend_name": row["backend"],
        "isl": int(float(row["isl"])),
        "osl": int(float(row["osl"])),
        # Per replica of attention, as AIConfigurator counts.
        "batch_size": max(1, math.ceil(load / gpus) if data else load),
        "tp_size": 1 if data else gpus,
        "attention_dp_size": gpus if data else 1,
    }
    if sparse:
        asked["moe_tp_size"], asked["moe_ep_size"] = (1, gpus) if experts else (gpus, 1)
    return tuple(sorted(asked.items())), (row["gemm_quant_mode"], row["moe_quant_mode"], row["precision"])


def modes(precision):
    """Quantization to try, best first: as the table says, then what AIConfigurator takes for the model."""
    gemm, experts, name = precision
    if gemm:
        stated = {"gemm_quant_mode": gemm, "moe_quant_mode": experts or gemm}
        yield {**stated, "kvcache_quant_mode": "fp8", "fmha_quant_mode": "fp8"}
        yield {**stated, "kvcache_quant_mode": "fp8"}
        yield stated
    elif name == "bf16":
        yield {"gemm_quant_mode": "bfloat16", "moe_quant_mode": "bfloat16"}
    yield {}


def estimate(ask, asked, precision):
    """(ttft, tpot) in ms, or why there is none."""
    why = ""
    for mode in modes(precision):
        try:
            result = ask(**dict(asked), **mode)
        except Exception as error:  # its errors have no common class
            why = str(error).replace("\n", " ")[:120]
            continue
        if result.ttft > 0 and result.tpot > 0:
            return (round(float(result.ttft), 3), round(float(result.tpot), 4)), ""
    return None, why or "no figures"


def memoised(function):
    """Each call parses some 500 YAML files otherwise: 2 s instead of 20 ms."""
    known = {}

    def remember(*arguments, **named):
        key = repr((arguments, sorted(named.items())))
        if key not in known:
            known[key] = function(*arguments, **named)
        return known[key]

    return remember


def aiconfigurator():
    """AIConfigurator's estimate as a function."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    import aiconfigurator.cli.api as api
    import aiconfigurator_core.sdk.perf_database as database

    for name in ("get_supported_databases", "get_latest_database_version"):
        quick = memoised(getattr(database, name))
        setattr(database, name, quick)
        if hasattr(api, name):
            setattr(api, name, quick)
    return api.cli_estimate


def main(table, into):
    """Estimate every row of `table`, each question once."""
    ask = aiconfigurator()
    with open(table, newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["system"], row["backend"], row["model_path"]))
    known, reasons, began, found = {}, {}, time.monotonic(), 0
    with open(into, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for index, row in enumerate(rows):
            asked = question(row)
            if asked is None:
                continue
            if asked not in known:
                known[asked], why = estimate(ask, *asked)
                reasons[why] = reasons.get(why, 0) + 1
            if known[asked]:
                writer.writerow((row["id"], *known[asked]))
                found += 1
            if index % 200 == 0:
                file.flush()
                print(f"{index}/{len(rows)} rows, {found} estimates, {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(f"{found} estimates, {len(known)} questions", file=sys.stderr)
    for why, count in sorted(reasons.items(), key=lambda item: -item[1])[:20]:
        print(f"{count:5} {why or 'answered'}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
