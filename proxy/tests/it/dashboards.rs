//! Every metric and label that a dashboard or a rule names is one that Gearshift has.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use gearshift_proxy::{
    live::{ModelView, Windows},
    metrics::Metrics,
};
use gearshift_selector::{Moment, window::WindowTracker};
use prometheus::{Registry, TextEncoder};

use crate::common::{CHAT, Engine, Gearshift, QUESTION, STREAMED, Yaml};

/// What Prometheus adds to every series, and the series it makes of a scrape.
const BY_PROMETHEUS: [&str; 4] = ["job", "instance", "le", "__name__"];
const OF_PROMETHEUS: [&str; 3] = ["scrape_duration_seconds", "scrape_samples_scraped", "process_"];
/// What engines say themselves and operators choose.
const OF_ENGINES: &str = "vllm:";

/// The labels of each family.
type Families = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// The files of a folder that end in this.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// Every string under one of these keys.
fn strings<'v>(value: &'v serde_json::Value, keys: &[&str], found: &mut Vec<&'v str>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                found.extend(value.as_str().filter(|_| keys.contains(&key.as_str())));
                strings(value, keys, found);
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| strings(value, keys, found)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

/// The expressions of all dashboards, variables included, and the lines of all rules, each with where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in files("grafana", ".json") {
        let dashboard: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let mut texts = Vec::new();
        strings(&dashboard, &["expr", "query"], &mut texts);
        assert!(texts.len() > 10, "{path:?}");
        found.extend(texts.into_iter().map(|text| (path.display().to_string(), text.to_owned())));
    }
    for path in files("rules", ".yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let said = ["summary:", "description:", "runbook_url:", "- alert:", "- name:"];
        let code = code.filter(|line| !said.iter().any(|key| line.trim_start().starts_with(key)));
        found.extend(code.map(|line| (path.display().to_string(), line.to_owned())));
    }
    found
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')
}

/// The names of Gearshift's metrics in an expression, each with the labels that its selector names.
fn selectors(expression: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(at) = expression[rest..].find("gearshift_").map(|at| at + rest) {
        let end =
            expression[at..].bytes().position(|byte| !is_name(byte)).map_or(expression.len(), |n| at + n);
        let starts = at == 0 || !is_name(expression.as_bytes()[at - 1]);
        let inside = expression[end..].strip_prefix('{').and_then(|after| after.split_once('}'));
        let labels = inside.map_or(Vec::new(), |(inside, _)| {
            let outside_quotes = inside.split('"').step_by(2);
            outside_quotes.filter_map(|part| part.split(['=', '!']).next()).collect()
        });
        let labels = labels.into_iter().map(|label: &str| label.trim_matches([',', ' '])).collect::<Vec<_>>();
        if starts {
            found
                .push((&expression[at..end], labels.into_iter().filter(|label| !label.is_empty()).collect()));
        }
        rest = end;
    }
    found
}

/// The labels that an expression groups or joins by.
fn groupings(expression: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for word in ["by (", "on (", "without (", "group_left ("] {
        for (at, _) in expression.match_indices(word) {
            let inside = expression[at + word.len()..].split(')').next().unwrap_or_default();
            found.extend(inside.split(',').map(str::trim).filter(|label| !label.is_empty()));
        }
    }
    found
}

/// Families with their labels, by a page of metrics.
fn families(page: &str) -> Families {
    let mut families = Families::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            families.entry(rest.split(' ').next().unwrap().to_owned()).or_default();
            continue;
        }
        let Some((name, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) else { continue };
        let labels = labels.split('"').step_by(2).filter_map(|part| part.strip_suffix('='));
        let labels = labels.map(|label| label.trim_matches([',', ' ']).to_owned());
        families.entry(base(name).to_owned()).or_default().extend(labels);
    }
    families
}

/// A family's name by that of one of its series.
fn base(name: &str) -> &str {
    let ends = ["_bucket", "_count", "_sum"];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// What an expression names that is not there.
fn missing(expression: &str, families: &Families) -> Vec<String> {
    let mut missing = Vec::new();
    let mut known: BTreeSet<&str> = BY_PROMETHEUS.into();
    let mut any = false;
    for (name, labels) in selectors(expression) {
        let Some(of_family) = families.get(name).or_else(|| families.get(base(name))) else {
            missing.push(format!("there is no {name}"));
            continue;
        };
        any = true;
        known.extend(of_family.iter().map(String::as_str));
        let unknown =
            labels.into_iter().filter(|label| !of_family.contains(*label) && !BY_PROMETHEUS.contains(label));
        missing.extend(unknown.map(|label| format!("{name} has no label {label}")));
    }
    // A rule's lines are looked at one by one: where no metric stands on the line, its labels are another line's.
    if any {
        let unknown = groupings(expression).into_iter().filter(|label| !known.contains(label));
        missing.extend(unknown.map(|label| format!("nothing has a label {label}")));
    }
    missing
}

/// What a proxy shows after a request, with limits, prices and an engine that counts.
async fn page() -> String {
    let mut engine = Engine::start().await;
    engine.set_metrics(concat!(
        "vllm:num_requests_running{engine=\"0\"} 0.0\nvllm:num_requests_waiting{engine=\"0\"} 0.0\n",
        "vllm:kv_cache_usage_perc{engine=\"0\"} 0.5\n",
        "vllm:prefix_cache_queries_total{engine=\"0\"} 9.0\nvllm:prefix_cache_hits_total{engine=\"0\"} 3.0\n",
        "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"100\"} 1.0\n",
    ));
    let entry =
        format!("{{name: a, url: \"http://{}\", hardware: h100_sxm, price_usd_per_hour: 2}}", engine.address);
    let yaml = Yaml::new()
        .entry(&entry)
        .with("routes: [{name: limited, slo: {ttft: 1s}}]")
        .with("telemetry: {engine_metrics: [\"vllm:num_requests_running\"]}")
        .with("fleet: {health_interval: 50ms, scrape_interval: 50ms, detect_interval: 50ms}");
    let proxy = Gearshift::start(yaml).await;
    let (open, stream) = tokio::join!(proxy.open(CHAT, STREAMED), async { engine.next().await.events() });
    stream.finish(&["data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n"]).await;
    open.rest().await.unwrap();
    tokio::join!(proxy.post(CHAT, QUESTION), async { engine.next().await.json(200, "{}") });
    proxy.at_rest().await;
    proxy.fleet_is("a scrape", |backend| !backend["prefix_cache"].is_null()).await;
    proxy.fleet_is("the cache's size", |backend| !backend["detected"]["kv_tokens"].is_null()).await;
    proxy.operate("/metrics").await.text().to_owned()
}

/// What these show once a bundle decides, an engine was started, a plan made and a window seen, by their owners themselves.
fn shown_later() -> String {
    let registry = Registry::new();
    let Metrics { bundles, controller, live, .. } = Metrics::new(&registry).unwrap();
    bundles.activated("one", "2026-11-22T10:00:00Z", 1, None);
    controller.started("a");
    controller.planned([("a", "p", 0.1)].into_iter());
    let now = Moment(1);
    let window = WindowTracker::new(60.0, now).snapshot(now);
    let view = ModelView { window, classes: Vec::new(), routes: BTreeMap::new() };
    live.workloads(&Windows::new(), &Windows::from([("stub".to_owned(), view)]));
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

#[tokio::test]
async fn whatever_dashboards_and_rules_name_is_there() {
    let families = families(&format!("{}{}", page().await, shown_later()));
    let expressions = expressions();
    let wrong: Vec<_> = expressions
        .iter()
        .flat_map(|(file, expression)| {
            missing(expression, &families)
                .into_iter()
                .map(move |what| format!("{file}: {what}: {expression}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let named: BTreeSet<&str> = expressions
        .iter()
        .flat_map(|(_, expression)| selectors(expression))
        .map(|(name, _)| base(name))
        .collect();
    let unseen: Vec<_> = families
        .keys()
        .filter(|family| !named.contains(family.as_str()))
        .filter(|family| !family.starts_with(OF_ENGINES))
        .filter(|family| !OF_PROMETHEUS.iter().any(|known| family.starts_with(known)))
        .collect();
    assert!(unseen.is_empty(), "no dashboard and no rule shows {unseen:?}");
}

#[test]
fn what_is_not_there_is_found() {
    let families = families("# TYPE gearshift_a counter\ngearshift_a{x=\"1\",y=\"{\"} 1\n");
    for (expression, wrong) in [
        ("sum by (x) (rate(gearshift_a{y=~\"b|c\",x!=\"\"}[5m]))", 0),
        ("gearshift_a{z=\"1\"}", 1),
        ("gearshift_b", 1),
        ("sum by (x, z) (gearshift_a)", 1),
        ("gearshift_a * on (job) group_left (q) gearshift_c{x=\"1\"}", 2),
        ("gearshift:recorded:sum + my_gearshift_a", 0),
    ] {
        assert_eq!(
            missing(expression, &families).len(),
            wrong,
            "{expression}: {:?}",
            missing(expression, &families)
        );
    }
}
