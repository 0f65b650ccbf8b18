"""Tests of aiconfigurator_sweep.py, with a stand-in for AIConfigurator."""

import csv
import itertools
import random
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

import aiconfigurator_sweep as sweep


def estimate(**asked):
    """Refuses whatever has one accelerator, as a model that does not fit."""
    if asked["tp_size"] * asked["attention_dp_size"] == 1:
        raise ValueError("out of memory")
    return SimpleNamespace(backend_version="0.24.0", ttft=asked["isl"] / 10, tpot=8.0 / asked["tp_size"])


class Sweep(unittest.TestCase):
    """What is asked, and what comes of it."""

    def setUp(self):
        self.contexts = list(itertools.islice(sweep.contexts(random.Random(sweep.SEED)), 300))

    def test_draws_are_the_same_again_and_cover_every_pair(self):
        again = list(itertools.islice(sweep.contexts(random.Random(sweep.SEED)), 300))
        self.assertEqual(self.contexts, again)
        pairs = {(one["system"], one["model"]) for one in self.contexts}
        self.assertEqual(len(pairs), len(sweep.SYSTEMS) * len(sweep.MODELS))

    def test_what_is_cached_is_less_than_the_prompt(self):
        for context in self.contexts:
            self.assertLess(context["cached"], context["prompt"])
            self.assertEqual(context["cached"] % sweep.BLOCK, 0)

    def test_a_chunk_counts_uncached_tokens(self):
        context = self.contexts[0] | {"prompt": 4096, "cached": 2048, "model": "Qwen/Qwen3-8B"}
        asked = sweep.arguments(context, (True, 512, "auto", "published", 0, (1, 1, 1, 1)))
        self.assertEqual((asked["prefix"], asked["ctx_tokens"]), (2048, 1024))
        asked = sweep.arguments(context, (False, None, "auto", "published", 0, (1, 1, 1, 1)))
        self.assertEqual((asked["prefix"], asked["ctx_tokens"]), (0, 4096))

    def test_a_context_has_both_anchors_on_the_smallest_layout_that_fits(self):
        rows = sweep.estimates(estimate, self.contexts[0], 0)
        first, second = (dict(zip(sweep.COLUMNS, row)) for row in rows[:2])
        self.assertEqual((first["count"], first["prefix_caching"], first["step_tokens"]), (2, 0, ""))
        self.assertEqual((second["count"], second["prefix_caching"], second["step_tokens"]), (2, 1, 8192))
        self.assertLessEqual(len(rows), sweep.ACTIONS)
        self.assertEqual(len({row[8] for row in rows}), len(rows))

    def test_a_second_run_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sweep.csv"
            sweep.sweep(estimate, path, 0)
            sweep.sweep(estimate, path, 0)
            with open(path, newline="") as file:
                numbers = [int(line["context"]) for line in csv.DictReader(file)]
        self.assertEqual(sorted(set(numbers)), [0, 1])


if __name__ == "__main__":
    unittest.main()
