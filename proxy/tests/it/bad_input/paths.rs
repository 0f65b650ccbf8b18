//! Methods and paths that are not for clients.

use super::Ground;
use crate::common::{QUESTION, read_answer};

/// Every endpoint of vLLM that controls the engine or tells of it.
const CONTROL: [&str; 22] = [
    "/sleep",
    "/sleep?level=1",
    "/wake_up",
    "/is_sleeping",
    "/reset_prefix_cache",
    "/reset_mm_cache",
    "/server_info",
    "/pause",
    "/resume",
    "/is_paused",
    "/load",
    "/metrics",
    "/version",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/collective_rpc",
    "/scale_elastic_ep",
    "/is_scaling_elastic_ep",
    "/start_profile",
    "/stop_profile",
    "/docs",
    "/openapi.json",
];

/// Ways around a list of paths.
const TRICKS: [&str; 24] = [
    "/",
    "//",
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/chat/completions/",
    "/V1/CHAT/COMPLETIONS",
    "/v1/../sleep",
    "/v1/chat/completions/../../../sleep",
    "/v1/chat/completions/..%2f..%2fsleep",
    "/./sleep",
    "/%73leep",
    "/v1/%2e%2e/sleep",
    "/v1/chat%2fcompletions",
    "/v1/chat/completions%00",
    "/v1/chat/completions;x=1",
    "/v1/chat/completions%20",
    "/v1/chat/completions%0d%0ax-injected:%201",
    "/v1\\chat\\completions",
    "/sleep#/v1/chat/completions",
    "/.well-known/../sleep",
    "/v1/models/../../sleep",
    "/v1/models/%2e%2e/sleep",
    "/health/../sleep",
    "/v1/chat/completions/sleep",
];

#[tokio::test]
async fn no_path_leads_to_engine_control() {
    let mut ground = Ground::new().await;
    for path in CONTROL.iter().chain(&TRICKS) {
        for method in ["POST", "GET", "PUT", "DELETE", "BREW"] {
            let mut raw = ground.proxy.raw().await;
            let length = QUESTION.len();
            raw.write(format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{QUESTION}"
            ))
            .await;
            let answer = raw.rest().await;
            let (status, body) = read_answer(&answer);
            // What stands under /v1/models/ is a model's name.
            assert!(matches!(status, 400 | 404 | 405), "{method} {path}: {answer}");
            assert!(!answer.to_ascii_lowercase().contains("\r\nx-injected"), "{answer}");
            assert!(status == 400 || body.contains("\"error\""), "{method} {path}: {answer}");
        }
        ground.untouched(path);
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn a_query_hides_nothing() {
    let mut ground = Ground::new().await;
    for path in ["/sleep?/v1/chat/completions", "/?path=/v1/chat/completions", "/wake_up?x=/v1/models"] {
        assert_eq!(ground.proxy.post(path, QUESTION).await.error(404), "unknown_path");
        ground.untouched(path);
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn strange_targets_and_methods_lead_nowhere() {
    let mut ground = Ground::new().await;
    for (line, statuses) in [
        ("CONNECT engine:8000", &[400, 404, 405][..]),
        ("OPTIONS *", &[400, 404, 405]),
        ("TRACE /v1/chat/completions", &[405]),
        ("post /v1/chat/completions", &[405]),
        ("POST engine:8000", &[400, 404]),
        ("POST http://engine/sleep", &[404]),
        ("POST http://engine@127.0.0.1/sleep", &[400, 404]),
        ("GET http://engine", &[404]),
        ("GET v1/models", &[400, 404]),
    ] {
        let mut raw = ground.proxy.raw().await;
        raw.write(format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"))
            .await;
        let answer = raw.rest().await;
        assert!(statuses.contains(&read_answer(&answer).0), "{line}: {answer}");
        ground.untouched(line);
    }
    ground.unharmed().await;
}

#[tokio::test]
async fn neither_listener_answers_the_others_paths() {
    let mut ground = Ground::new().await;
    for path in ["/metrics", "/fleet", "/config", "/livez", "/readyz"] {
        assert_eq!(ground.proxy.get(path).await.error(404), "unknown_path", "{path}");
    }
    for path in
        CONTROL.iter().filter(|path| **path != "/metrics").chain(&["/v1/models", "/v1/chat/completions"])
    {
        assert_eq!(ground.proxy.operate(path).await.status, 404, "{path}");
    }
    ground.untouched("an operator's request");
    ground.unharmed().await;
}
