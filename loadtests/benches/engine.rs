//! What simulating costs in CPU time: requests through a fleet in virtual time, at both paces, and one forecast.
//!
//! The workload is like the Azure conversation trace: 1,155 prompt and 211 output tokens on average, both skewed, by
//! Poisson arrivals; every other request goes on where an earlier one ended.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{
    BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use gearshift_config::{Catalog, Knobs};
use gearshift_loadtests::{
    sim::{Engine, EngineSpec, Moment, Output, Pace, RequestId, Scheduling, SimRequest, SimWork, Times},
    workload::{Content, Segment},
};
use rustix::time::{ClockId, clock_gettime};

const ENGINES: usize = 6;
const BLOCK: u32 = 16;
/// Share of the fleet's throughput that is asked for.
const LOADS: [f64; 2] = [0.5, 0.9];
/// A turn goes on where the one so many earlier ended: a multiple of the engines, so that it meets its cache.
const BACK: usize = 8 * ENGINES;
/// Requests a second that one of the engines below can serve: found by raising the rate until queues grow.
const CAPACITY: f64 = 25.0;

fn spec() -> EngineSpec {
    let catalog = Catalog::shipped();
    let hardware = catalog.hardware("h100_sxm").map(Arc::clone).unwrap_or_else(|| unreachable!());
    let model = catalog.model("llama-3.1-8b").map(Arc::clone).unwrap_or_else(|| unreachable!());
    EngineSpec {
        name: "engine".to_owned(),
        hardware_id: "h100_sxm".to_owned(),
        hardware,
        count: 1,
        model_name: "llama".to_owned(),
        model,
        knobs: Knobs::default(),
        draft: None,
        factors: None,
        scheduling: Scheduling::Fcfs,
        max_queued: None,
        block_tokens: BLOCK,
        blocks: None,
        times: Times { start_s: 60.0, sleep_s: 2.0, wake_s: 3.0 },
    }
}

/// Requests with the moments at which they come.
fn workload(count: u64, per_second: f64) -> Vec<(Moment, SimRequest)> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut at = Moment(0);
    let mut ended: Vec<Content> = Vec::new();
    (0..count)
        .map(|id| {
            at = at.after_seconds(-(1.0 - rng.f64()).ln() / per_second);
            // Squares of even draws: many short ones, up to three times the mean.
            let mut skewed =
                |mean: u32| 1 + (mean * 3 * rng.u32(..1000).pow(2).div_ceil(1000)).div_ceil(1000);
            let (prompt, output) = (skewed(950), skewed(211));
            let turn = Segment { seed: 2 * id, tokens: prompt };
            let mut segments = vec![turn];
            if id % 2 == 1 && ended.len() > BACK {
                let before: &Content = &ended[ended.len() - 1 - BACK];
                segments = before.prompt.to_vec();
                segments.extend([before.answer, Segment { tokens: prompt / 4 + 1, ..turn }]);
            }
            let answer = Segment { seed: 2 * id + 1, tokens: output };
            let content = Content { prompt: segments.into(), answer };
            let request = SimRequest {
                id: RequestId(id),
                work: SimWork::Generate,
                prompt_tokens: content.prompt_tokens().min(16_000),
                output_tokens: output,
                blocks: content.chain(BLOCK, 0).into(),
                priority: 0,
                acceptance: 0.7,
            };
            if id % 2 == 0 {
                ended.push(content);
            }
            (at, request)
        })
        .collect()
}

/// Carries a fleet through a workload, two requests to an engine in turn; how many were answered.
fn simulate(engines: &mut [Engine], workload: &[(Moment, SimRequest)], outputs: &mut Vec<Output>) -> u64 {
    for (index, (at, request)) in workload.iter().enumerate() {
        let engine = &mut engines[index / 2 % ENGINES];
        engine.advance(*at, outputs);
        let _ = black_box(engine.submit(request.clone(), *at));
        outputs.clear();
    }
    engines
        .iter_mut()
        .map(|engine| {
            while let Some(next) = engine.next_event() {
                engine.advance(next, outputs);
                outputs.clear();
            }
            engine.totals().finished
        })
        .sum()
}

fn fleet(pace: Pace) -> Vec<Engine> {
    (0..ENGINES as u64).filter_map(|seed| Engine::new(&spec(), pace, seed).ok()).collect()
}

fn requests(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("requests");
    group.sample_size(10);
    let count = 20_000;
    for pace in [Pace::Skip, Pace::Steps] {
        for load in LOADS {
            let workload = workload(count, load * CAPACITY * ENGINES as f64);
            group.throughput(Throughput::Elements(count));
            group.bench_function(BenchmarkId::new(format!("{pace:?}"), load), |b| {
                let mut outputs = Vec::new();
                b.iter_batched_ref(
                    || fleet(pace),
                    |engines| assert_eq!(simulate(engines, &workload, &mut outputs), count),
                    BatchSize::LargeInput,
                );
            });
        }
    }
}

fn forecast(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("what_if");
    for load in LOADS {
        let workload = workload(1000, load * CAPACITY);
        let mut engines = fleet(Pace::Skip);
        let engine = &mut engines[0];
        let mut outputs = Vec::new();
        for (at, request) in &workload[..999] {
            engine.advance(*at, &mut outputs);
            let _ = black_box(engine.submit(request.clone(), *at));
        }
        let (at, request) = &workload[999];
        engine.advance(*at, &mut outputs);
        group.bench_function(BenchmarkId::from_parameter(load), |b| b.iter(|| engine.what_if(request, *at)));
    }
}

/// CPU time of this thread, so that what else runs on the machine counts little.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

criterion_group!(
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = requests, forecast
);
criterion_main!(benches);
