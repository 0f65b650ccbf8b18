//! Open-loop replay of a workload: requests go out when they are due, whatever became of those before them.
//!
//! Latencies count from when a request was *due*, so a server that stalls answers for all that came due meanwhile, and so does a
//! driver that is late (no coordinated omission). Every stream is read to its end and checked.
//!
//! ```no_run
//! # async fn example() -> Result<(), gearshift_loadtests::Error> {
//! use std::time::Duration;
//! use gearshift_loadtests::{driver::{Endpoint, replay::{Event, Replay, Slo}}, workload::{Class, Workload}};
//!
//! let workload = Workload::find("drift")?.at_rate(10.0).lasting(Duration::from_secs(60));
//! let replay = Replay::new(vec![Endpoint::resolve("http://127.0.0.1:8080")?], "llama");
//! let slo = Slo { ttft_s: Some(1.0), ..Slo::default() };
//! let mut shown = 0;
//! let results = replay
//!     .run(workload.requests(1), slo, |event| {
//!         if let Event::Finished(outcome) = event
//!             && outcome.class == Class::Chat
//!         {
//!             shown += 1;
//!         }
//!     })
//!     .await?;
//! let total = results.total()?;
//! let per_second = total.good as f64 / results.elapsed_s;
//! # Ok(())
//! # }
//! ```

mod exchange;
mod outcome;
mod report;
mod results;

use std::{collections::HashMap, rc::Rc, time::Duration};

use exchange::{Message, Pool, Shared};
pub use outcome::{Failure, Outcome, Slo};
pub use report::{Conditions, Figures, Percentiles, RunReport};
pub use results::{Results, Totals};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Endpoint, Pacer, post};
use crate::{
    Error,
    workload::{Answers, Api, BodyWriter, Class, Request},
};

/// How a workload is sent.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Where requests go, one after the other: several engines by round robin, or one proxy. At least one.
    pub targets: Vec<Endpoint>,
    /// What requests say; answers always come as streams.
    pub bodies: BodyWriter,
    /// How much faster than the wall the workload's clock runs, as that of simulated engines with the same `--time-scale`.
    /// Latencies are on the workload's clock.
    pub time_scale: f64,
    /// A response header that names the backend which answered.
    pub backend_header: Option<String>,
    /// Wall time that a server may stay silent within a request.
    pub silence: Duration,
    /// Wall time for what is still running when the last request was sent.
    pub drain: Duration,
}

/// What happens in a run, as it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request was sent.
    Sent {
        /// Its number.
        id: u64,
        /// What it is for.
        class: Class,
        /// Which target it went to.
        target: usize,
    },
    /// Its first text came.
    FirstToken {
        /// Its number.
        id: u64,
        /// What it is for.
        class: Class,
        /// From when it was due, seconds of the workload's clock.
        ttft_s: f64,
    },
    /// It ended well.
    Finished(&'a Outcome),
    /// It failed.
    Failed(&'a Outcome),
}

impl Replay {
    /// Chat completions from `model`, in real time, answers told to simulated engines; five minutes of patience.
    pub fn new(targets: Vec<Endpoint>, model: &str) -> Self {
        let bodies =
            BodyWriter { model: model.to_owned(), api: Api::Chat, stream: true, answers: Answers::Told };
        let patience = Duration::from_secs(300);
        Self { targets, bodies, time_scale: 1.0, backend_header: None, silence: patience, drain: patience }
    }

    /// Sends `requests`, which are in order of arrival, and waits for their ends; `observer` sees everything as it happens.
    /// Spawns onto the caller's `LocalSet`.
    ///
    /// # Errors
    /// Where there is no target, the timer fails, or a request's task panicked. A request that fails is a result.
    pub async fn run(
        &self,
        requests: impl IntoIterator<Item = Request>,
        slo: Slo,
        observer: impl FnMut(&Event<'_>),
    ) -> Result<Results, Error> {
        if self.targets.is_empty() {
            return Err(Error::Failed("there is no target to send requests to".into()));
        }
        let (messages, mut inbox) = mpsc::unbounded_channel();
        let shared = Rc::new(Shared {
            start: Instant::now(),
            time_scale: self.time_scale,
            silence: self.silence,
            backend_header: self.backend_header.clone(),
            pools: self.targets.iter().cloned().map(Pool::new).collect(),
            messages,
        });
        let mut run = Run {
            shared,
            observer,
            results: Results::new(slo)?,
            running: HashMap::new(),
            tasks: JoinSet::new(),
        };
        let pacer = Pacer::new()?;
        let mut requests = requests.into_iter();
        // Made while there is nothing to do, not when it is due.
        let mut next = requests.next().map(|request| self.prepare(request));
        let mut last_sent = Instant::now();
        while next.is_some() || !run.running.is_empty() {
            let due = run.due(next.as_ref());
            tokio::select! {
                biased;
                paced = pacer.sleep_until(due), if next.is_some() => {
                    paced?;
                    next.take().into_iter().for_each(|prepared| run.send(prepared));
                    last_sent = Instant::now();
                    next = requests.next().map(|request| self.prepare(request));
                }
                Some(message) = inbox.recv() => run.take(message)?,
                () = sleep_until(last_sent + self.drain), if next.is_none() => run.give_up()?,
            }
        }
        Ok(run.results)
    }

    fn prepare(&self, request: Request) -> Prepared {
        let count = self.targets.len() as u64;
        let target = usize::try_from(request.id % count).unwrap_or_default();
        let body = self.bodies.body(&request);
        let bytes = post(&self.targets[target], self.bodies.api.path(), &body);
        Prepared { request, target, bytes }
    }
}

/// A request that waits to be due.
struct Prepared {
    request: Request,
    target: usize,
    bytes: Vec<u8>,
}

/// A run in progress.
struct Run<F> {
    shared: Rc<Shared>,
    observer: F,
    results: Results,
    running: HashMap<u64, Outcome>,
    tasks: JoinSet<()>,
}

impl<F: FnMut(&Event<'_>)> Run<F> {
    fn due(&self, next: Option<&Prepared>) -> Instant {
        let at = next.map(|prepared| prepared.request.at).unwrap_or_default();
        self.shared.start + at.div_f64(self.shared.time_scale)
    }

    fn send(&mut self, prepared: Prepared) {
        let Prepared { request, target, bytes } = prepared;
        let outcome = Outcome::sent(&request, target, self.shared.now_s());
        (self.observer)(&Event::Sent { id: request.id, class: request.class, target });
        self.running.insert(request.id, outcome.clone());
        self.tasks.spawn_local(exchange::perform(Rc::clone(&self.shared), outcome, bytes));
    }

    fn take(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::FirstToken { id, at_s } => {
                if let Some(outcome) = self.running.get_mut(&id) {
                    outcome.first_token_s = Some(at_s);
                    let (class, ttft_s) = (outcome.class, at_s - outcome.due_s);
                    (self.observer)(&Event::FirstToken { id, class, ttft_s });
                }
            }
            Message::Ended(outcome, gaps_s) => {
                self.running.remove(&outcome.id);
                self.end(&outcome, &gaps_s)?;
                while let Some(ended) = self.tasks.try_join_next() {
                    ended?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, outcome: &Outcome, gaps_s: &[f32]) -> Result<(), Error> {
        self.results.record(outcome, gaps_s)?;
        let event = if outcome.failure.is_none() { Event::Finished(outcome) } else { Event::Failed(outcome) };
        (self.observer)(&event);
        Ok(())
    }

    /// Ends what still runs.
    fn give_up(&mut self) -> Result<(), Error> {
        self.tasks.abort_all();
        let end_s = self.shared.now_s();
        for outcome in std::mem::take(&mut self.running).into_values() {
            self.end(&Outcome { end_s, failure: Some(Failure::Unfinished), ..outcome }, &[])?;
        }
        Ok(())
    }
}
