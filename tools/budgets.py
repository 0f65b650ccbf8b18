#!/usr/bin/env python3
"""Check what rustc and clippy do not: file sizes, ignored tests, and names of one machine's own.

Findings go to stdout, one a line, as `path:line: message`. Exit code 1 when one of them is an error.
Function length is clippy's (`too-many-lines-threshold` in clippy.toml).
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WARN_LINES = 400
MAX_LINES = 600
BUILD_OUTPUT = {".git", ".cache", "target", "node_modules", "__pycache__"}
SOURCE = {".rs", ".py", ".sh", ".js", ".mjs", ".ts"}

RUST_BANS = [
    (re.compile(r"#\[ignore\b"), "an ignored test rots; fix it, or delete it"),
    (re.compile(r"\btodo!"), "todo! ships a panic"),
]
LEAKS = [
    (re.compile(r"(?<![\w.~$}-])/(?:home|Users|root|work)/\w"), "a path that exists on one machine only"),
    (re.compile(r'"resolved":\s"(?!https://registry\.npmjs\.org/)'), "an npm lock that names another registry"),
    (re.compile(r'registry\s=\s"(?!https://pypi\.org/simple)http'), "a lock that names another package index"),
    (re.compile(r"(?:index-url|find-links)\b[ =]+[\"']?(?:https?:/)?/"), "a package index of one machine's own"),
]


def findings(path, text):
    """Yield (is_error, line number, message) for one file's text."""
    lines = text.splitlines()
    if Path(path).suffix in SOURCE and len(lines) > WARN_LINES:
        too_long = len(lines) > MAX_LINES
        limit = MAX_LINES if too_long else WARN_LINES
        yield too_long, len(lines), f"{len(lines)} lines; {'at most' if too_long else 'aim for'} {limit}"
    bans = LEAKS + (RUST_BANS if path.endswith(".rs") else [])
    for number, line in enumerate(lines, 1):
        for pattern, message in bans:
            if pattern.search(line):
                yield True, number, message


def files(root):
    """Paths, relative to root, of all files git would carry; without git, of all but build output."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        paths = (path.relative_to(root) for path in root.rglob("*"))
        listed = [path.as_posix() for path in paths if not BUILD_OUTPUT.intersection(path.parts)]
    return sorted(path for path in listed if path and (root / path).is_file())


def main(root=ROOT):
    """Check the tree; returns the exit code."""
    errors = warnings = checked = 0
    for path in files(root):
        try:
            text = (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a binary file
        checked += 1
        for is_error, line, message in findings(path, text):
            errors += is_error
            warnings += not is_error
            print(f"{path}:{line}: {'error' if is_error else 'warning'}: {message}")
    print(f"budgets: {checked} files, {errors} errors, {warnings} warnings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
