//! What `--help` shows below the options.

pub(crate) const ALL: &str = "\
Examples:
  gearshift check gearshift.yaml
  gearshift serve --config gearshift.yaml
  gearshift advise --model Qwen/Qwen3-8B --hardware h100_sxm --prompt-tokens 2000 --output-tokens 200
  gearshift explain --output json | jq '.decisions[0]'

Exit codes: 0 done, 1 the configuration is wrong or what was asked for cannot be done, 2 wrong usage.
What is found goes to standard output (with --output json one JSON document), the log and errors to standard error. Colours are for terminals alone, and not where NO_COLOR is set.";

pub(crate) const SERVE: &str = "\
Examples:
  gearshift serve --config /etc/gearshift/gearshift.yaml
  GEARSHIFT_LOG=debug gearshift serve --log-format json
  kill -HUP $(pidof gearshift)    # reads the configuration again; changes of the file are noticed anyway

Exit codes: 0 told to end, and did; 1 it cannot start, or a core failed; 2 wrong usage.";

pub(crate) const CHECK: &str = "\
Examples:
  gearshift check gearshift.yaml
  gearshift check --output json gearshift.yaml | jq '.problems[]'

Exit codes: 0 right, 1 wrong, 2 wrong usage.";

/// Examples, and the exit codes that all commands have which find something out or ask for something.
macro_rules! help {
    ($($line:literal)+) => {
        concat!(
            "Examples:\n",
            $("  ", $line, "\n",)+
            "\nExit codes: 0 done, 1 it cannot be done (standard error says why), 2 wrong usage."
        )
    };
}

pub(crate) const ADVISE: &str = help!(
    "gearshift advise --model Qwen/Qwen3-8B --hardware h100_sxm --prompt-tokens 2000 --output-tokens 200"
    "gearshift advise --model Qwen/Qwen3-8B --hardware l40s --count 4 --from-live http://127.0.0.1:9090 --objective cost"
    "gearshift advise --model Qwen/Qwen3-8B --hardware h100_sxm --prompt-tokens 2000 --output-tokens 200 --speculate ngram \\\n      --speculate eagle3=RedHatAI/Qwen3-8B-speculator.eagle3 --concurrency 4"
);

pub(crate) const EXPLAIN: &str = help!(
    "gearshift explain                       # the last decisions"
    "gearshift explain 9f86d081884c7d65      # one, by the x-request-id of its response"
    "gearshift explain 9f86d081884c7d65 --output json | jq '.candidates[] | {backend, score, load, prior, learned}'"
);

pub(crate) const SHIFT: &str = help!(
    "gearshift shift gpu-0 caching"
    "gearshift shift gpu-0 caching --output json --admin http://10.0.0.5:9090"
);

pub(crate) const CONTROLLER: &str = help!(
    "gearshift controller"
    "gearshift controller pause --admin http://10.0.0.5:9090"
    "gearshift controller --output json | jq '.backends[] | {backend, profile}'"
);

pub(crate) const CONTROLLER_STATUS: &str = help!(
    "gearshift controller status"
    "gearshift controller status --output json | jq '.plan'"
);

pub(crate) const CONTROLLER_PAUSE: &str = help!(
    "gearshift controller pause"
    "gearshift controller pause --admin http://10.0.0.5:9090"
);

pub(crate) const CONTROLLER_RESUME: &str = help!("gearshift controller resume");

pub(crate) const BUNDLE: &str = help!(
    "gearshift bundle verify models/default"
    "gearshift bundle list --output json --admin http://127.0.0.1:9090"
    "gearshift bundle rollback"
);

pub(crate) const BUNDLE_VERIFY: &str = help!(
    "gearshift bundle verify models/default"
    "gearshift bundle verify models/default --budget 50us --onnxruntime /usr/lib/libonnxruntime.so --output json"
);

pub(crate) const BUNDLE_SCHEMA: &str = help!(
    "gearshift bundle schema"
    "gearshift bundle schema --output json | jq '.inputs | map_values(length)'"
);

pub(crate) const BUNDLE_LIST: &str = help!(
    "gearshift bundle list models"
    "gearshift bundle list --admin http://127.0.0.1:9090      # as a running Gearshift sees them"
);

pub(crate) const BUNDLE_ACTIVATE: &str = help!(
    "gearshift bundle activate 2026-11-22"
    "gearshift bundle activate 2026-11-22 --output json --admin http://10.0.0.5:9090"
);

pub(crate) const BUNDLE_ROLLBACK: &str = help!("gearshift bundle rollback");

pub(crate) const BUNDLE_NEWEST: &str = help!("gearshift bundle newest");

pub(crate) const COMPLETIONS: &str = help!(
    "gearshift completions bash > /etc/bash_completion.d/gearshift"
    "gearshift completions zsh > ~/.zfunc/_gearshift"
);

pub(crate) const MAN: &str = help!(
    "gearshift man | man -l -"
    "gearshift man --out /usr/local/share/man/man1"
);
