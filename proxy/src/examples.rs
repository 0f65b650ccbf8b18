//! What `--help` shows below the options.

pub(crate) const ALL: &str = "\
Examples:
  gearshift check gearshift.yaml
  gearshift serve --config gearshift.yaml
  gearshift advise --model Qwen/Qwen3-8B --hardware h100_sxm --prompt-tokens 2000 --output-tokens 200
  gearshift explain --output json | jq '.decisions[0]'

Exit codes: 0 done, 1 the configuration is wrong or what was asked for cannot be done, 2 wrong usage.
What is found goes to standard output, the log and errors to standard error. Colours are for terminals alone, and not where NO_COLOR is set.";

pub(crate) const SERVE: &str = "\
Examples:
  gearshift serve --config /etc/gearshift/gearshift.yaml
  GEARSHIFT_LOG=debug gearshift serve --log-format json
  kill -HUP $(pidof gearshift)    # reads the configuration again; changes of the file are noticed anyway

Exit codes: 0 told to end, and did; 1 it cannot start, or a core failed; 2 wrong usage.";

pub(crate) const CHECK: &str = "\
Examples:
  gearshift check gearshift.yaml
  gearshift check --output json gearshift.yaml | jq '.errors[]'

Exit codes: 0 right, 1 wrong, 2 wrong usage.";

pub(crate) const ADVISE: &str = "\
Examples:
  gearshift advise --model Qwen/Qwen3-8B --hardware h100_sxm --prompt-tokens 2000 --output-tokens 200
  gearshift advise --model Qwen/Qwen3-32B --hardware l40s --from-live --admin http://127.0.0.1:9090";

pub(crate) const EXPLAIN: &str = "\
Examples:
  gearshift explain                       # the last decisions
  gearshift explain 9f86d081884c7d65      # one, by the x-request-id of its response";

pub(crate) const SHIFT: &str = "\
Examples:
  gearshift shift gpu-0 caching
  gearshift shift gpu-0 caching --output json --admin http://10.0.0.5:9090";

pub(crate) const CONTROLLER: &str = "\
Examples:
  gearshift controller
  gearshift controller pause
  gearshift controller --output json | jq '.backends[] | {backend, profile}'";

pub(crate) const BUNDLE: &str = "\
Examples:
  gearshift bundle verify models/default
  gearshift bundle list --output json --admin http://127.0.0.1:9090
  gearshift bundle rollback";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  gearshift completions bash > /etc/bash_completion.d/gearshift
  gearshift completions zsh > ~/.zfunc/_gearshift";

pub(crate) const MAN: &str = "\
Examples:
  gearshift man | man -l -
  gearshift man --out /usr/local/share/man/man1";
