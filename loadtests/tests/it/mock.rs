//! The stub engine looks like vLLM.

use std::time::Duration;

use gearshift_loadtests::mock::Settings;

use crate::common::{MODEL, ask, run, stub};

const SETTINGS: Settings = Settings { chunks: 3, interval: Duration::from_millis(1) };

#[test]
fn a_completion_has_vllms_shape() {
    run(async {
        let endpoint = stub(SETTINGS).await;
        let (head, body) =
            ask(&endpoint, "POST", "/v1/chat/completions", r#"{"model":"x","messages":[]}"#).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"));
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["object"], "chat.completion");
        assert_eq!(body["usage"]["completion_tokens"], 16);
    });
}

#[test]
fn a_stream_has_vllms_framing_and_usage_where_asked_for() {
    run(async {
        let endpoint = stub(SETTINGS).await;
        for (options, events) in [("", 4), (r#","stream_options":{"include_usage":true}"#, 5)] {
            let request = format!(r#"{{"model":"x","messages":[],"stream":true{options}}}"#);
            let (head, body) = ask(&endpoint, "POST", "/v1/chat/completions", &request).await;
            assert!(head.to_ascii_lowercase().contains("content-type: text/event-stream"));
            let data: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            assert_eq!(data.len(), events);
            assert_eq!(data[events - 1], "[DONE]");
            let chunks: Vec<serde_json::Value> =
                data[..events - 1].iter().map(|data| serde_json::from_str(data).unwrap()).collect();
            assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
            assert_eq!(chunks[2]["choices"][0]["finish_reason"], "length");
            if events == 5 {
                assert_eq!(chunks[3]["usage"]["completion_tokens"], 3);
            }
        }
    });
}

#[test]
fn what_a_proxy_asks_an_engine_is_there() {
    run(async {
        let endpoint = stub(SETTINGS).await;
        let (_, models) = ask(&endpoint, "GET", "/v1/models", "").await;
        let models: serde_json::Value = serde_json::from_str(&models).unwrap();
        assert_eq!(models["data"][0]["id"], MODEL);
        for path in ["/health", "/version"] {
            let (head, _) = ask(&endpoint, "GET", path, "").await;
            assert!(head.starts_with("HTTP/1.1 200"), "{path}");
        }
        let (_, metrics) = ask(&endpoint, "GET", "/metrics", "").await;
        for family in ["vllm:num_requests_running{", "vllm:kv_cache_usage_perc{", "vllm:cache_config_info{"] {
            assert!(metrics.contains(family), "{family}");
        }
        let (head, _) = ask(&endpoint, "GET", "/nothing", "").await;
        assert!(head.starts_with("HTTP/1.1 404"));
    });
}

#[test]
fn settings_change_from_outside() {
    run(async {
        let endpoint = stub(SETTINGS).await;
        let (head, _) = ask(&endpoint, "POST", "/stub/settings?chunks=oops", "").await;
        assert!(head.starts_with("HTTP/1.1 400"));
        Settings { chunks: 9, ..SETTINGS }.apply(&endpoint).await.unwrap();
        let (_, body) = ask(&endpoint, "POST", "/v1/chat/completions", r#"{"stream": true}"#).await;
        assert_eq!(body.matches("data: {").count(), 9);
    });
}
