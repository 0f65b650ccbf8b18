//! What `--help` shows below the options.

pub(super) const ALL: &str = "\
Examples:
  gearshift-loadtest engine --hardware h100_sxm --model llama-3.1-8b --listen 127.0.0.1:8000
  gearshift-loadtest run --target http://127.0.0.1:8080 --workload drift --rate 4 --output json
  gearshift-loadtest route --output json | jq '.summary'

Exit codes: 0 done, 1 it failed or was interrupted, 2 wrong usage. Commands that serve end with 0 when they are told to.
With --output json, standard output is one JSON document; progress and errors go to standard error.
Progress and colours are for terminals alone, and colours not where NO_COLOR is set.";

pub(super) const MOCK: &str = "\
Examples:
  gearshift-loadtest mock --listen 127.0.0.1:8000 --chunks 50 --interval-ms 20";

pub(super) const ENGINES: &str = "\
Examples:
  gearshift-loadtest engines --scenario demo
  gearshift-loadtest engines --config gearshift.yaml --control 127.0.0.1:9100";

pub(super) const ENGINE: &str = "\
Examples:
  gearshift-loadtest engine --hardware h100_sxm --model llama-3.1-8b --listen 127.0.0.1:8000
  gearshift-loadtest engine --hardware l40s --model qwen3-8b --max-num-seqs 64 --no-enable-prefix-caching";

pub(super) const BENCH: &str = "\
Examples:
  gearshift-loadtest bench --gearshift target/release/gearshift --out target/reports/bench.json
  gearshift-loadtest bench --only gearshift --cases request_1k --output json";

pub(super) const RUN: &str = "\
Examples:
  gearshift-loadtest run --target http://127.0.0.1:8080 --workload drift --rate 4
  gearshift-loadtest run --target http://127.0.0.1:8080 --seeds 1,2,3 --slo-ttft-ms 500 --output json";

pub(super) const STREAMS: &str = "\
Examples:
  gearshift-loadtest streams --gearshift target/release/gearshift --count 2000
  gearshift-loadtest streams --target http://127.0.0.1:8080 --count 500 --output json";

pub(super) const FIT_HARDWARE: &str = "\
Examples:
  gearshift-loadtest fit-hardware --kernels kernels --rows silicon_sample.csv --out hardware_fit.json
      `make hardware-fit` fetches what it needs";

pub(super) const DEMO: &str = "\
Examples:
  gearshift-loadtest demo
  gearshift-loadtest demo --duration 30 --rate 4 --plain --output json";

pub(super) const ROUTE: &str = "\
Examples:
  gearshift-loadtest route --fleets liar,newcomer --loads 0.6 --seeds 2
  gearshift-loadtest route --adapt --out target/reports --output json";

pub(super) const LOOP: &str = "\
Examples:
  gearshift-loadtest loop --days 1 --menus plain --no-hindsight
  gearshift-loadtest loop --out target/reports --output json";

pub(super) const SWEEP: &str = "\
Examples:
  gearshift-loadtest sweep --out perfdb/data
  gearshift-loadtest sweep --out rows --threads 8 --output json";

pub(super) const COLLECT: &str = "\
Examples:
  gearshift-loadtest collect --plan loadtests/data/collect_cpu.yaml --out target/collect --rows rows.parquet
  gearshift-loadtest collect --plan plan.yaml --out target/collect --report-only --output json";

pub(super) const VALIDATE: &str = "\
Examples:
  gearshift-loadtest validate --compare-only
  gearshift-loadtest validate --silicon silicon_sample.csv --output json";

pub(super) const COMPLETIONS: &str = "\
Examples:
  gearshift-loadtest completions bash > /etc/bash_completion.d/gearshift-loadtest";

pub(super) const MAN: &str = "\
Examples:
  gearshift-loadtest man | man -l -
  gearshift-loadtest man --out /usr/local/share/man/man1";
