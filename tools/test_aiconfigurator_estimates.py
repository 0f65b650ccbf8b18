"""Tests of aiconfigurator_estimates.py, without AIConfigurator."""

import contextlib
import csv
import io
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

import aiconfigurator_estimates as estimates

ROW = {
    "id": "r",
    "silicon_data_source": "source_file=x; silicon_concurrency=64",
    "backend": "vllm",
    "model_path": "deepseek-ai/DeepSeek-R1",
    "system": "b200_sxm",
    "precision": "fp8",
    "mode": "agg",
    "isl": "1024",
    "osl": "512",
    "gemm_quant_mode": "fp8",
    "moe_quant_mode": "fp8_block",
    "batch_size": "16",
    "tp_size": "8",
    "attention_dp_size": "1",
    "moe_tp_size": "8",
    "moe_ep_size": "1",
}


def sized(tensor, data, expert_tensor, experts):
    """The row with these sizes."""
    sizes = {"tp_size": tensor, "attention_dp_size": data, "moe_tp_size": expert_tensor, "moe_ep_size": experts}
    return {**ROW, **{name: str(size) for name, size in sizes.items()}}


class Questions(unittest.TestCase):
    """What AIConfigurator is asked."""

    def test_parallelism_is_mended(self):
        for sizes, wanted in {
            (8, 1, 8, 1): (8, False, False),
            (64, 1, 8, 8): (8, False, True),
            (1, 64, 8, 8): (8, True, True),
            (4, 4, 1, 16): (4, True, True),
            (1, 8, 1, 8): (8, True, True),
            (4, 1, 2, 2): (4, False, True),
        }.items():
            self.assertEqual(estimates.parallelism(sized(*sizes)), wanted, sizes)

    def test_the_load_is_per_replica(self):
        asked = dict(estimates.question(sized(1, 64, 8, 8))[0])
        self.assertEqual((asked["batch_size"], asked["tp_size"], asked["attention_dp_size"]), (8, 1, 8))
        self.assertEqual((asked["moe_tp_size"], asked["moe_ep_size"]), (1, 8))
        self.assertEqual(dict(estimates.question(ROW)[0])["batch_size"], 64)

    def test_dense_models_have_no_experts_and_split_serving_is_left_out(self):
        dense = dict(estimates.question({**ROW, "model_path": "meta-llama/Llama-3.1-70B"})[0])
        self.assertNotIn("moe_tp_size", dense)
        self.assertEqual(dense["model_path"], "meta-llama/Meta-Llama-3.1-70B")
        self.assertIsNone(estimates.question({**ROW, "mode": "disagg"}))


class Answers(unittest.TestCase):
    """What is written of them."""

    def test_the_next_precision_is_tried_and_what_has_no_data_is_left_out(self):
        asked = []

        def ask(**arguments):
            asked.append(arguments.get("fmha_quant_mode"))
            if arguments["model_path"] == "unknown" or "fmha_quant_mode" in arguments:
                raise ValueError("no data")
            return types.SimpleNamespace(ttft=100.0, tpot=12.5)

        with tempfile.TemporaryDirectory() as scratch:
            table, into = Path(scratch) / "table.csv", Path(scratch) / "estimates.csv"
            rows = [ROW, {**ROW, "id": "again"}, {**ROW, "id": "none", "model_path": "unknown"}]
            with open(table, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ROW)
                writer.writeheader()
                writer.writerows(rows)
            with mock.patch.object(estimates, "aiconfigurator", lambda: ask):
                with contextlib.redirect_stderr(io.StringIO()):
                    estimates.main(table, into)
            lines = into.read_text(encoding="utf-8").splitlines()
        self.assertEqual(lines, ["id,ttft_ms,tpot_ms", "r,100.0,12.5", "again,100.0,12.5"])
        self.assertEqual(asked[:2], ["fp8", None], "the same question is asked once")
        self.assertEqual(len(asked), 2 + 4)


if __name__ == "__main__":
    unittest.main()
