//! Every shipped example loads, and the JSON Schema knows every key that they use.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers outside #[test] functions")]

use std::{fs, path::PathBuf};

use gearshift_config::{Config, Declared, parse_with};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn example(name: &str) -> Config {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    let environment = |variable: &str| Some(format!("{variable}-value"));
    parse_with(name, &text, &folder(), &environment).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_example_loads() {
    let mut loaded = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".yaml") {
            let config = example(&name);
            assert!(!config.backends.is_empty() && !config.routes.is_empty(), "{name}");
            loaded += 1;
        }
    }
    assert!(loaded >= 6, "{loaded}");
}

#[test]
fn the_quickstart_takes_five_lines() {
    let text = fs::read_to_string(folder().join("quickstart.yaml")).unwrap();
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 5);
    let config = example("quickstart.yaml");
    assert!(config.model("Qwen/Qwen3-8B").unwrap().facts.is_some());
    assert_eq!(config.backends[0].price_usd_per_hour, Some(2.99));
    assert_eq!(config.routes.last().unwrap().id.as_str(), "default");
}

#[test]
fn the_reference_shows_every_key_of_the_schema() {
    let text = fs::read_to_string(folder().join("reference.yaml")).unwrap();
    let mut keys = Vec::new();
    collect_keys(&gearshift_config::schema(), &mut keys);
    assert!(keys.len() > 80, "{}", keys.len());
    for key in keys {
        assert!(text.contains(&format!("{key}:")), "reference.yaml does not show `{key}`");
    }
}

fn collect_keys(schema: &serde_json::Value, keys: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(|properties| properties.as_object()) {
        keys.extend(properties.keys().cloned());
    }
    if let Some(object) = schema.as_object() {
        object.values().for_each(|value| collect_keys(value, keys));
    }
    if let Some(items) = schema.as_array() {
        items.iter().for_each(|value| collect_keys(value, keys));
    }
}

#[test]
fn what_the_examples_say_is_what_comes_out() {
    let fleet = example("heterogeneous-fleet.yaml");
    let lossless: Vec<bool> = fleet.profiles.iter().map(|profile| profile.lossless).collect();
    assert_eq!(lossless, [true, true, false]);
    assert_eq!(fleet.routes.len(), 2, "the file's own default is the last route");

    let lora = example("aliases-and-lora.yaml");
    assert_eq!(lora.model("gpt-4o-mini").unwrap().id.as_str(), "support-8b");
    assert_eq!(lora.backends[0].model, Declared::Detect);
    let parameters_b = lora.model("house-style").unwrap().facts.as_ref().unwrap().parameters_b;
    assert!((parameters_b - 0.596).abs() < 0.01, "{parameters_b}");

    let tls = example("tls-and-http2.yaml");
    assert_eq!(tls.listeners[0].tls.as_ref().unwrap().key, folder().join("tls/server.key"));
    assert_eq!(tls.backends[0].url.to_string(), "https://gpu.partner.example:443/team-a");
    assert_eq!(tls.backends[0].api_key.as_ref().unwrap().expose(), "PARTNER_API_KEY-value");

    let cost = example("cost-with-slo.yaml");
    assert_eq!(cost.backends[0].price_usd_per_hour, Some(3.7));
    assert_eq!(cost.routes[0].slo.ttft, Some(std::time::Duration::from_millis(800)));
}

#[test]
fn operators_see_everything_but_the_secrets() {
    let text = example("tls-and-http2.yaml").redacted().to_string();
    assert!(!text.contains("-value"), "{text}");
    for shown in
        [r#""token":"(redacted)""#, r#""api_key":"(redacted)""#, r#""pool_idle":"4s""#, "gpu.partner.example"]
    {
        assert!(text.contains(shown), "{shown} is not in {text}");
    }
    assert!(!format!("{:?}", example("tls-and-http2.yaml")).contains("-value"));
    let summary = example("heterogeneous-fleet.yaml").summary().join("\n");
    assert!(summary.contains("4× h100_sxm"), "{summary}");
}
