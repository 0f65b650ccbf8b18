#!/usr/bin/env python3
"""Train a scikit-learn regressor and write it as a bundle that Gearshift takes.

    pip install --require-hashes -r models/examples/requirements.txt
    gearshift-train inputs --out rows.csv            # the shipped measured rows; or any of yours
    python3 models/examples/sklearn_bundle.py --rows rows.csv --out models/trees
    gearshift bundle verify models/trees

Without --rows it invents some: enough to see a bundle made, of no use for decisions.
"""

import argparse
import csv
import hashlib
import json
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import GroupKFold, cross_val_predict

GROUPS = ("model", "hardware", "profile", "query")
GOLDEN_ROWS = 64
SEED = 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, help="table from `gearshift-train inputs`")
    parser.add_argument("--gearshift", default="gearshift", help="the binary that the bundle is for")
    parser.add_argument("--out", type=Path, required=True, help="the bundle's directory")
    return parser.parse_args()


def read_schema(gearshift):
    """Names, order and hash of the inputs and outputs, from the binary that will be given the bundle."""
    command = [gearshift, "bundle", "schema", "--output", "json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def read_rows(path, schema):
    """Features [n, 129], targets [n, 6] (NaN: not known), and which rows are candidates of one decision [n]."""
    features, targets, contexts = [], [], []
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            features.append([float(row[name]) for name in schema["features"]])
            targets.append([float(row[name] or "nan") for name in schema["outputs"][:-1]])
            contexts.append(int(row["context"]))
    return np.array(features, np.float32), np.array(targets), np.array(contexts)


def invented_rows(schema, rows=400):
    """As `read_rows`; each output is some function of a few inputs."""
    random = np.random.default_rng(SEED)
    features = random.normal(size=(rows, len(schema["features"]))).astype(np.float32)
    mixture = random.normal(size=(3, len(schema["outputs"]) - 1))
    return features, np.tanh(features[:, :3] @ mixture) / 4, np.arange(rows) // 4


def fill_gaps(targets):
    """What is not known of a row: the mean of what is. A row without quantiles is taken for one with its means.

    `ttft_p90` and `tpot_p90` follow two places after `ttft` and `tpot`.
    """
    filled = targets.copy()
    for mean, quantile in ((1, 3), (2, 4)):
        unknown = np.isnan(filled[:, quantile])
        filled[unknown, quantile] = filled[unknown, mean]
    means = np.nan_to_num(np.nanmean(np.vstack([filled, np.zeros(filled.shape[1])]), axis=0))
    return np.where(np.isnan(filled), means, filled)


def train(features, targets, contexts):
    """A regressor of all seven outputs, and its error (natural log) on decisions that it had not seen.

    The last output, `spread`, is constant: that error. With `spread_scale` twice as large, what the trees say
    counts four fifths, and the prior the rest.
    """
    trees = ExtraTreesRegressor(n_estimators=24, max_depth=8, min_samples_leaf=4, random_state=SEED, n_jobs=-1)
    unseen = cross_val_predict(trees, features, targets, groups=contexts, cv=GroupKFold(4))
    error = float(np.sqrt(np.mean((unseen - targets)[:, :3] ** 2)))
    spread = np.full((len(targets), 1), error)
    return trees.fit(features, np.hstack([targets, spread])), error


def to_onnx(trees, schema):
    """The graph: `features` [n, 129] in, `prediction` [n, 7] out, float32."""
    inputs = [("features", FloatTensorType([None, len(schema["features"])]))]
    outputs = [("prediction", FloatTensorType([None, len(schema["outputs"])]))]
    return convert_sklearn(trees, initial_types=inputs, final_types=outputs).SerializeToString()


def golden(features, predictions, schema):
    """Rows with what scikit-learn says of them: what the graph must say where it is loaded."""
    ends = np.cumsum([len(schema["inputs"][group]) for group in GROUPS])
    rows = []
    for row, prediction in zip(features, predictions):
        parts = np.split(row, ends[:-1])
        groups = {group: part.tolist() for group, part in zip(GROUPS, parts)}
        rows.append({**groups, "prediction": prediction.tolist()})
    return json.dumps({"rows": rows}).encode()


def main():
    arguments = parse_arguments()
    schema = read_schema(arguments.gearshift)
    invented = arguments.rows is None
    features, targets, contexts = invented_rows(schema) if invented else read_rows(arguments.rows, schema)
    trees, error = train(features, fill_gaps(targets), contexts)
    shown = features[np.linspace(0, len(features) - 1, GOLDEN_ROWS, dtype=int)]
    files = {
        "regressor.onnx": to_onnx(trees, schema),
        "golden.json": golden(shown, trees.predict(shown), schema),
    }
    manifest = {
        "format": schema["format"],
        "id": arguments.out.name.lower(),
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "feature_schema": schema["feature_schema"],
        "spread_scale": 2 * error,
        "training": [
            {
                "source": "simulated" if invented else "measured",
                "dataset": "invented" if invented else arguments.rows.name,
                "rows": len(features),
            }
        ],
        "evaluation": {"rms_ln_error_on_unseen_contexts": error},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in {**files, "manifest.json": json.dumps(manifest, indent=2).encode()}.items():
        (arguments.out / name).write_bytes(content)
    print(f"{arguments.out}: {len(features)} rows; error on unseen contexts {error:.3f} (natural log)")


if __name__ == "__main__":
    main()
