//! What is written of requests that ended in every way. Training's tests read the same file.

use std::{path::Path, sync::Arc, time::Duration};

use arrow_array::RecordBatch;
use gearshift_config::{BackendId, Catalog, Knobs, Objective, RouteId, Slo};
use gearshift_perfdb::{Facts, to_parquet};
use gearshift_selector::{
    Decision, Entrant, Load, ModelState, Moment, Prediction, PrefixChain, Ranked, RequestFacts, Software,
    Upper, Usage, Work,
};
use http::HeaderValue;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prometheus::Registry;

use super::{event::Event, rows::rows, *};
use crate::metrics::Outcome;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../perfdb/fixtures/ended.parquet");

fn at(milliseconds: u64) -> Moment {
    Moment(1_000_000_000).after(Duration::from_millis(milliseconds))
}

fn engine(name: &str) -> Arc<Engine> {
    let catalog = Catalog::shipped();
    let facts = Facts {
        model: "qwen3-8b".into(),
        family: "qwen3-8b".into(),
        model_facts: catalog.model("qwen3-8b").unwrap().as_ref().clone(),
        hardware: "l4".into(),
        hardware_facts: catalog.hardware("l4").unwrap().as_ref().clone(),
        count: 1,
        lossless: true,
        knobs: Knobs::default(),
        software: Software::default(),
        engine_version: None,
        kv_tokens: None,
    };
    Arc::new(Engine { backend: BackendId::new(name), profile: "p".into(), facts: Some(facts) })
}

/// The second of two, with a round trip of 1 ms.
fn decided(began: Moment, attempt: u32) -> Box<Decided> {
    let upper = Upper { ttft_s: 1.0, tpot_s: 0.1, e2e_s: 9.0 };
    let prediction = Prediction {
        ttft_s: 0.1,
        tpot_s: 0.01,
        e2e_s: 0.2,
        cost_usd: None,
        energy_j: None,
        prior_ttft_s: 0.1,
        prior_tpot_s: 0.01,
        concurrency: 1.0,
        upper,
        learned: None,
    };
    let chosen =
        Ranked { index: 1, prediction: Some(prediction), cached_tokens: 0, score: 0.2, meets_slo: true };
    let entrant = |index| Entrant {
        index,
        score: 0.2,
        meets: true,
        ttft_s: 0.1,
        tpot_s: 0.01,
        e2e_s: 0.2,
        imposed_s: 0.0,
        failures: 0.0,
        prior_ttft_s: 0.1,
        prior_tpot_s: 0.01,
        learned: None,
        cost_usd: f32::NAN,
        energy_j: f32::NAN,
        cached_tokens: 0,
        load: Some(Load::default()),
        load_age_s: None,
    };
    Box::new(Decided {
        request: HeaderValue::from_static("id"),
        at: began,
        decision: Decision {
            chosen,
            considered: 2,
            fallback: None,
            prompt_tokens: 100,
            expected_output_tokens: 11,
            propensity: 0.5,
            explored: false,
            even_e2e_s: None,
            rival: None,
        },
        field: [entrant(0), entrant(1)].into(),
        engines: [engine("a"), engine("b")].into_iter().collect(),
        bundle: None,
        load_age_s: None,
        round_trip_s: 0.001,
        typical: ModelState::new().typical(),
        stream: true,
        sequences: 1,
        attempt,
    })
}

fn end(began: u64, after: u64, outcome: Outcome, status: u16) -> End {
    let whole = outcome == Outcome::Ok;
    let usage = Usage { prompt_tokens: 100, completion_tokens: 11, cached_tokens: Some(0) };
    End {
        arrived: at(began),
        first: (whole || outcome == Outcome::Cut).then(|| at(began + 100)),
        last: at(began + after),
        at: at(began + after),
        outcome,
        status: Some(status),
        counted_tokens: 5,
        usage: whole.then_some(usage),
    }
}

/// Six requests, one of which is tried twice, as the observer hears of them.
fn events() -> Vec<Event> {
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let (reporters, Inboxes(inboxes)) = queues(1, &metrics);
    let subject = Arc::new(Subject {
        model: "chat".into(),
        route: RouteId::new("default"),
        objective: Objective::Latency,
        slo: Slo::default(),
        seen: Arc::default(),
    });
    let facts = RequestFacts {
        work: Work::Generate,
        prompt_bytes: 400,
        prompt_tokens_exact: Some(100),
        max_tokens: None,
        sequences: 1,
        stream: true,
        prefix: PrefixChain::default(),
    };
    let model = ModelState::new();
    let begin = |began| Report::begin(&reporters[0], &subject, &facts, &model, at(began)).unwrap();
    let first = |began| Some(decided(at(began), 1));
    let tried_again = begin(0);
    tried_again.failed(None, first(0), at(3));
    tried_again.end(end(3, 200, Outcome::Ok, 200), Some(decided(at(3), 2)));
    begin(1000).end(end(1000, 400, Outcome::Cut, 200), first(1000));
    begin(2000).end(end(2000, 20, Outcome::UpstreamError, 500), first(2000));
    begin(3000).abandoned(first(3000), at(3000 + 7000));
    begin(4000).end(end(4000, 5, Outcome::ClientError, 400), first(4000));
    let given_up = begin(5000);
    given_up.failed(Some(503), first(5000), at(5002));
    drop(given_up);
    inboxes.iter().flat_map(Receiver::try_iter).collect()
}

/// Without what changes from version to version.
fn batch(bytes: impl Into<bytes::Bytes>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.into()).unwrap().build().unwrap();
    let mut batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let mut batch = batches.pop().unwrap();
    assert!(batches.is_empty());
    batch.remove_column(batch.schema().index_of("provenance").unwrap());
    batch
}

#[test]
fn every_attempt_makes_a_row_whatever_came_of_it() {
    let kept = |event| match event {
        Event::Ended(ended) | Event::Failed(ended) => Some(ended).filter(|ended| ended.decided.is_some()),
        Event::Arrived { .. } => None,
    };
    let ended: Vec<_> = events().into_iter().filter_map(kept).collect();
    let wall = Wall { now: at(20_000), unix_ms: 1_780_000_020_000 };
    let file = to_parquet(&rows(&ended, "replica", 0, wall)).unwrap();
    if std::env::var_os("UPDATE_ROWS").is_some() {
        std::fs::create_dir_all(Path::new(FILE).parent().unwrap()).unwrap();
        std::fs::write(FILE, &file).unwrap();
    }
    let committed = std::fs::read(FILE).unwrap();
    assert!(batch(file) == batch(committed), "run `UPDATE_ROWS=1 cargo test -p gearshift row_tests`");
}

#[test]
fn a_window_counts_a_request_once_however_it_ended() {
    // So slow to forget that all weigh the same.
    let mut trackers = windows::Trackers::new(1e15);
    let events = events();
    events.iter().for_each(|event| trackers.take(event));
    // The last one was given up, by the process's clock.
    let now = events.last().unwrap().at();
    let windows = trackers.windows(now);
    let model = &windows["chat"];
    let seconds = 0.2 + 0.4 + 0.02 + 7.0 + 0.005 + now.seconds_since(at(5000));
    for window in [&model.window, &model.routes["default"]] {
        assert!((window.requests - 6.0).abs() < 1e-6, "{window:?}");
        assert!((window.seconds * 6.0 / seconds - 1.0).abs() < 1e-6, "{window:?}, not {seconds} s in all");
    }
}
