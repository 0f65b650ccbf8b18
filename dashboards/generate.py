#!/usr/bin/env python3
"""Writes Grafana's JSON of the dashboards in `source/` into `grafana/`: `make dashboards`.

With `--check` nothing is written; the exit code is 1 where a file is not what its source makes.
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from source import fleet, json_model, profiles, proxy, selection  # noqa: E402

DASHBOARDS = [module.DASHBOARD for module in (fleet, selection, profiles, proxy)]
OUT = HERE / "grafana"


def rendered() -> dict[Path, str]:
    """What each file should hold."""
    return {
        OUT / f"{source.uid}.json": json.dumps(json_model.dashboard(source), indent=1, ensure_ascii=False) + "\n"
        for source in DASHBOARDS
    }


def stale(files: dict[Path, str]) -> list[Path]:
    """Files that differ from their source, and files that no source makes."""
    there = set(OUT.glob("*.json"))
    changed = {path for path, text in files.items() if path not in there or path.read_text(encoding="utf-8") != text}
    return sorted(changed | (there - files.keys()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is stale")
    options = parser.parse_args()
    files = rendered()
    old = stale(files)
    if options.check:
        for path in old:
            print(f"{path.relative_to(HERE.parent)} is not what its source makes: make dashboards", file=sys.stderr)
        return 1 if old else 0
    OUT.mkdir(exist_ok=True)
    for path in old:
        if path in files:
            path.write_text(files[path], encoding="utf-8")
        else:
            path.unlink()
    print(f"dashboards: {len(files)} files, {len(old)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
