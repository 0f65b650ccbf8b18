//! What is learned from requests: rows that appear in a folder, and what becomes of them when it cannot be written.

use std::{fs, path::Path, process::Command};

use arrow_array::{Array as _, BooleanArray, Float64Array, Int64Array, RecordBatch};
use rustix::process::Signal;

use crate::common::{
    CHAT, COMPLETION, Client, Engine, Exchange, Gearshift, QUESTION, STREAMED, Yaml, post,
    rows::{column, count, list, number, rows, text, written},
    within,
};

const SECRET: &str = "the-prompt-that-nobody-may-find";

/// Two engines that are known, so that there are predictions and rows.
fn yaml(engines: &[&Engine], observations: &str) -> Yaml {
    let entry = |(engine, name): (&&Engine, char)| {
        format!("{{name: {name}, url: \"http://{}\", model: stub, hardware: l4}}", engine.address)
    };
    engines
        .iter()
        .zip('a'..)
        .map(entry)
        .fold(Yaml::new(), |yaml, one| yaml.entry(&one))
        .model("{catalog: qwen3-8b, served_name: stub}")
        .with(&format!("observations: {{{observations}}}"))
}

fn chat(prompt: &str, stream: bool) -> String {
    serde_json::json!({"model": "stub", "stream": stream, "max_tokens": 20,
        "messages": [{"role": "user", "content": prompt}]})
    .to_string()
}

async fn answer(proxy: &Gearshift, engine: &mut Engine, body: String) {
    let (answer, ()) =
        tokio::join!(proxy.post(CHAT, body), async { engine.next().await.json(200, COMPLETION) });
    assert_eq!(answer.status, 200);
}

/// Answers with a stream of twelve tokens and the engine's count.
async fn stream_twelve(engine: &mut Engine) {
    let stream = engine.next().await.events();
    for token in 0..12 {
        stream.send(format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{token}\"}}}}]}}\n\n")).await;
    }
    stream
        .finish(&[
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":16}}}\n\n",
            "data: [DONE]\n\n",
        ])
        .await;
}

/// Compressed bytes hide text, so every value of every row is looked at as well.
fn no_text_of(secret: &str, folder: &Path, batch: &RecordBatch) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{path:?}");
    }
    for column in batch.columns() {
        let shown = format!("{column:?}");
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn a_request_becomes_a_row_without_its_prompt() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(yaml(&[&engine], "url: rows, flush_rows: 2")).await;
    proxy.fleet_ready().await;
    answer(&proxy, &mut engine, chat(SECRET, false)).await;
    let (read, ()) = tokio::join!(proxy.post(CHAT, chat(SECRET, true)), stream_twelve(&mut engine));
    assert_eq!(read.status, 200);
    let folder = proxy.folder().join("rows");
    let batches = written(&folder, 2).await;
    assert_eq!((batches.len(), count(&batches)), (1, 2), "one file of two rows");
    let batch = &batches[0];
    for row in 0..2 {
        let is = |name: &str, wanted: &str| assert_eq!(text(batch, name, row), wanted, "{name}");
        for (name, wanted) in [
            ("source", "live"),
            ("grain", "request"),
            ("model", "stub"),
            ("hardware", "l4"),
            ("backend", "a"),
            ("route", "default"),
            ("ended", "ok"),
            ("objective", "latency"),
            ("fallback", "no_bundle"),
        ] {
            is(name, wanted);
        }
        assert_eq!(number(batch, "propensity", row), 1.0);
        assert!(!column::<BooleanArray>(batch, "explored").value(row));
        assert_eq!(column::<Int64Array>(batch, "status").value(row), 200);
        assert!(column::<Int64Array>(batch, "measured_at_unix_s").value(row) > 1_700_000_000);
        for name in ["predicted_ttft_s", "predicted_e2e_s", "prior_ttft_s", "prior_e2e_s", "e2e_s"] {
            assert!(number(batch, name, row) > 0.0, "{name}");
        }
        let predicted = list(batch, "candidate_e2e_s", row);
        assert!((predicted[0] / number(batch, "predicted_e2e_s", row) - 1.0).abs() < 1e-6, "{predicted:?}");
        assert_eq!(list(batch, "candidate_sequences", row), [0.0]);
    }
    assert!(column::<Float64Array>(batch, "ttft_s").is_null(0), "nothing tells when a whole answer began");
    assert!(number(batch, "ttft_s", 1) > 0.0 && number(batch, "tpot_s", 1) > 0.0);
    assert_eq!(number(batch, "engine_output_tokens", 1), 12.0);
    assert_eq!(
        (number(batch, "engine_prompt_tokens", 1), number(batch, "engine_cached_tokens", 1)),
        (40.0, 16.0)
    );
    no_text_of(SECRET, &folder, batch);
    // The file is there before it is counted.
    let written = async || proxy.scrape().await.sum("gearshift_observations_written_total", &[]);
    within("the count", async { while written().await < 2.0 {} }).await;
    let scrape = proxy.scrape().await;
    assert_eq!(scrape.sum("gearshift_observations_written_total", &[]), 2.0);
    assert_eq!(scrape.sum("gearshift_observations_lost_total", &[]), 0.0);
}

#[tokio::test]
async fn rows_say_how_old_the_engines_software_is() {
    let mut engine = Engine::start().await;
    let proxy = Gearshift::start(yaml(&[&engine], "url: rows, flush_rows: 1")).await;
    proxy.fleet_is("its version", |backend| backend["detected"]["version"] == "0.12.0").await;
    // The next snapshot has it.
    let row = within("a row with it", async {
        for count in 1.. {
            answer(&proxy, &mut engine, chat("hi", false)).await;
            let last = written(&proxy.folder().join("rows"), count).await.pop().unwrap();
            if text(&last, "engine_version", 0) == "0.12.0" {
                return last;
            }
        }
        unreachable!()
    });
    assert!((number(&row.await, "engine_months", 0) - 155.0 / 30.4).abs() < 1e-9, "of December 2025");
}

#[tokio::test]
async fn the_end_writes_what_waits() {
    let mut engine = Engine::start().await;
    let mut proxy = Gearshift::start(yaml(&[&engine], "url: rows, flush_every: 1h")).await;
    proxy.fleet_ready().await;
    for _ in 0..3 {
        answer(&proxy, &mut engine, chat("hi", false)).await;
    }
    // One under way, too: what is cut at the end is a row as well.
    let open = proxy.open(CHAT, STREAMED);
    let (open, stream) = tokio::join!(open, async { engine.next().await.events() });
    stream.send("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n").await;
    drop(open);
    proxy.at_rest().await;
    assert!(rows(&proxy.folder().join("rows")).is_empty());
    proxy.signal(Signal::TERM);
    assert!(proxy.ended().await.success());
    let batches = rows(&proxy.folder().join("rows"));
    assert_eq!(count(&batches), 4);
    let ended: Vec<_> = (0..4).map(|row| text(&batches[0], "ended", row)).collect();
    assert_eq!(ended, ["ok", "ok", "ok", "cancelled"]);
    assert!(column::<Float64Array>(&batches[0], "e2e_s").is_null(3));
    assert!(number(&batches[0], "ended_after_s", 3) > 0.0);
}

/// Whether the first of two engines is asked, and what it is asked.
async fn asked(engines: &mut [Engine; 2]) -> (bool, Exchange) {
    let [first, second] = engines;
    tokio::select! {
        exchange = first.next() => (true, exchange),
        exchange = second.next() => (false, exchange),
    }
}

#[tokio::test]
async fn a_backend_that_fails_before_it_answers_makes_a_row_and_a_decision() {
    let mut engines = [Engine::start().await, Engine::start().await];
    let proxy = Gearshift::start(yaml(&[&engines[0], &engines[1]], "url: rows, flush_rows: 3")).await;
    proxy.fleet_ready().await;
    let (answer, first_failed) = tokio::join!(proxy.post(CHAT, QUESTION), async {
        let (first, exchange) = asked(&mut engines).await;
        exchange.hang_up();
        asked(&mut engines).await.1.json(200, COMPLETION);
        first
    });
    let failed = if first_failed { "a" } else { "b" };
    assert_eq!(answer.status, 200);
    // Another waits for its response, and its client leaves.
    let mut client = Client::http1(proxy.address).await;
    let (_, mut exchange) = tokio::select! {
        asked = asked(&mut engines) => asked,
        answer = client.try_send(post(CHAT, QUESTION)) => panic!("{answer:?}"),
    };
    drop(client);
    exchange.cancelled().await;

    let batches = written(&proxy.folder().join("rows"), 3).await;
    let ended: Vec<_> = (0..3).map(|row| text(&batches[0], "ended", row)).collect();
    assert_eq!(ended, ["upstream_error", "ok", "cancelled"]);
    assert_eq!(text(&batches[0], "backend", 0), failed);
    let whole = |name: &str| {
        let column = column::<Int64Array>(&batches[0], name);
        (0..3).map(|row| column.is_valid(row).then(|| column.value(row))).collect::<Vec<_>>()
    };
    assert_eq!(whole("attempt"), [1, 2, 1].map(Some));
    assert_eq!(whole("requests_failed"), [1, 0, 0].map(Some));
    assert_eq!(whole("status"), [None, Some(200), None]);
    for row in 0..3 {
        assert!(number(&batches[0], "ended_after_s", row) > 0.0);
        assert_eq!(column::<Float64Array>(&batches[0], "e2e_s").is_valid(row), row == 1, "of whole answers");
    }
    explained(&proxy, answer.header("x-request-id"), failed).await;
}

/// `gearshift explain` tells of the attempt before.
async fn explained(proxy: &Gearshift, id: &str, failed: &str) {
    let place = format!("/decisions/{id}");
    let decision = within("the decision", async {
        loop {
            let decision = proxy.operate(&place).await.json();
            if !decision["attempt"].is_null() {
                return decision;
            }
        }
    })
    .await;
    assert_eq!((&decision["attempt"], &decision["outcome"]), (&2.into(), &"ok".into()));
    let earlier = &decision["earlier"][0];
    assert_eq!((&earlier["backend"], &earlier["outcome"]), (&failed.into(), &"upstream_error".into()));
    let admin = format!("http://{}", proxy.admin);
    let explain =
        Command::new(env!("CARGO_BIN_EXE_gearshift")).args(["explain", "--admin", &admin, id]).output();
    let text = String::from_utf8(explain.unwrap().stdout).unwrap();
    // Backends that nobody knows yet are drawn every other time.
    let drawn = earlier["explored"] == true;
    let why = if drawn { "drawn, to get to know a backend" } else { "best without the learner (no bundle)" };
    let line = format!("attempt 1 went to {failed}: {why}; upstream error, after ");
    assert!(text.contains(&line), "{text}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_rows_and_nothing_else() {
    let mut engine = Engine::start().await;
    // A file where the folder should be: so it is refused to root as well.
    let blocked = tempfile::tempdir().unwrap();
    let url = blocked.path().join("rows");
    fs::write(&url, "").unwrap();
    let settings = format!("url: {}, flush_rows: 1, max_pending: 2", url.display());
    let mut proxy = Gearshift::start(yaml(&[&engine], &settings)).await;
    proxy.fleet_ready().await;
    for _ in 0..8 {
        answer(&proxy, &mut engine, chat("hi", false)).await;
    }
    proxy.logged("observations are not written").await;
    let full =
        async || proxy.scrape().await.sum("gearshift_observations_lost_total", &["reason=\"pending_full\""]);
    // At most one is being tried, one waits for the store, two are pending.
    within("rows to be lost", async { while full().await < 4.0 {} }).await;
    let scrape = proxy.scrape().await;
    assert!(scrape.sum("gearshift_observations_pending", &[]) <= 2.0);
    assert!(scrape.sum("gearshift_observation_files_total", &["result=\"failed\""]) >= 1.0);
    // The store is back: what waited is written, and the end is a regular one.
    fs::remove_file(&url).unwrap();
    written(&url, 1).await;
    let lost = full().await;
    proxy.signal(Signal::TERM);
    assert!(proxy.ended().await.success());
    assert_eq!(count(&rows(&url)) as f64, 8.0 - lost);
}

#[tokio::test]
async fn a_store_that_takes_nothing_does_not_delay_the_end() {
    let mut engine = Engine::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("rows");
    fs::write(&url, "").unwrap();
    let mut proxy = Gearshift::start(yaml(&[&engine], &format!("url: {}", url.display()))).await;
    proxy.fleet_ready().await;
    answer(&proxy, &mut engine, chat("hi", false)).await;
    proxy.signal(Signal::TERM);
    proxy.logged("observations are lost").await;
    assert!(proxy.ended().await.success());
}

#[tokio::test]
async fn what_is_not_sampled_is_no_row_but_part_of_the_workload() {
    let mut engine = Engine::start().await;
    let mut proxy = Gearshift::start(yaml(&[&engine], "url: rows, sample: 0, half_life: 1h")).await;
    proxy.fleet_ready().await;
    let long = "x".repeat(4000);
    for _ in 0..4 {
        answer(&proxy, &mut engine, chat(&long, false)).await;
    }
    let window = within("the workload", async {
        loop {
            let workload = proxy.operate("/workload").await.json();
            assert_eq!(workload["half_life_s"], 3600.0);
            let window = workload["models"]["stub"].clone();
            if window["requests"].as_f64().is_some_and(|requests| requests > 3.9) && window["seconds"] != 0.0
            {
                return window;
            }
        }
    })
    .await;
    let share = window["prefix_share"].as_f64().unwrap();
    assert!((0.6..0.75).contains(&share), "the first of four was new: {window}");
    let mean = &window["routes"]["default"]["output_tokens"]["mean"];
    assert!((mean.as_f64().unwrap() - 1.0).abs() < 1e-9, "{window}");
    assert!(window["rate_per_s"].as_f64().unwrap() > 0.0);
    advised(&proxy).await;
    let scrape = proxy.scrape().await;
    assert!((scrape.sum("gearshift_workload_prefix_share", &["model=\"stub\""]) - share).abs() < 0.1);
    assert!(scrape.has("gearshift_workload_prompt_tokens"));
    proxy.signal(Signal::TERM);
    assert!(proxy.ended().await.success());
    assert!(rows(&proxy.folder().join("rows")).is_empty());
}

#[tokio::test]
async fn backends_of_which_too_little_is_known_make_no_rows() {
    let mut engine = Engine::start().await;
    let yaml = Yaml::of(&[&engine]).with("observations: {url: rows, flush_rows: 1}");
    let proxy = Gearshift::start(yaml).await;
    proxy.fleet_ready().await;
    answer(&proxy, &mut engine, QUESTION.to_owned()).await;
    let unknown =
        async || proxy.scrape().await.sum("gearshift_observations_lost_total", &["reason=\"unknown_facts\""]);
    within("it to be counted", async { while unknown().await < 1.0 {} }).await;
}

/// `gearshift advise` takes its numbers from the running proxy.
async fn advised(proxy: &Gearshift) {
    let url = format!("http://{}", proxy.admin);
    let asked = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_gearshift"))
            .args([
                "advise",
                "--model",
                "qwen3-8b",
                "--hardware",
                "l4",
                "--output",
                "json",
                "--from-live",
                &url,
            ])
            .output()
            .unwrap()
    });
    let output = asked.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let advice: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(advice.to_string().contains("rate"), "{advice}");
}
