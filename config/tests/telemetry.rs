//! What is told of requests to other systems.

mod common;

use common::{ONE, only, read};
use gearshift_config::LogTarget;

fn with(section: &str) -> String {
    format!("{ONE}telemetry: {section}\n")
}

#[test]
fn nothing_is_told_unless_the_file_says_so() {
    let config = read(ONE).unwrap();
    assert_eq!(config.telemetry, gearshift_config::Telemetry::default());
}

#[test]
fn collectors_are_named_by_their_base_or_by_the_whole_url() {
    for (written, posted) in [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("https://otel.example/otlp/", "https://otel.example:443/otlp/v1/traces"),
        ("http://collector:4318/v1/traces", "http://collector:4318/v1/traces"),
    ] {
        let config = read(&with(&format!("{{tracing: {{endpoint: '{written}'}}}}"))).unwrap();
        let tracing = config.telemetry.tracing.unwrap();
        assert_eq!((tracing.endpoint.to_string().as_str(), tracing.sample), (posted, 1.0));
    }
}

#[test]
fn headers_are_secrets() {
    let config =
        read(&with("{tracing: {endpoint: 'http://c:4318', headers: {authorization: Bearer hush}}}")).unwrap();
    assert_eq!(config.telemetry.tracing.as_ref().unwrap().headers[0].1.expose(), "Bearer hush");
    assert!(!config.redacted().to_string().contains("hush"));
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn a_collectors_path_may_be_a_key() {
    let config = read(&with("{tracing: {endpoint: 'https://c/hush/otlp'}}")).unwrap();
    let shown = config.redacted()["telemetry"]["tracing"]["endpoint"].clone();
    assert_eq!(shown, "https://c:443/(redacted)");
    let posted = config.telemetry.tracing.unwrap().endpoint.to_string();
    assert_eq!(posted, "https://c:443/hush/otlp/v1/traces");
}

#[test]
fn an_access_log_goes_to_an_output_or_a_file() {
    for (to, is_file) in
        [("stdout", false), ("stderr", false), ("log/access.jsonl", true), ("access.log", true)]
    {
        let log =
            read(&with(&format!("{{access_log: {{to: {to}}}}}"))).unwrap().telemetry.access_log.unwrap();
        assert_eq!(matches!(log.to, LogTarget::File(_)), is_file, "{to}");
        assert!(log.errors && log.sample == 1.0);
    }
}

#[test]
fn what_is_mistyped_is_named_with_what_is_meant() {
    let tracing = |more: &str| format!("{{tracing: {{endpoint: 'http://c:4318', {more}}}}}");
    for (section, said) in [
        (
            tracing("smple: 1"),
            "telemetry.tracing.smple: there is no key \"smple\" here; did you mean \"sample\"?",
        ),
        (tracing("sample: 2"), "telemetry.tracing.sample: 2 is out of range"),
        (tracing("headers: {'a b': c}"), "headers[\"a b\"]: is no name of a header"),
        ("{tracing: {sample: 1}}".to_owned(), "telemetry.tracing.endpoint: is missing"),
        ("{tracing: {endpoint: 'grpc://c'}}".to_owned(), "the scheme \"grpc\" is not http or https"),
        (
            "{access_log: {to: sdtout}}".to_owned(),
            "neither a file's path nor an output; did you mean \"stdout\"?",
        ),
        (
            "{engine_metrics: [vllm:generation_token_total]}".to_owned(),
            "did you mean \"vllm:generation_tokens_total\"?",
        ),
        (
            "{engine_metrics: [vllm:kv_cache_usage_perc]}".to_owned(),
            "no metric of vLLM's that can be summed up",
        ),
    ] {
        let found = only(&with(&section));
        assert!(found.contains(said), "{said}\n{found}");
    }
}
