"""The fleet that is observed: simulated engines, Gearshift before them, Prometheus beside it."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from console.stage import LAUNCH
from harness import http, services
from harness.children import Child, Children, free_port
from harness.fleet import Gearshift
from harness.paths import E2E, ROOT, RUN
from harness.waiting import until

TEMPLATE = "observe.yaml.in"
ENGINE = re.compile(r"@\{([\w-]+)\}\", hardware")
RULES = sorted((ROOT / "dashboards" / "rules").glob("*.yaml"))
SHIPPED_BUNDLE = ROOT / "models" / "default"


@dataclass(frozen=True)
class Observed:
    """What runs, and where it can be asked and told."""

    gearshift: Gearshift
    prometheus: str
    control: str
    bundles: Path

    def fault(self, engine: str, **fault: object) -> None:
        """Gives an engine a fault for `for_s` seconds."""
        answer = http.post_json(self.control, f"/engines/{engine}/faults", fault)
        if answer.status >= 300:
            raise RuntimeError(f"fault {fault} at {engine}: {answer.status} {answer.body!r}")


def start(children: Children, gearshift: Path, loadtest: Path) -> Observed:
    """Starts everything, and waits until it is ready."""
    template = (E2E / TEMPLATE).read_text()
    engines = {name: f"{services.LOCAL}:{free_port()}" for name in ENGINE.findall(template)}
    listen, admin, control, collector = (f"{services.LOCAL}:{free_port()}" for _ in range(4))
    bundles = RUN / "bundles"
    bundles.mkdir(parents=True, exist_ok=True)
    if (SHIPPED_BUNDLE / "manifest.json").exists():
        shutil.copytree(SHIPPED_BUNDLE, bundles / "default")
    config = RUN / "observe.yaml"
    launch = json.dumps(["sh", "-c", LAUNCH, "engine"])
    places = {name: json.dumps(str(RUN / name)) for name in ("bundles", "rows", "access_log")}
    values = {"listen": listen, "admin": admin, "collector": collector, "launch": launch, **places, **engines}
    text = services.configuration(values, TEMPLATE)
    config.write_text(text)
    # All but those that Gearshift starts.
    served = RUN / "engines.yaml"
    served.write_text("".join(line for line in text.splitlines(keepends=True) if "actuator:" not in line))

    command: list[str | Path] = [loadtest, "engines", "--config", served, "--control", control]
    # The engines' program reads nearly the same file, tokens included.
    environment = {services.TOKEN_VARIABLE: services.TOKEN, "GEARSHIFT_LOG": "info", "LOADTEST": str(loadtest)}
    simulated = children.add(Child("engines", command, RUN / "engines.log", environment))
    # The stub takes spans too.
    children.add(Child("collector", [loadtest, "mock", "--listen", collector], RUN / "collector.log"))
    serve: list[str | Path] = [gearshift, "serve", "--config", config]
    log = RUN / "gearshift.log"
    proxy = children.add(Child("gearshift", serve, log, environment))

    def ready() -> bool:
        simulated.check()
        proxy.check()
        return http.answers(f"http://{admin}", "/readyz", services.TOKEN)

    until("gearshift is ready", ready, services.SHORT_START_S)
    described = Gearshift(
        f"http://{listen}", f"http://{admin}", services.TOKEN, gearshift, config, log, proxy.pid
    )
    url = services.start_prometheus(children, described, RULES)
    return Observed(described, url, f"http://{control}", bundles)
