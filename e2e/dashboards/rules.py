"""The rules: promtool's checks and tests, and their health in the run."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness import install
from harness.paths import ROOT

from .prometheus import Prometheus

FOLDER = ROOT / "dashboards" / "rules"
ALERT = re.compile(r"^\s*- alert: (\w+)", re.MULTILINE)
RUNBOOK = re.compile(r"^\s*runbook_url: (\S+)", re.MULTILINE)
TESTED = re.compile(r"alertname: (\w+), exp_alerts: \[\]|alertname: (\w+)\s*\n\s*exp_alerts:\s*\n", re.MULTILINE)


def promtool(*arguments: str | Path) -> list[str]:
    """Runs promtool; what it says where it is not content."""
    install.prometheus()
    command = [shutil.which("promtool") or "promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    said = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if "SUCCESS" not in line)
    return [f"promtool {arguments[0]} {arguments[1]}:\n{said.strip()}"]


def written() -> list[str]:
    """Each alert is tested both ways and has a page; each page is somebody's."""
    alerts = (FOLDER / "alerts.yaml").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in sorted((FOLDER / "tests").glob("*.yaml")))
    quiet = {match[1] for match in TESTED.finditer(tests)}
    firing = {match[2] for match in TESTED.finditer(tests)}
    names, pages = ALERT.findall(alerts), RUNBOOK.findall(alerts)
    wrong = []
    for name in sorted(set(names)):
        wrong += [f"{name} has no test in which it goes off"] if name not in firing else []
        wrong += [f"{name} has no test in which it does not"] if name not in quiet else []
    if len(pages) != len(names):
        wrong.append(f"{len(names)} alerts have {len(pages)} runbook_url")
    wrong += [f"{page} is not there" for page in sorted(set(pages)) if not (ROOT / page).exists()]
    unused = {path.name for path in (ROOT / "dashboards" / "runbooks").glob("*.md")} - {Path(page).name for page in pages}
    return wrong + [f"runbooks/{name} is no alert's" for name in sorted(unused)]


def tested() -> list[str]:
    """promtool's word on the rules and on their tests."""
    rules, tests = sorted(FOLDER.glob("*.yaml")), sorted((FOLDER / "tests").glob("*.yaml"))
    return promtool("check", "rules", *rules) + promtool("test", "rules", *tests)


def evaluates(expr: str, series: Mapping[str, str], expected: Mapping[str, float]) -> list[str]:
    """What promtool has against this: over these series, scraped once a minute, the expression has these values after ten minutes, each by
    its labels (`{}` for none), to a millionth."""
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": f"round({expr}, 1e-6)", "eval_time": "10m", "exp_samples": samples}],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        # JSON is YAML.
        json.dump({"evaluation_interval": "1m", "tests": [test]}, file)
        file.flush()
        return promtool("test", "rules", file.name)


def healthy(prometheus: Prometheus) -> list[str]:
    """Rules that Prometheus could not evaluate in the run."""
    rules = prometheus.rules()
    ill = [f"rule {rule['name']}: {rule.get('lastError', rule['health'])}" for rule in rules if rule["health"] != "ok"]
    return ill if rules else ["Prometheus has loaded no rules"]
