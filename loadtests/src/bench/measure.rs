//! One case, through one proxy, once.

use std::time::Duration;

use tokio::time::sleep;

use super::{Case, Plan, case::Quantity, stub::MODEL, subject::Subject};
use crate::{
    Error,
    driver::{ChatRequest, Expected, Job, Tally, closed::ClosedLoop, open::OpenLoop, streams::Streams},
    procfs::{CpuTime, ProcessTree},
};

/// What one measurement gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// Requests, chunks or streams that it rests on.
    pub(crate) count: u64,
    pub(crate) values: Vec<(Quantity, f64)>,
}

impl Sample {
    /// One of its values.
    pub(crate) fn get(&self, quantity: Quantity) -> Option<f64> {
        self.values.iter().find(|(known, _)| *known == quantity).map(|&(_, value)| value)
    }
}

/// Between load and a reading: what a proxy still does after its last byte belongs to the request.
const SETTLE: Duration = Duration::from_millis(50);
/// Between opening many streams and reading memory.
const SETTLE_STREAMS: Duration = Duration::from_millis(500);
/// Seed of the open loop's arrivals: the same load for everyone.
const SEED: u64 = 0x6765_6172;

/// Measures `case` through `subject`.
pub(super) async fn measure(case: Case, subject: &Subject, plan: &Plan) -> Result<Sample, Error> {
    let stream = matches!(case, Case::SseChunk | Case::RssPerStream);
    let expected = if stream { Expected::Events(case.stub_settings().chunks) } else { Expected::Body };
    let request = ChatRequest { model: MODEL.into(), body_bytes: case.body_bytes(), stream };
    let job = Job::chat(&subject.endpoint, &request, expected);
    match (case, subject.tree()) {
        (Case::RssIdle, Some(tree)) => idle_memory(tree).await,
        (Case::RssPerStream, Some(tree)) => stream_memory(&job, tree, plan).await,
        (Case::AddedP50, _) => latency(&job, plan).await,
        (Case::Traced, Some(tree)) => cpu_at_rate(&job, tree, plan).await,
        (_, tree) => cpu(case, job, tree, plan).await,
    }
}

async fn cpu(case: Case, job: Job, tree: Option<ProcessTree>, plan: &Plan) -> Result<Sample, Error> {
    let mut load = ClosedLoop::new(job, plan.connections);
    checked(load.run(plan.warm_up).await?)?;
    sleep(SETTLE).await;
    let before = tree.map(ProcessTree::cpu_time).transpose()?;
    let tally = checked(load.run(plan.measured).await?)?;
    sleep(SETTLE).await;
    let after = tree.map(ProcessTree::cpu_time).transpose()?;

    let count = if case == Case::SseChunk { tally.events } else { tally.requests };
    let mut values = Vec::new();
    if let (Some(before), Some(after)) = (before, after) {
        let used: CpuTime = after.since(before);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        values.extend([(Quantity::Cpu, each(used.total)), (Quantity::CpuUser, each(used.user()))]);
    }
    values.push((Quantity::PerSecond, count as f64 / tally.elapsed.as_secs_f64()));
    Ok(Sample { count, values })
}

/// In an open loop: where more comes than a core can take, spans find queues full, and cost less than they would.
async fn cpu_at_rate(job: &Job, tree: ProcessTree, plan: &Plan) -> Result<Sample, Error> {
    let load = OpenLoop { rate: f64::from(plan.open_loop_per_second), duration: plan.warm_up, seed: SEED };
    checked(load.run(job).await?)?;
    let before = tree.cpu_time()?;
    let tally = checked(OpenLoop { duration: plan.measured, ..load }.run(job).await?)?;
    sleep(SETTLE).await;
    let used = tree.cpu_time()?.since(before);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / tally.requests as f64;
    let values = vec![(Quantity::Cpu, each(used.total)), (Quantity::CpuUser, each(used.user()))];
    Ok(Sample { count: tally.requests, values })
}

async fn latency(job: &Job, plan: &Plan) -> Result<Sample, Error> {
    let rate = f64::from(plan.open_loop_per_second);
    let load = OpenLoop { rate, duration: plan.warm_up, seed: SEED };
    checked(load.run(job).await?)?;
    let tally = checked(OpenLoop { duration: plan.measured, ..load }.run(job).await?)?;
    Ok(Sample { count: tally.requests, values: vec![(Quantity::LatencyP50, tally.latency_us(0.5))] })
}

async fn idle_memory(tree: ProcessTree) -> Result<Sample, Error> {
    sleep(SETTLE).await;
    Ok(Sample { count: 1, values: vec![(Quantity::Rss, bytes(tree.resident_bytes()?))] })
}

async fn stream_memory(job: &Job, tree: ProcessTree, plan: &Plan) -> Result<Sample, Error> {
    let idle = tree.resident_bytes()?;
    let mut streams = Streams::open(job, plan.streams)?;
    streams.all_begun().await?;
    sleep(SETTLE_STREAMS).await;
    let open = tree.resident_bytes()?;
    drop(streams);
    sleep(SETTLE_STREAMS).await;
    let each = bytes(open.saturating_sub(idle)) / plan.streams as f64;
    Ok(Sample {
        count: plan.streams as u64,
        values: vec![(Quantity::RssPerStream, each), (Quantity::Rss, bytes(open))],
    })
}

/// Figures count only where nothing failed.
fn checked(tally: Tally) -> Result<Tally, Error> {
    match tally.failures.first() {
        Some(first) => {
            let (failed, good) = (tally.failures.count(), tally.requests);
            Err(Error::Failed(format!("{failed} of {} requests failed, the first: {first}", failed + good)))
        }
        None if tally.requests == 0 => Err(Error::Failed("no request was answered in the time given".into())),
        None => Ok(tally),
    }
}

fn bytes(count: u64) -> f64 {
    count as f64
}
