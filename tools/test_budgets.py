"""Tests of budgets.py."""

import contextlib
import io
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import budgets

# Put together here, so that this file passes the check itself.
HOME_PATH = "/" + "home/someone/gearshift"
IGNORED = "#[" + "ignore]"


def found(path, text):
    """The findings without their wording: (is_error, line)."""
    return [(is_error, line) for is_error, line, _ in budgets.findings(path, text)]


class Findings(unittest.TestCase):
    """One file's text in, findings out."""

    def test_size_warns_then_fails(self):
        self.assertEqual(found("a.rs", "x\n" * budgets.WARN_LINES), [])
        self.assertEqual(found("a.rs", "x\n" * (budgets.WARN_LINES + 1)), [(False, budgets.WARN_LINES + 1)])
        self.assertEqual(found("a.rs", "x\n" * budgets.MAX_LINES), [(False, budgets.MAX_LINES)])
        self.assertEqual(found("a.rs", "x\n" * (budgets.MAX_LINES + 1)), [(True, budgets.MAX_LINES + 1)])

    def test_data_may_be_long(self):
        self.assertEqual(found("catalog.yaml", "x\n" * 5000), [])

    def test_paths_of_one_machine(self):
        self.assertEqual(found("README.md", f"one\nsee {HOME_PATH}"), [(True, 2)])
        self.assertEqual(found("a.py", f'open("{HOME_PATH}")'), [(True, 1)])
        for before in ["https://example.org", ".", "$ROOT", "${ROOT}", "sub"]:
            self.assertEqual(found("README.md", before + HOME_PATH), [], before)

    def test_locks_name_the_public_registries(self):
        line = '"resolved"' + ': "https://{}/openai/-/openai.tgz"'
        self.assertEqual(found("package-lock.json", line.format("registry.npmjs.org")), [])
        self.assertEqual(found("package-lock.json", line.format("mirror.example")), [(True, 1)])
        self.assertEqual(found("pip.conf", "index-url" + " = https://mirror.example/simple"), [(True, 1)])

    def test_bans_hold_in_rust_only(self):
        self.assertEqual(found("a.rs", f"{IGNORED}\nfn a() {{ todo" + "!() }"), [(True, 1), (True, 2)])
        self.assertEqual(found("a.md", f"no `{IGNORED}` here"), [])


class Main(unittest.TestCase):
    """A whole tree in, an exit code out."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)

    @unittest.skipUnless(shutil.which("git"), "needs git")
    def test_tracked_and_new_files_count_and_ignored_ones_do_not(self):
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)
        (self.root / ".gitignore").write_text("ignored.md\n")
        self.check_that_one_is_skipped("ignored.md")

    def test_without_git_build_output_does_not_count(self):
        (self.root / "target").mkdir()
        self.check_that_one_is_skipped("target/report.md")

    def check_that_one_is_skipped(self, skipped):
        (self.root / skipped).write_text(HOME_PATH)
        (self.root / "binary").write_bytes(b"\xff\xfe\x00")
        self.assertEqual(self.run_main()[0], 0)
        (self.root / "new.md").write_text(HOME_PATH)
        code, out = self.run_main()
        self.assertEqual(code, 1)
        self.assertIn("new.md:1: error", out)
        self.assertNotIn(skipped, out)

    def run_main(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = budgets.main(self.root)
        return code, out.getvalue()


if __name__ == "__main__":
    unittest.main()
