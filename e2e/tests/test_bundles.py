"""A bundle made by other tools is taken, as models/README.md says."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.fleet import Gearshift
from harness.install import EXAMPLES, python_of
from harness.paths import ROOT

SCRIPT = ROOT / "models" / "examples" / "sklearn_bundle.py"


@pytest.fixture
def bundle(gearshift: Gearshift, tmp_path: Path) -> Path:
    """The example's, trained on rows that it invents."""
    if "ORT_DYLIB_PATH" not in os.environ:
        pytest.skip("needs ORT_DYLIB_PATH, as `make e2e` sets it")
    out = tmp_path / "trees"
    subprocess.run([python_of(EXAMPLES), SCRIPT, "--gearshift", gearshift.binary, "--out", out], check=True)
    return out


def verify(gearshift: Gearshift, bundle: Path) -> subprocess.CompletedProcess[str]:
    """What Gearshift says of it; it need not be quick on this machine."""
    command = [gearshift.binary, "bundle", "verify", bundle, "--budget", "50ms"]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_example_makes_a_bundle_that_is_taken(gearshift: Gearshift, bundle: Path) -> None:
    verified = verify(gearshift, bundle)
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.startswith("trees: ok; made ")


def test_one_for_other_inputs_is_not(gearshift: Gearshift, bundle: Path) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"feature_schema": "another"}))
    verified = verify(gearshift, bundle)
    assert (verified.returncode, verified.stdout) == (1, "")
    assert "made for the inputs another" in verified.stderr
