//! What `--help` shows below the options, where a command does not have its own.

pub(crate) const ALL: &str = "\
Examples:
  gearshift-train import files --mapping selector/training/examples/mapping.yaml --into rows.parquet results.csv
  gearshift-train fit --out models/mine
  gearshift-train eval --quick --only unseen_gpu --output json | jq 'keys'
  gearshift-train completions bash > /etc/bash_completion.d/gearshift-train

Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 what was asked (`eval --live`: is it better?) is not so.
With --output json, standard output is one JSON document (of `watch`, one a line); progress and errors go to standard error.
Progress is for terminals alone.";

pub(crate) const IMPORT: &str = "\
Examples:
  gearshift-train import files --mapping selector/training/examples/mapping.yaml --into rows.parquet results.csv
  gearshift-train import silicon silicon_sample.csv --into silicon.parquet --output json";

pub(crate) const IMPORT_FILES: &str = "\
Examples:
  gearshift-train import files --mapping selector/training/examples/mapping.yaml --into rows.parquet results.csv

Exit codes: 0 done, 1 it failed (standard error says why), 2 wrong usage.";

pub(crate) const IMPORT_SILICON: &str = "\
Examples:
  gearshift-train import silicon silicon_sample.csv --into silicon.parquet --output json

Exit codes: 0 done, 1 it failed (standard error says why), 2 wrong usage.";

pub(crate) const INPUTS: &str = "\
Examples:
  gearshift-train inputs --out measured.csv
  gearshift-train inputs --simulated --out simulated.csv --output json";

pub(crate) const STUDY: &str = "\
Examples:
  gearshift-train study --logged 4000 --seeds 2 --out target/reports
  gearshift-train study --output json";

pub(crate) const BUNDLE: &str = "\
Examples:
  gearshift-train bundle models/default
  gearshift-train bundle models/default --output json";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  gearshift-train completions bash > /etc/bash_completion.d/gearshift-train";

pub(crate) const MAN: &str = "\
Examples:
  gearshift-train man | man -l -
  gearshift-train man --out /usr/local/share/man/man1";
