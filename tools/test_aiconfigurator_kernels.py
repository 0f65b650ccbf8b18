"""Tests of aiconfigurator_kernels.py. Nothing here touches the network, and no Parquet reader is needed."""

import contextlib
import csv
import io
import tempfile
import unittest
import zipfile
from pathlib import Path

import aiconfigurator_kernels as exporter

DATA = exporter.SYSTEMS + "data/"


class Choice(unittest.TestCase):
    """Which file of the wheel is taken."""

    def test_versions_sort_as_numbers_and_development_builds_are_none(self):
        self.assertLess(exporter.release("0.9.1"), exporter.release("0.24.0"))
        self.assertIsNone(exporter.release("0.1.dev19262"))

    def test_the_newest_release_of_vllm_is_taken(self):
        names = [
            f"{DATA}h100/gemm/vllm/0.9.0/gemm_perf.parquet",
            f"{DATA}h100/gemm/vllm/0.24.0/gemm_perf.parquet",
            f"{DATA}h100/gemm/vllm/0.24.dev1/gemm_perf.parquet",
            f"{DATA}h100/gemm/sglang/0.99.0/gemm_perf.parquet",
            f"{DATA}h100/moe/vllm/0.99.0/moe_perf.parquet",
            "elsewhere/h100/gemm/vllm/0.99.0/gemm_perf.parquet",
        ]
        self.assertEqual(exporter.newest(names, "gemm", "gemm_perf"), {"h100": ("0.24.0", names[1])})


class Export(unittest.TestCase):
    """A wheel of one table, read by a stand-in for the Parquet reader."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.into = Path(scratch.name) / "out"
        self.into.mkdir()
        self.wheel = Path(scratch.name) / "core.whl"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr(f"{DATA}h100/gemm/vllm/0.24.0/gemm_perf.parquet", "m n k\n1 2 3\n")
            archive.writestr(exporter.SYSTEMS + "silicon_sample.csv", "id\n")

    @staticmethod
    def read(path):
        header, *lines = [line.split() for line in Path(path).read_text().splitlines()]
        columns = {name: [line[index] for line in lines] for index, name in enumerate(header)}
        return {**columns, "latency": [0.5] * len(lines)}

    def test_tables_have_their_columns_and_gaps_are_empty(self):
        with contextlib.redirect_stderr(io.StringIO()):
            exporter.export(self.wheel, self.into, self.read)
        with open(self.into / "kernels" / "h100" / "gemm.csv", newline="") as file:
            header, row = csv.reader(file)
        self.assertEqual(header, exporter.KINDS["gemm"][2] + exporter.TAIL)
        self.assertEqual(row, ["", "", "1", "2", "3", "0.24.0", "0.5", "", ""])
        self.assertEqual((self.into / "silicon_sample.csv").read_text(), "id\n")

    def test_a_wheel_that_is_not_the_pinned_one_is_refused(self):
        self.wheel.rename(self.into / "aiconfigurator_core-0.0.0-py3-none-any.whl")
        with self.assertRaisesRegex(exporter.ExportError, "not the pinned one"):
            exporter.download(self.into)


if __name__ == "__main__":
    unittest.main()
