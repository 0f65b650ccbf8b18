//! What the demo shows: counts of both ways, as they grow.

use std::time::Duration;

use gearshift_config::Declared;
use tokio::{sync::watch, time::Instant};

use super::{DemoOptions, fleet::Readings};
use crate::{
    Error,
    driver::replay::{Event, Failure, Outcome, Results},
    report::Latencies,
    scenario::Scenario,
    workload::Class,
};

/// The two ways that requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Through Gearshift.
    Gearshift,
    /// Straight to the engines, one after the other.
    RoundRobin,
}

impl Side {
    /// Both, in the order of everything that is kept by side.
    pub(super) const ALL: [Self; 2] = [Self::Gearshift, Self::RoundRobin];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gearshift => "gearshift",
            Self::RoundRobin => "round robin",
        }
    }
}

/// An engine as the viewer knows it.
#[derive(Debug, Clone)]
pub(super) struct EngineRow {
    pub(super) name: String,
    pub(super) hardware: String,
    pub(super) profile: String,
    pub(super) price_usd_per_hour: Option<f64>,
}

/// Counts of one way.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) ended: u64,
    pub(super) failed: u64,
    /// Answers that were still under way when the run ended.
    pub(super) unfinished: u64,
    pub(super) output_tokens: u64,
    pub(super) ttft: Latencies,
    pub(super) tpot: Latencies,
    pub(super) e2e: Latencies,
    /// Requests by class and engine.
    pub(super) flows: Vec<Vec<u64>>,
    /// Mean time to first token by second of the run: sum and count.
    pub(super) seconds: Vec<(f64, u32)>,
    /// Everything, once the run ended.
    pub(super) results: Option<Results>,
}

/// The whole picture.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) engines: Vec<EngineRow>,
    pub(super) duration: Duration,
    pub(super) simulated: bool,
    pub(super) elapsed: Duration,
    sides: [Tally; 2],
    begun: Option<Instant>,
    source: Option<watch::Receiver<Readings>>,
    readings: Readings,
}

impl Tally {
    fn new(engines: usize) -> Result<Self, Error> {
        Ok(Self {
            sent: 0,
            ended: 0,
            failed: 0,
            unfinished: 0,
            output_tokens: 0,
            ttft: Latencies::new()?,
            tpot: Latencies::new()?,
            e2e: Latencies::new()?,
            flows: vec![vec![0; engines]; Class::ALL.len()],
            seconds: Vec::new(),
            results: None,
        })
    }

    fn end(&mut self, outcome: &Outcome, engine: Option<usize>) {
        self.ended += 1;
        if let Some(failure) = outcome.failure {
            let count = if failure == Failure::Unfinished { &mut self.unfinished } else { &mut self.failed };
            *count += 1;
            return;
        }
        self.output_tokens += outcome.output_tokens;
        self.e2e.record_seconds(outcome.e2e_s());
        outcome.tpot_s().into_iter().for_each(|tpot| self.tpot.record_seconds(tpot));
        let cell = engine.and_then(|engine| self.flows.get_mut(outcome.class as usize)?.get_mut(engine));
        cell.into_iter().for_each(|count| *count += 1);
    }

    fn first_token(&mut self, ttft_s: f64, elapsed: Duration) {
        self.ttft.record_seconds(ttft_s);
        let second = usize::try_from(elapsed.as_secs()).unwrap_or_default();
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, (0.0, 0));
        }
        if let Some((sum, count)) = self.seconds.get_mut(second) {
            *sum += ttft_s;
            *count += 1;
        }
    }

    /// Share of a class's requests that an engine got, 0–1.
    pub(super) fn share(&self, class: usize, engine: usize) -> f64 {
        let Some(row) = self.flows.get(class) else { return 0.0 };
        let all: u64 = row.iter().sum();
        row.get(engine).map_or(0.0, |&count| count as f64 / all.max(1) as f64)
    }
}

impl Board {
    /// An empty board for a scenario's engines.
    pub(super) fn simulated(scenario: &Scenario, options: &DemoOptions) -> Result<Self, Error> {
        let row = |engine: &crate::scenario::PlannedEngine| EngineRow {
            name: engine.spec.name.clone(),
            hardware: engine.spec.hardware_id.clone(),
            profile: match &engine.backend.profile {
                Declared::Is(profile) => profile.id.to_string(),
                Declared::Detect => "default".to_owned(),
            },
            price_usd_per_hour: engine.backend.price_usd_per_hour,
        };
        Self::new(scenario.engines.iter().map(row).collect(), true, options)
    }

    /// An empty board for real engines.
    pub(super) fn real(options: &DemoOptions) -> Result<Self, Error> {
        let row = |url: &String| EngineRow {
            name: url.trim_start_matches("http://").to_owned(),
            hardware: String::new(),
            profile: String::new(),
            price_usd_per_hour: None,
        };
        Self::new(options.backends.iter().map(row).collect(), false, options)
    }

    fn new(engines: Vec<EngineRow>, simulated: bool, options: &DemoOptions) -> Result<Self, Error> {
        let sides = [Tally::new(engines.len())?, Tally::new(engines.len())?];
        Ok(Self {
            engines,
            duration: Duration::from_secs(options.duration),
            simulated,
            elapsed: Duration::ZERO,
            sides,
            begun: None,
            source: None,
            readings: Readings::default(),
        })
    }

    /// Takes what engines count from `source`.
    pub(super) fn attach(&mut self, source: watch::Receiver<Readings>) {
        self.source = Some(source);
    }

    /// The requests begin.
    pub(super) fn begin(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// The last one ended.
    pub(super) fn end(&mut self) {
        self.refresh();
        self.begun = None;
    }

    /// Reads the clock and the engines.
    pub(super) fn refresh(&mut self) {
        self.elapsed = self.begun.map_or(self.elapsed, |begun| begun.elapsed());
        if let Some(source) = &mut self.source {
            self.readings.clone_from(&source.borrow_and_update());
        }
    }

    /// The counts of one way.
    pub(super) fn side(&self, side: Side) -> &Tally {
        &self.sides[side as usize]
    }

    /// Takes something that happened.
    pub(super) fn take(&mut self, side: Side, event: &Event<'_>) {
        let elapsed = self.begun.map(|begun| begun.elapsed()).unwrap_or_default();
        let tally = &mut self.sides[side as usize];
        match event {
            Event::Sent { .. } => tally.sent += 1,
            Event::FirstToken { ttft_s, .. } => tally.first_token(*ttft_s, elapsed),
            Event::Finished(outcome) | Event::Failed(outcome) => {
                let named = outcome.backend.as_deref();
                let engine = match (named, side) {
                    (Some(name), _) => self.engines.iter().position(|engine| engine.name == name),
                    // Only round robin knows the engine without being told.
                    (None, Side::RoundRobin) => Some(outcome.target),
                    (None, Side::Gearshift) => None,
                };
                tally.end(outcome, engine);
            }
        }
    }

    /// Keeps the results of one way.
    pub(super) fn finish(&mut self, side: Side, results: Results) {
        self.sides[side as usize].results = Some(results);
    }

    /// Requests in an engine now.
    pub(super) fn load(&self, side: Side, engine: usize) -> u32 {
        self.readings[side as usize].get(engine).map_or(0, |reading| reading.requests)
    }

    /// Dollars for a thousand output tokens: each engine's price for the time in which it computed. `None` without
    /// prices or tokens.
    pub(super) fn usd_per_1k(&self, side: Side) -> Option<f64> {
        let priced = self.engines.iter().zip(&self.readings[side as usize]);
        let usd = priced
            .map(|(engine, reading)| Some(engine.price_usd_per_hour? / 3600.0 * reading.busy_s))
            .sum::<Option<f64>>()?;
        self.per_1k(side, usd)
    }

    /// Watt-hours for a thousand output tokens, idle engines included.
    pub(super) fn wh_per_1k(&self, side: Side) -> Option<f64> {
        let joules: f64 = self.readings[side as usize].iter().map(|reading| reading.joules).sum();
        self.per_1k(side, joules / 3600.0)
    }

    fn per_1k(&self, side: Side, amount: f64) -> Option<f64> {
        // All that were generated, as the price and the energy are those of all: unfinished answers cost too.
        let tokens: u64 = self.readings[side as usize].iter().map(|reading| reading.tokens).sum();
        (tokens > 0 && amount > 0.0).then(|| amount * 1000.0 / tokens as f64)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::scenario::Scenario;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: DemoOptions,
    }

    pub(in crate::demo) fn options() -> DemoOptions {
        Cli::parse_from(["demo", "--plain"]).options
    }

    fn outcome(class: Class, backend: Option<&str>) -> Outcome {
        Outcome {
            id: 0,
            class,
            target: 3,
            backend: backend.map(str::to_owned),
            due_s: 1.0,
            sent_s: 1.0,
            first_token_s: Some(1.5),
            last_token_s: Some(2.5),
            end_s: 2.5,
            prompt_tokens: 10,
            output_tokens: 101,
            cached_tokens: None,
            chunks: 101,
            status: Some(200),
            failure: None,
        }
    }

    /// A board on which a chat went to the first engine, a summary to the last, and one request failed.
    pub(in crate::demo) fn board() -> Board {
        let mut board = Board::simulated(&Scenario::shipped("demo").unwrap(), &options()).unwrap();
        board.begin();
        for (id, class) in [(0, Class::Chat), (1, Class::Summary), (2, Class::Code)] {
            board.take(Side::Gearshift, &Event::Sent { id, class, target: 0 });
        }
        board.take(Side::Gearshift, &Event::FirstToken { id: 0, class: Class::Chat, ttft_s: 0.5 });
        board.take(Side::Gearshift, &Event::Finished(&outcome(Class::Chat, Some("h100-draft"))));
        board.take(Side::Gearshift, &Event::Finished(&outcome(Class::Summary, Some("l40s-spot"))));
        let failed = Outcome { failure: Some(Failure::Closed), ..outcome(Class::Code, None) };
        board.take(Side::Gearshift, &Event::Failed(&failed));
        board.take(Side::RoundRobin, &Event::Finished(&outcome(Class::Chat, None)));
        board
    }

    #[test]
    fn requests_are_counted_by_class_and_engine() {
        let board = board();
        let tally = board.side(Side::Gearshift);
        assert_eq!((tally.sent, tally.ended, tally.failed, tally.output_tokens), (3, 3, 1, 202));
        assert_eq!(tally.share(Class::Chat as usize, 0), 1.0);
        assert_eq!(tally.share(Class::Summary as usize, 5), 1.0);
        assert_eq!(tally.share(Class::Code as usize, 0), 0.0, "failed ones went nowhere");
        assert!((tally.tpot.quantile(0.5) - 0.01).abs() < 1e-4);
        assert_eq!(board.side(Side::RoundRobin).share(Class::Chat as usize, 3), 1.0, "by its target");
    }

    #[test]
    fn cost_is_each_engines_price_for_its_busy_time() {
        let mut board = board();
        assert_eq!(board.usd_per_1k(Side::Gearshift), None, "no reading yet");
        let reading =
            |busy_s| crate::demo::fleet::Reading { requests: 1, busy_s, joules: 3600.0, tokens: 100 };
        let (_publish, source) = watch::channel([vec![reading(3.6); 6], Vec::new()]);
        board.attach(source);
        board.refresh();
        let prices: f64 = board.engines.iter().filter_map(|engine| engine.price_usd_per_hour).sum();
        let expected = prices * 0.001 * 1000.0 / 600.0;
        assert!((board.usd_per_1k(Side::Gearshift).unwrap() - expected).abs() < 1e-9);
        assert!((board.wh_per_1k(Side::Gearshift).unwrap() - 6.0 * 1000.0 / 600.0).abs() < 1e-9);
        assert_eq!(board.usd_per_1k(Side::RoundRobin), None);
        assert_eq!((board.load(Side::Gearshift, 2), board.load(Side::RoundRobin, 2)), (1, 0));
    }
}
