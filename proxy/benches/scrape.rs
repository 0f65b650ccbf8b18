//! What answering a scrape costs at 1,000 backends, all of them in use: the processor's time of the operators' thread,
//! which does it; no request core has a part in it.

#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing better to do")]

use std::{sync::Arc, time::Duration};

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use gearshift_proxy::{
    admission::Admission,
    bundles::Learners,
    control,
    fleet::Fleet,
    metrics::{Metrics, Outcome},
    snapshot::Builder,
};
use prometheus::Registry;
use rustix::time::{ClockId, clock_gettime};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const BACKENDS: u16 = 1_000;

fn configuration() -> String {
    let mut yaml = String::from("routes: [{name: chat, slo: {ttft: 1s}}]\nbackends:\n");
    for number in 0..BACKENDS {
        let port = 10_000 + number;
        yaml += &format!(
            "  - {{name: b{number}, url: \"http://127.0.0.1:{port}\", hardware: l4, model: llama-3.1-8b}}\n"
        );
    }
    yaml
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("time goes forward")
}

/// Of this thread: what other programs do does not count.
fn measure<T>(bencher: &mut Bencher<'_>, mut work: impl FnMut() -> T) {
    bencher.iter_custom(|times| {
        let before = processor_time();
        for _ in 0..times {
            std::hint::black_box(work());
        }
        processor_time().saturating_sub(before)
    });
}

fn scrape(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("gearshift.yaml");
    std::fs::write(&file, configuration()).expect("a file");
    let config = Arc::new(gearshift_config::load(&file).expect("a good configuration"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let registry = Registry::new();
        let families = Metrics::new(&registry).expect("families");
        let mut fleet = Fleet::new(TaskTracker::new(), CancellationToken::new());
        fleet.apply(&config).expect("a fleet");
        let mut builder = Builder::default();
        let snapshot = control::build(&mut builder, &config, &fleet, &Learners::default(), &families);
        let slo = config.routes[0].slo;
        for (route, model, backend) in snapshot.rides() {
            families.ride(route, model, backend, &slo).count(Outcome::Ok);
        }
        let admission = Admission::new();
        let roster = fleet.roster();
        let page = || {
            families.read(&admission, &snapshot);
            families.page(&registry, &roster)
        };
        let samples = page().lines().filter(|line| !line.starts_with('#')).count();
        let name = |part: &str| format!("scrape/{BACKENDS} backends, {samples} samples/{part}");
        c.bench_function(&name("all"), |b| measure(b, page));
        c.bench_function(&name("registry"), |b| measure(b, || registry.gather()));
        c.bench_function(&name("fleet"), |b| {
            measure(b, || {
                let mut page = String::new();
                roster.write_metrics(&mut page);
                page
            });
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = scrape
}
criterion_main!(benches);
