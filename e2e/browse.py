#!/usr/bin/env python3
"""The console's tests in a real headless Chromium, over simulated engines: `make console`.

What follows `--` goes to pytest.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from harness import install
from harness.paths import E2E, REPORTS, ROOT


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gearshift", type=Path, default=ROOT / "target/quick/gearshift", help="the proxy's binary")
    parser.add_argument("--loadtest", type=Path, default=ROOT / "target/quick/gearshift-loadtest", help="the engines' binary")
    parser.add_argument("--browser-needed", action="store_true", help="fail where no browser can be had, instead of skipping")
    parser.add_argument("pytest", nargs="*", help="options of pytest")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    try:
        chromium = install.chromium()
    except install.Missing as missing:
        print(f"\n*** SKIPPED: the console was not tested: {missing} ***\n", file=sys.stderr)
        return 1 if options.browser_needed else 0
    install.browser()
    environment = {
        **os.environ,
        "CONSOLE_GEARSHIFT": str(options.gearshift.resolve()),
        "CONSOLE_LOADTEST": str(options.loadtest.resolve()),
        "CONSOLE_CHROMIUM": str(chromium),
    }
    REPORTS.mkdir(parents=True, exist_ok=True)
    python = install.python_of(install.BROWSER)
    report = f"--junitxml={REPORTS / 'console.xml'}"
    command = [python, "-m", "pytest", "-c", E2E / "pytest-console.ini", report, *options.pytest]
    return subprocess.run(command, cwd=E2E, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
