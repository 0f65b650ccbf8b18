"""Where things are. Everything written lies under `.cache/e2e` (kept) or `target` (one run)."""

import os
from pathlib import Path

E2E = Path(__file__).resolve().parent.parent
ROOT = E2E.parent
CACHE = ROOT / ".cache" / "e2e"
RUN = ROOT / "target" / "e2e"
REPORTS = ROOT / "target" / "reports"
REQUIREMENTS = E2E / "requirements"

# The description of the running fleet, which tests find through this environment variable.
FLEET_FILE = RUN / "fleet.json"
FLEET_VARIABLE = "GEARSHIFT_E2E"


def cargo_target() -> Path:
    """Where cargo builds to."""
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
