//! What requests say is what is answered, and who leaves is forgotten.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::yield_now,
};

use gearshift_loadtests::serve::{Runner, ServeOptions};

use super::{events, fast, json, planned, serve, unchunk};
use crate::common::{ask, run};

fn told(tokens: u32, seed: u32, rest: &str) -> String {
    format!(
        r#"{{"messages":[{{"role":"user","content":"why?"}}],"vllm_xargs":{{"sim_output_tokens":{tokens},"sim_answer_seed":{seed}}}{rest}}}"#
    )
}

fn content(answer: &Value) -> String {
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    run(async {
        let (endpoint, _engine) = serve(&planned("{}"), fast()).await;
        let (_, whole) = json(&endpoint, "POST", "/v1/chat/completions", &told(37, 5, "")).await;
        assert_eq!(whole["usage"]["completion_tokens"], 37);
        assert_eq!(whole["choices"][0]["finish_reason"], "stop");
        let body = told(37, 5, r#","stream":true,"stream_options":{"include_usage":true}"#);
        let (_, stream) = ask(&endpoint, "POST", "/v1/chat/completions", &body).await;
        let stream = unchunk(&stream);
        let chunks = events(&stream);
        assert_eq!(chunks.last().unwrap().1, "[DONE]");
        let chunks: Vec<Value> =
            chunks[..chunks.len() - 1].iter().map(|(_, data)| serde_json::from_str(data).unwrap()).collect();
        let text: String =
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, content(&whole));
        assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 37);
        assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
    });
}

#[test]
fn the_next_turn_finds_prompt_and_answer_in_the_cache() {
    run(async {
        let (endpoint, _engine) = serve(&planned("{}"), fast()).await;
        let question = "word ".repeat(100);
        let first = format!(r#"{{"role":"user","content":"{question}"}}"#);
        let ask_for =
            |messages: &str| format!(r#"{{"messages":[{messages}],"max_tokens":64,"ignore_eos":true}}"#);
        let (_, answer) = json(&endpoint, "POST", "/v1/chat/completions", &ask_for(&first)).await;
        assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
        let said = content(&answer);
        let next = format!(
            r#"{first},{{"role":"assistant","content":"{said}"}},{{"role":"user","content":"and?"}}"#
        );
        let (_, answer) = json(&endpoint, "POST", "/v1/chat/completions", &ask_for(&next)).await;
        // 2 + 125 + 2 tokens of prompt and 64 of answer: 12 whole blocks of 16. The last token of an answer is never
        // computed, so its block may be missing.
        let cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        assert!((176..=192).contains(&cached), "{cached}");
        let (_, reset) = json(&endpoint, "POST", "/reset_prefix_cache", "").await;
        assert_eq!(reset["success"], true);
        let (_, answer) = json(&endpoint, "POST", "/v1/chat/completions", &ask_for(&next)).await;
        assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    });
}

#[test]
fn a_client_that_leaves_takes_its_request_out_of_the_engine() {
    run(async {
        let options = ServeOptions { time_scale: 1.0, ..fast() };
        let (endpoint, engine) = serve(&planned("{}"), options).await;
        let body = told(2000, 1, r#","stream":true"#);
        let mut client = TcpStream::connect(endpoint.address()).await.unwrap();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client.write_all((head + &body).as_bytes()).await.unwrap();
        let mut some = [0; 500];
        client.read_exact(&mut some).await.unwrap();
        assert_eq!(engine.gauges().running, 1);
        let (_, load) = json(&endpoint, "GET", "/load", "").await;
        assert_eq!(load["server_load"], 1);
        drop(client);
        while engine.gauges().running > 0 {
            yield_now().await;
        }
        assert!(engine.totals().generation_tokens < 2000);
        let (_, load) = json(&endpoint, "GET", "/load", "").await;
        assert_eq!(load["server_load"], 0);
    });
}

#[test]
fn a_full_queue_is_a_503_and_counted() {
    run(async {
        let options = ServeOptions { time_scale: 1.0, ..fast() };
        let (endpoint, engine) = serve(&planned(r#"{"max_queued":0}"#), options).await;
        let (status, answer) = json(&endpoint, "POST", "/v1/chat/completions", &told(5, 1, "")).await;
        assert_eq!((status, &answer["error"]["code"]), (503, &503.into()));
        assert_eq!(answer["error"]["type"], "Service Unavailable");
        assert_eq!(engine.totals().refused, 1);
    });
}

#[test]
fn a_request_id_comes_back_where_the_server_is_told_to() {
    run(async {
        for echo in [true, false] {
            let options = ServeOptions { request_id_headers: echo, ..fast() };
            let (endpoint, _engine) = serve(&planned("{}"), options).await;
            let body = told(1, 1, "");
            let request = format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nX-Request-Id: mine\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            let answer = crate::common::raw(endpoint.address(), &request).await;
            assert!(answer.contains(r#""id":"chatcmpl-mine""#), "{answer}");
            assert_eq!(answer.contains("x-request-id: mine"), echo);
            assert!(answer.contains("x-sim-engine: sim"));
        }
    });
}

#[test]
fn development_endpoints_are_closed_without_the_mode() {
    run(async {
        let options = ServeOptions { dev_mode: false, ..fast() };
        let (endpoint, _engine) = serve(&planned("{}"), options).await;
        for (method, path) in [("POST", "/sleep"), ("GET", "/server_info"), ("POST", "/reset_prefix_cache")] {
            assert_eq!(json(&endpoint, method, path, "").await.0, 404, "{path}");
        }
        let (_, info) = ask(&endpoint, "GET", "/v1/models", "").await;
        assert!(info.contains("\"max_model_len\":2048"));
    });
}

#[test]
fn sleep_aborts_and_wakes_up_with_a_cold_cache() {
    run(async {
        let (endpoint, engine) = serve(&planned("{}"), fast()).await;
        let prompt = format!(r#"{{"prompt":"{}","max_tokens":2}}"#, "word ".repeat(200));
        json(&endpoint, "POST", "/v1/completions", &prompt).await;
        assert_eq!(json(&endpoint, "POST", "/sleep?level=2", "").await.1["level"], 2);
        assert_eq!(json(&endpoint, "GET", "/is_sleeping", "").await.1["is_sleeping"], true);
        let (_, page) = ask(&endpoint, "GET", "/metrics", "").await;
        assert!(page.contains("sleep_state=\"discard_all\"} 1.0"));
        assert_eq!(json(&endpoint, "GET", "/health", "").await.0, 200, "as vLLM's, it says nothing of sleep");
        assert_eq!(json(&endpoint, "POST", "/wake_up", "").await.1["status"], "awake");
        let (_, answer) = json(&endpoint, "POST", "/v1/completions", &prompt).await;
        assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
        assert_eq!(engine.totals().finished, 2);
        assert_eq!(json(&endpoint, "POST", "/sleep?level=7", "").await.0, 400);
    });
}

#[test]
fn an_engine_that_pools_has_its_own_endpoints() {
    run(async {
        let options = ServeOptions { runner: Runner::Pooling, ..fast() };
        let (endpoint, _engine) = serve(&planned("{}"), options).await;
        let ask = async |path: &str, body: &str| json(&endpoint, "POST", path, body).await;
        let (_, embeddings) = ask("/v1/embeddings", r#"{"input":["a","b","a"]}"#).await;
        let vector = |index: usize| &embeddings["data"][index]["embedding"];
        assert_eq!(vector(0), vector(2));
        assert_ne!(vector(0), vector(1));
        assert_eq!(vector(0).as_array().unwrap().len(), 128);
        assert_eq!(embeddings["usage"]["prompt_tokens"], 3);
        let (_, coded) = ask("/v1/embeddings", r#"{"input":"a","encoding_format":"base64"}"#).await;
        assert_eq!(coded["data"][0]["embedding"].as_str().unwrap().len(), (128 * 4usize).div_ceil(3) * 4);
        let (_, ranked) = ask("/v1/rerank", r#"{"query":"q","documents":["a","b","c"],"top_n":2}"#).await;
        let scores: Vec<f64> = ranked["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["relevance_score"].as_f64().unwrap())
            .collect();
        assert!(scores.len() == 2 && scores[0] >= scores[1]);
        let (_, scores) = ask("/score", r#"{"queries":"q","documents":["a","b"]}"#).await;
        assert_eq!(scores["data"].as_array().unwrap().len(), 2);
        assert_eq!(ask("/classify", r#"{"input":"a"}"#).await.1["data"][0]["num_classes"], 2);
        assert_eq!(ask("/pooling", r#"{"input":"a"}"#).await.1["data"][0]["object"], "pooling");
        assert_eq!(ask("/v1/chat/completions", &told(1, 1, "")).await.0, 404);
        assert_eq!(ask("/v1/embeddings", "{}").await.1["error"]["param"], "body.input");
    });
}

#[test]
fn tokens_are_four_bytes_and_come_back_as_text() {
    run(async {
        let (endpoint, _engine) = serve(&planned("{}"), fast()).await;
        let (_, tokens) =
            json(&endpoint, "POST", "/tokenize", r#"{"prompt":"hello there","return_token_strs":true}"#)
                .await;
        assert_eq!((&tokens["count"], &tokens["token_strs"][0]), (&3.into(), &"hell".into()));
        let back = format!(r#"{{"tokens":{}}}"#, tokens["tokens"]);
        let (_, text) = json(&endpoint, "POST", "/detokenize", &back).await;
        assert_eq!(text["prompt"], "hello there ");
    });
}
