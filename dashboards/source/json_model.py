"""Grafana's JSON of a dashboard, in the model of Grafana 10 (schema version 38), which later ones read."""

from typing import Any

from .kit import Dashboard, Panel, Row, Variable

SCHEMA_VERSION = 38
TAG = "gearshift"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
Json = dict[str, Any]


def dashboard(source: Dashboard) -> Json:
    """The whole file."""
    return {
        "uid": source.uid,
        "title": source.title,
        "description": source.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [reloads()]},
        "links": [links()],
        "templating": {"list": [datasource(), *map(variable, source.variables)]},
        "panels": place(source),
    }


def links() -> Json:
    """From each dashboard to the others, with what is chosen."""
    return {
        "type": "dashboards",
        "title": "Gearshift",
        "icon": "dashboard",
        "tooltip": "",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "url": "",
    }


def reloads() -> Json:
    """Marks where the configuration changed. Grafana asks once a minute; the window holds two scrapes a minute apart also where one
    between was lost. (`$__rate_interval` is not what it should be in annotations: grafana/grafana#82636.)"""
    expr = 'sum(increase(gearshift_config_reloads_total{result="applied"}[3m])) > 0'
    return {
        "name": "Configuration reloaded",
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "#8AB8FF",
        "expr": expr,
    }


def datasource() -> Json:
    """Which Prometheus."""
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "refresh": 1,
        "regex": "",
    }


def variable(source: Variable) -> Json:
    """A choice of several, all of them at first."""
    return {
        "name": source.name,
        "label": source.label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": source.query, "refId": source.name},
        "hide": 0,
        "multi": True,
        "includeAll": True,
        **({"allValue": source.all} if source.all else {}),
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "regex": "",
        "sort": 1,
    }


def place(source: Dashboard) -> list[Json]:
    """All panels on Grafana's grid of 24 columns, row after row."""
    panels: list[Json] = []
    y, number = 0, 0
    for row in source.rows:
        number += 1
        heading = row_panel(row, number, y)
        panels.append(heading)
        inside, y, number = fill(row, y + 1, number)
        (heading["panels"] if row.collapsed else panels).extend(inside)
    return panels


def row_panel(row: Row, number: int, y: int) -> Json:
    return {
        "id": number,
        "type": "row",
        "title": row.title,
        "collapsed": row.collapsed,
        "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
        "panels": [],
    }


def fill(row: Row, y: int, number: int) -> tuple[list[Json], int, int]:
    """A row's panels from left to right; gives where the next row begins."""
    panels, x, tallest = [], 0, 0
    for source in row.panels:
        if x + source.width > 24:
            x, y, tallest = 0, y + tallest, 0
        number += 1
        position = {"x": x, "y": y, "w": source.width, "h": source.height}
        panels.append(panel(source, number, position))
        x, tallest = x + source.width, max(tallest, source.height)
    return panels, y + tallest, number


def panel(source: Panel, number: int, position: Json) -> Json:
    """One panel of any kind."""
    return {
        "id": number,
        "type": source.kind,
        "title": source.title,
        "description": source.description,
        "datasource": DATASOURCE,
        "gridPos": position,
        "targets": targets(source),
        "fieldConfig": {"defaults": defaults(source), "overrides": overrides(source)},
        "options": OPTIONS[source.kind](source),
        **({"transformations": joined(source)} if source.kind == "table" else {}),
    }


def targets(source: Panel) -> list[Json]:
    """Its queries, from A."""
    table, heat = source.kind == "table", source.kind == "heatmap"
    kind = "table" if table else "heatmap" if heat else "time_series"
    return [
        {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "format": kind,
            "instant": table,
            "range": not table,
        }
        for index, query in enumerate(source.queries)
    ]


def steps(pairs) -> Json:
    """Thresholds."""
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in pairs]}


def defaults(source: Panel) -> Json:
    """What holds for all series of a panel."""
    config: Json = {"unit": source.unit, "custom": CUSTOM.get(source.kind, lambda _: {})(source)}
    if source.kind in ("stat", "table", "bargauge"):
        config["color"] = {"mode": "thresholds"}
    elif source.kind != "heatmap":
        config["color"] = {"mode": "palette-classic-by-name"}
    thresholds = source.steps or source.lines
    config["thresholds"] = steps(thresholds or ((None, "text"),))
    for key, value in (("min", source.minimum), ("max", source.maximum), ("decimals", source.decimals)):
        if value is not None and not (key == "min" and (source.log or source.kind == "table")):
            config[key] = value
    if source.mappings:
        options = {
            str(number): {"text": text, "color": colour, "index": index}
            for index, (number, (text, colour)) in enumerate(source.mappings.items())
        }
        config["mappings"] = [{"type": "value", "options": options}]
    return config


def line_style(source: Panel) -> Json:
    return {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 60 if source.stacked else 8,
        "gradientMode": "none",
        "showPoints": "never",
        "spanNulls": False,
        "axisPlacement": "auto",
        "scaleDistribution": {"type": "log", "log": 10} if source.log else {"type": "linear"},
        "stacking": {"mode": "normal" if source.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if source.lines else "off"},
    }


CUSTOM = {
    "timeseries": line_style,
    "state-timeline": lambda _: {"lineWidth": 0, "fillOpacity": 80},
    "table": lambda _: {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False},
}


def overrides(source: Panel) -> list[Json]:
    """Fixed colours of series; units and names of columns."""
    fixed = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in source.colours.items()
    ]
    columns = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in source.columns.values()
        if unit
    ]
    return fixed + columns


def joined(source: Panel) -> list[Json]:
    """Queries side by side, one line for each set of labels; columns in the order they are declared."""
    names = list(source.columns)
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True, "Value #A": "Value #A" not in names},
                "indexByName": {name: index for index, name in enumerate(names)},
                "renameByName": {name: shown for name, (shown, _) in source.columns.items()},
            },
        },
    ]


def line_options(_: Panel) -> Json:
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def stat_options(source: Panel) -> Json:
    return {
        "colorMode": "value",
        "graphMode": "none" if source.text_from_label else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "name" if source.text_from_label else "value",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }


def heat_options(source: Panel) -> Json:
    return {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Viridis",
            "fill": "dark-orange",
            "exponent": 0.5,
            "scale": "exponential",
            "steps": 64,
            "reverse": False,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": source.unit},
    }


OPTIONS = {
    "timeseries": line_options,
    "stat": stat_options,
    "heatmap": heat_options,
    "table": lambda _: {"showHeader": True, "cellHeight": "sm", "sortBy": []},
    "state-timeline": lambda _: {
        "alignValue": "left",
        "mergeValues": True,
        "rowHeight": 0.85,
        "showValue": "auto",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    },
}
