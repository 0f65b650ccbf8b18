//! What a request costs through Gearshift, and through its peers, on this machine, in one run.
//!
//! One core is the proxies', the others carry the stub engine and the driver. In every round each proxy is
//! started anew, and for each case all of them are measured one after another, in an order that changes from
//! round to round. So what the machine does meanwhile hits all of them, and ratios are taken within a round.
//!
//! - CPU time is what the kernel's scheduler counted for the proxy's processes over a whole closed-loop run,
//!   divided by the requests (or stream chunks) of that run. Most of it is the loopback TCP stack, which no
//!   proxy avoids: that is why the user part stands beside the total.
//! - Added latency is the median through the proxy less the median without one, both of the same round, at a
//!   fixed open-loop rate. Higher percentiles cannot be told apart from the machine's noise this way.
//! - Memory is resident memory, before load and with many streams open.
//!
//! A run in which any response is not as expected has no result.

mod case;
pub(crate) mod conditions;
mod cores;
mod decision;
mod fixture;
mod lineup;
mod measure;
mod options;
pub(crate) mod process;
mod report;
mod stub;
mod subject;
mod table;

pub use crate::report::Spread;
pub use case::Case;
pub use conditions::Conditions;
pub use decision::DecisionRow;
pub use fixture::Fixture;
pub use lineup::Proxy;
pub use options::{BenchOptions, Plan};
pub use report::{Report, Row, TracingCost};
pub(crate) use subject::free_pair;

use std::io::Write as _;

use cores::Cores;
use lineup::Lineup;
use measure::Sample;
use stub::Stub;
use subject::Subject;

use crate::{Error, procfs::MachineTime};

/// One measurement: what, through which proxy, in which round.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) case: Case,
    pub(crate) proxy: Proxy,
    pub(crate) round: usize,
    pub(crate) sample: Sample,
}

/// Runs the benchmark and writes its report. Must run on the main thread, within a `LocalSet`.
///
/// # Errors
/// Where a proxy does not start or any response is not as expected.
pub async fn run(options: &BenchOptions) -> Result<Report, Error> {
    let plan = options.plan();
    let lineup = Lineup::choose(options)?;
    lineup.left_out().for_each(|(proxy, why)| say(&format!("{} is left out: {why}", proxy.name())));
    let cores = Cores::assign()?;
    let before = MachineTime::now()?;
    let decisions = if options.is_whole() {
        say("decisions by themselves, then proxies");
        decision::measure(options)?
    } else {
        Vec::new()
    };
    let measured = measure_all(options, &plan, &lineup, &cores).await?;
    // All children have ended by now: their time counts as this process's own.
    let others = MachineTime::now()?.others_since(before);
    if others > BUSY {
        let percent = others * 100.0;
        say(&format!(
            "other processes took {percent:.0} % of the machine: expect a wide spread, and no latency"
        ));
    }
    let conditions = Conditions::read(&plan, &lineup, &cores, others);
    let report = Report::new(conditions, &measured, decisions);
    report.write(&options.out)?;
    Ok(report)
}

/// The share of the machine that other processes may take before the user is told.
const BUSY: f64 = 0.05;

async fn measure_all(
    options: &BenchOptions,
    plan: &Plan,
    lineup: &Lineup,
    cores: &Cores,
) -> Result<Vec<Measured>, Error> {
    let stub = Stub::start()?;
    let mut measured = Vec::new();
    for round in 0..plan.rounds {
        let subjects = lineup.start(stub.endpoint(), cores.proxy).await?;
        for (number, &case) in options.cases().iter().enumerate() {
            stub.set(case.stub_settings()).await?;
            let (later, first) = subjects.split_at((round + number) % subjects.len());
            for subject in first.iter().chain(later).filter(|subject| case.applies_to(subject.proxy)) {
                let sample = measure::measure(case, subject, plan).await.map_err(|error| {
                    Error::Failed(format!("{} of {}: {error}", case.name(), subject.describe()))
                })?;
                say(&progress(plan, round, case, subject, &sample));
                measured.push(Measured { case, proxy: subject.proxy, round, sample });
            }
        }
    }
    Ok(measured)
}

fn progress(plan: &Plan, round: usize, case: Case, subject: &Subject, sample: &Sample) -> String {
    let values: Vec<String> =
        sample.values.iter().map(|(quantity, value)| format!("{} {value:.1}", quantity.name())).collect();
    let (round, name, proxy) = (round + 1, case.name(), subject.proxy.name());
    format!("round {round}/{} {name:<15} {proxy:<9} {}", plan.rounds, values.join("  "))
}

/// Progress is for people; what standard error does with it is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
