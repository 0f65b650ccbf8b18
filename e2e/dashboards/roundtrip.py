"""Run with one version of Grafana's own SDK on the path: reads dashboards by its types, writes them again, and says what was lost.

What the SDK does not know, or knows under another type, does not come through; so what comes through whole is what that version of
Grafana reads. Defaults that it adds are no matter.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """What of `before` is not in `after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from lost(value, after[key], f"{where}.{key}")
            else:
                yield f"{where}.{key} is unknown"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from lost(*pair, f"{where}[{index}]")
    elif before != after or type(before) is not type(after) and not isinstance(before, int | float):
        yield f"{where}: {before!r} becomes {after!r}"


def main() -> int:
    plugins.register_default_plugins()
    wrong = 0
    for path in map(Path, sys.argv[1:]):
        raw = json.loads(path.read_text(encoding="utf-8"))
        again = json.loads(json.dumps(Dashboard.from_json(raw), cls=JSONEncoder))
        for one in lost(raw, again):
            wrong += 1
            print(f"{path.name}: {one}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
