use std::time::Duration;

use gearshift_config::{Objective, RouteId, Slo};
use gearshift_selector::{ModelState, Moment, PrefixChain, RequestFacts, Usage, Work};
use prometheus::Registry;

use super::*;
use crate::{clock, metrics::Outcome};

fn subject() -> Arc<Subject> {
    Arc::new(Subject {
        model: "chat".into(),
        route: RouteId::new("default"),
        objective: Objective::Latency,
        slo: Slo::default(),
        seen: Arc::default(),
    })
}

fn facts(work: Work) -> RequestFacts {
    RequestFacts {
        work,
        prompt_bytes: 400,
        prompt_tokens_exact: None,
        max_tokens: None,
        sequences: 1,
        stream: true,
        prefix: PrefixChain::default(),
    }
}

fn end(arrived: Moment, at: Moment) -> End {
    let usage = Usage { prompt_tokens: 100, completion_tokens: 7, cached_tokens: Some(25) };
    End {
        arrived,
        first: None,
        last: at,
        at,
        outcome: Outcome::Ok,
        status: Some(200),
        counted_tokens: 0,
        usage: Some(usage),
    }
}

#[test]
fn a_full_queue_drops_counts_and_never_waits() {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).unwrap();
    let (reporters, Inboxes(inboxes)) = queues(1, &metrics);
    let (subject, model) = (subject(), ModelState::new());
    // What is dropped would say that it has ended.
    let begin =
        |_| Report::begin(&reporters[0], &subject, &facts(Work::Generate), &model, Moment(1)).unwrap();
    let _under_way: Vec<Report> = (0..QUEUE + 10).map(begin).collect();
    assert_eq!(counted(&registry, "gearshift_observations_lost_total", "queue_full"), 10.0);
    assert_eq!(inboxes[0].try_iter().count(), QUEUE);
    // What does not generate is another workload.
    assert!(Report::begin(&reporters[0], &subject, &facts(Work::Encode), &model, Moment(1)).is_none());
    assert_eq!(inboxes[0].try_iter().count(), 0);
}

#[test]
fn a_report_that_begins_and_ends_makes_a_window() {
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let (reporters, Inboxes(inboxes)) = queues(1, &metrics);
    let (subject, model) = (subject(), ModelState::new());
    let mut trackers = windows::Trackers::new(60.0);
    let start = clock::now();
    for second in 0..100 {
        let arrived = start.after_seconds(f64::from(second));
        let report = Report::begin(&reporters[0], &subject, &facts(Work::Generate), &model, arrived).unwrap();
        report.end(end(arrived, arrived.after(Duration::from_secs(3))), None);
    }
    inboxes.iter().flat_map(Receiver::try_iter).for_each(|event| trackers.take(&event));
    let windows = trackers.windows(start.after_seconds(100.0));
    let ModelView { window, classes, routes } = &windows["chat"];
    assert!((window.rate_per_s - 1.0).abs() < 0.03 && (window.concurrency - 3.0).abs() < 0.1, "{window:?}");
    assert!((window.output_tokens.p50 / 7.0 - 1.0).abs() < 0.1, "{window:?}");
    assert!((window.output_tokens.mean - 7.0).abs() < 1e-9 && window.cached_share == 0.25, "{window:?}");
    assert_eq!(&routes["default"], window);
    assert!(
        (classes[0].output_tokens - 7.0).abs() < 1e-9 && (classes[0].share - 1.0).abs() < 1e-9,
        "{classes:?}"
    );
}

/// A store at a path where a file stands in the way, and its batch of three.
fn blocked(registry: &Registry) -> (tempfile::TempDir, store::Store, store::Batch) {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("rows");
    std::fs::write(&url, "").unwrap();
    let metrics = Metrics::new(registry).unwrap().live;
    let url = url.to_str().unwrap().to_owned();
    let store = store::Store::new(url, "test".into(), metrics, CancellationToken::new());
    let ended = Arc::new(Ended {
        subject: subject(),
        prompt_tokens: 1.0,
        repeated_tokens: 0.0,
        end: end(Moment(1), Moment(2)),
        decided: None,
    });
    let wall = Wall { now: Moment(2), unix_ms: 1_780_000_000_000 };
    (folder, store, store::Batch { ended: [(); 3].map(|()| ended.clone()).into(), first: 0, wall })
}

fn counted(registry: &Registry, name: &str, label: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    let of =
        |one: &&prometheus::proto::Metric| one.get_label().first().is_none_or(|found| found.value() == label);
    family.get_metric().iter().find(of).unwrap().get_counter().get_value()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_given_up_after_two_minutes() {
    let registry = Registry::new();
    let (_folder, store, batch) = blocked(&registry);
    let (sender, batches) = tokio::sync::mpsc::channel(1);
    sender.send(batch).await.unwrap();
    drop(sender);
    let began = tokio::time::Instant::now();
    store.run(batches).await;
    assert!((100..200).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(counted(&registry, "gearshift_observations_lost_total", "store"), 3.0);
    assert_eq!(counted(&registry, "gearshift_observation_files_total", "failed"), 8.0);
    assert_eq!(counted(&registry, "gearshift_observations_written_total", ""), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_gets_what_waited() {
    let registry = Registry::new();
    let (folder, store, batch) = blocked(&registry);
    let (sender, batches) = tokio::sync::mpsc::channel(1);
    sender.send(batch).await.unwrap();
    drop(sender);
    let comes_back = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        std::fs::remove_file(folder.path().join("rows")).unwrap();
    };
    tokio::join!(store.run(batches), comes_back);
    assert_eq!(counted(&registry, "gearshift_observations_written_total", ""), 3.0);
    assert_eq!(counted(&registry, "gearshift_observations_lost_total", "store"), 0.0);
    assert_eq!(std::fs::read_dir(folder.path().join("rows")).unwrap().count(), 1);
}

/// A try whose answer was lost is found by its name, whatever had to be opened anew in between.
#[tokio::test(start_paused = true)]
async fn names_of_files_go_on_where_a_store_was_away() {
    let (folder, store, first) = blocked(&Registry::new());
    let (rows, aside) = (folder.path().join("rows"), folder.path().join("aside"));
    std::fs::remove_file(&rows).unwrap();
    let (sender, batches) = tokio::sync::mpsc::channel(1);
    let next = store::Batch { ended: first.ended.clone(), first: 3, wall: first.wall };
    let files = || -> Vec<String> {
        let entries = std::fs::read_dir(&rows).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let goes_and_comes_back = async {
        sender.send(first).await.unwrap();
        while files().is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::fs::rename(&rows, &aside).unwrap();
        std::fs::write(&rows, "").unwrap();
        sender.send(next).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        std::fs::remove_file(&rows).unwrap();
        std::fs::rename(&aside, &rows).unwrap();
        drop(sender);
    };
    tokio::join!(store.run(batches), goes_and_comes_back);
    let numbers: Vec<_> = files().iter().map(|name| name.rsplit_once('-').unwrap().1.to_owned()).collect();
    assert_eq!(numbers, ["000000.parquet", "000001.parquet"]);
}
