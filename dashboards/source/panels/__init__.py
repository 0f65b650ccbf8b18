"""Rows of panels of features that have a file of their own here. A feature adds its file, and its rows to a list below."""

from collections.abc import Sequence

from ..kit import Row
from . import claims, controller, live, telemetry

# At the end of *Profiles and shifts*, *Selection quality* and *Proxy internals*.
PROFILES: Sequence[Row] = (controller.SWITCHES, live.WORKLOAD)
SELECTION: Sequence[Row] = (claims.CLAIMS,)
PROXY: Sequence[Row] = (live.ROWS, telemetry.TOLD)
