//! A workload, and the requests it consists of.

use std::{sync::Arc, time::Duration};

use super::{
    ArrivalTimes, Arrivals, Class, Content, Mix, Request, Rhythm, Segment, TRACE_BLOCK_TOKENS, Trace,
    TraceRecord, generate::Generator, random::scramble,
};

/// Which requests come and when: endless, unless [`Self::lasting`] or [`Self::limited`] end it. The same seed gives the
/// same requests.
#[derive(Debug, Clone)]
pub struct Workload {
    name: String,
    source: Source,
    arrivals: Arrivals,
    rate: f64,
    context: u32,
    rhythm: Option<Rhythm>,
    duration: Option<Duration>,
    count: Option<u64>,
}

#[derive(Debug, Clone)]
enum Source {
    Mix(Mix),
    Trace(Arc<Trace>),
}

impl Workload {
    /// Requests of the generator at 1 per second, Poisson, in contexts of at most `context` tokens.
    pub fn generated(name: &str, mix: Mix, context: u32) -> Self {
        Self::new(name, Source::Mix(mix), Arrivals::Poisson, 1.0, context)
    }

    /// A trace as it was recorded; prompts that leave no room for their answer within `context` are cut.
    pub fn recorded(name: &str, trace: Arc<Trace>, context: u32) -> Self {
        let rate = trace.rate();
        Self::new(name, Source::Trace(trace), Arrivals::Trace, rate, context)
    }

    fn new(name: &str, source: Source, arrivals: Arrivals, rate: f64, context: u32) -> Self {
        Self {
            name: name.to_owned(),
            source,
            arrivals,
            rate,
            context,
            rhythm: None,
            duration: None,
            count: None,
        }
    }

    /// What reports call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Requests per second on average.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// How gaps are spread.
    pub fn arrivals(&self) -> Arrivals {
        self.arrivals
    }

    /// How long requests come, where that is limited.
    pub fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// The classes it may have.
    pub fn classes(&self) -> Vec<Class> {
        match &self.source {
            Source::Trace(trace) => vec![trace.class],
            Source::Mix(mix) => {
                let asked = |class: &Class| {
                    mix.phases.iter().any(|phase| phase.weights.to_array()[*class as usize] > 0.0)
                };
                Class::ALL.into_iter().filter(asked).collect()
            }
        }
    }

    /// At another rate, requests per second; positive. A trace with its own arrivals is played faster or slower.
    #[must_use]
    pub fn at_rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// With other gaps. [`Arrivals::Trace`] is Poisson where there is no trace.
    #[must_use]
    pub fn with_arrivals(self, arrivals: Arrivals) -> Self {
        Self { arrivals, ..self }
    }

    /// With a rate that changes over time; what [`Self::rate`] says is then the mean.
    #[must_use]
    pub fn with_rhythm(self, rhythm: Rhythm) -> Self {
        Self { rhythm: Some(rhythm), ..self }
    }

    /// Requests that come within `duration`.
    #[must_use]
    pub fn lasting(self, duration: Duration) -> Self {
        Self { duration: Some(duration), ..self }
    }

    /// At most `count` requests.
    #[must_use]
    pub fn limited(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// With another limit on a prompt and its answer together, tokens; at least 64.
    #[must_use]
    pub fn within_context(self, context: u32) -> Self {
        Self { context: context.max(64), ..self }
    }

    pub(super) fn with_mix(self, change: impl FnOnce(Mix) -> Mix) -> Self {
        let source = match self.source {
            Source::Mix(mix) => Source::Mix(change(mix)),
            Source::Trace(trace) => Source::Trace(trace),
        };
        Self { source, ..self }
    }

    /// The requests of a seed, in order of arrival. A trace is entered at a place that the seed chooses (0: at its beginning)
    /// and goes on from its beginning after its end, with other tokens.
    pub fn requests(&self, seed: u64) -> Requests {
        let source = match &self.source {
            Source::Mix(mix) => {
                Drawn::Generated(Box::new(Generator::new(mix.clone(), self.context, self.rate, seed)))
            }
            Source::Trace(trace) => Drawn::Replayed(Replayed::new(Arc::clone(trace), self.context, seed)),
        };
        let timing = match (&self.source, self.arrivals) {
            (Source::Trace(trace), Arrivals::Trace) => Timing::Recorded { speed: self.rate / trace.rate() },
            _ => Timing::Drawn(self.arrivals.times(self.rate, seed)),
        };
        let rhythm = self.rhythm.clone();
        Requests { source, timing, rhythm, next: 0, duration: self.duration, count: self.count }
    }
}

/// The requests of a workload; see [`Workload::requests`].
#[derive(Debug)]
pub struct Requests {
    source: Drawn,
    timing: Timing,
    rhythm: Option<Rhythm>,
    next: u64,
    duration: Option<Duration>,
    count: Option<u64>,
}

#[derive(Debug)]
enum Drawn {
    Generated(Box<Generator>),
    Replayed(Replayed),
}

#[derive(Debug)]
enum Timing {
    Drawn(ArrivalTimes),
    /// Times over this are when requests come.
    Recorded {
        speed: f64,
    },
}

impl Iterator for Requests {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let id = self.next;
        if self.count.is_some_and(|count| id >= count) {
            return None;
        }
        let at = match (&mut self.timing, &self.source) {
            (Timing::Drawn(times), _) => times.next()?,
            (Timing::Recorded { speed }, Drawn::Replayed(replayed)) => replayed.at(id).div_f64(*speed),
            (Timing::Recorded { .. }, Drawn::Generated(_)) => return None,
        };
        let at = self.rhythm.as_ref().map_or(at, |rhythm| rhythm.at(at));
        if self.duration.is_some_and(|duration| at >= duration) {
            return None;
        }
        self.next += 1;
        Some(match &mut self.source {
            Drawn::Generated(generator) => generator.request(id, at),
            Drawn::Replayed(replayed) => replayed.request(id, at),
        })
    }
}

/// A trace, entered anywhere and repeated.
#[derive(Debug)]
struct Replayed {
    trace: Arc<Trace>,
    context: u32,
    seed: u64,
    /// Where it is entered.
    start: usize,
}

impl Replayed {
    fn new(trace: Arc<Trace>, context: u32, seed: u64) -> Self {
        let count = trace.records().len() as u64;
        let start = if seed == 0 { 0 } else { scramble(seed) % count };
        Self { trace, context, seed: scramble(seed), start: usize::try_from(start).unwrap_or_default() }
    }

    /// The record of request `id`, and how often the trace had ended before it.
    fn record(&self, id: u64) -> (&TraceRecord, u32) {
        let records = self.trace.records();
        let index = self.start as u64 + id;
        let count = records.len() as u64;
        let within = usize::try_from(index % count).unwrap_or_default();
        (&records[within], u32::try_from(index / count).unwrap_or(u32::MAX))
    }

    /// When request `id` comes at the recorded speed.
    fn at(&self, id: u64) -> Duration {
        let (record, pass) = self.record(id);
        (self.trace.span() * pass + record.at).saturating_sub(self.trace.records()[self.start].at)
    }

    fn request(&self, id: u64, at: Duration) -> Request {
        let (record, pass) = self.record(id);
        let salt = scramble(self.seed ^ u64::from(pass));
        let output_tokens = record.output_tokens.min(self.context / 2);
        let prompt_tokens = record.prompt_tokens.min(self.context - output_tokens);
        let answer = Segment { seed: scramble(salt ^ scramble(!id)), tokens: output_tokens };
        let prompt = if record.blocks.is_empty() {
            [Segment { seed: scramble(salt ^ id), tokens: prompt_tokens }].into()
        } else {
            let block = |(index, hash): (u32, &u64)| Segment {
                seed: scramble(salt ^ scramble(*hash)),
                tokens: (prompt_tokens - index * TRACE_BLOCK_TOKENS).min(TRACE_BLOCK_TOKENS),
            };
            let needed = prompt_tokens.div_ceil(TRACE_BLOCK_TOKENS);
            (0..needed).zip(&record.blocks).map(block).collect()
        };
        Request { id, at, class: self.trace.class, content: Content { prompt, answer }, max_tokens: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOONCAKE: &str = r#"{"timestamp": 0, "input_length": 700, "output_length": 9, "hash_ids": [1, 2]}
{"timestamp": 1000, "input_length": 1200, "output_length": 5, "hash_ids": [1, 7, 3]}
{"timestamp": 3000, "input_length": 600, "output_length": 8, "hash_ids": [4, 5]}"#;

    fn mooncake() -> Workload {
        let trace = Trace::mooncake("m", Class::Chat, MOONCAKE).unwrap();
        Workload::recorded("m", Arc::new(trace), 32_768)
    }

    #[test]
    fn a_trace_keeps_its_times_and_shared_prefixes() {
        let requests: Vec<Request> = mooncake().limited(3).requests(0).collect();
        let times: Vec<u64> = requests.iter().map(|request| request.at.as_secs()).collect();
        assert_eq!(times, [0, 1, 3]);
        assert_eq!(
            requests.iter().map(|one| one.content.prompt_tokens()).collect::<Vec<_>>(),
            [700, 1_200, 600]
        );
        let chain = |index: usize| requests[index].content.prompt_chain(16, 0);
        let shared = chain(0).iter().zip(&chain(1)).take_while(|(a, b)| a == b).count();
        assert_eq!(shared, 512 / 16, "the block in common and no more");
        assert_ne!(chain(0)[0], chain(2)[0]);
    }

    #[test]
    fn a_trace_goes_on_after_its_end_with_other_tokens() {
        let requests: Vec<Request> = mooncake().limited(6).requests(0).collect();
        assert_eq!(requests[3].at, Duration::from_millis(4_500), "the last gap is the mean one");
        assert_eq!(requests[3].content.prompt_tokens(), 700);
        assert_ne!(requests[3].content.prompt[0].seed, requests[0].content.prompt[0].seed);
    }

    #[test]
    fn a_trace_is_played_faster_or_with_other_gaps() {
        let natural = mooncake();
        let doubled = natural.clone().at_rate(natural.rate() * 2.0).limited(3);
        assert_eq!(doubled.requests(0).last().unwrap().at, Duration::from_millis(1_500));
        let even = natural.at_rate(10.0).with_arrivals(Arrivals::Constant).limited(3);
        assert_eq!(even.requests(0).last().unwrap().at, Duration::from_millis(300));
    }

    #[test]
    fn a_long_prompt_is_cut_to_the_context() {
        for request in mooncake().within_context(600).limited(3).requests(0) {
            assert!(request.content.prompt_tokens() + request.content.output_tokens() <= 600);
        }
    }

    #[test]
    fn mooncakes_prefixes_are_shared_as_recorded() {
        if std::env::var_os("GEARSHIFT_DATA").is_none() {
            eprintln!("SKIPPED: GEARSHIFT_DATA is not set, Mooncake's shared prefixes are not counted");
            return;
        }
        let workload = Workload::find("mooncake").unwrap().within_context(1 << 20).limited(12_031);
        let (mut seen, mut hits, mut all) = (std::collections::HashSet::new(), 0, 0);
        for request in workload.requests(0) {
            let chain = request.content.prompt_chain(TRACE_BLOCK_TOKENS, 0);
            hits += chain.iter().take_while(|block| seen.contains(*block)).count();
            all += chain.len();
            seen.extend(chain);
        }
        // Over all blocks of the trace it is 36.6 %; here the last ones, which are not whole, do not count.
        let share = hits as f64 / all as f64;
        assert!((0.366..0.40).contains(&share), "{share}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn requests_come_in_order_and_within_the_duration(seed in any::<u64>(), rate in 0.5..200.0_f64, cv in 0.1..4.0_f64, which in 0..3) {
            let base = match which {
                0 => mooncake(),
                1 => Workload::find("drift").unwrap().with_arrivals(Arrivals::Gamma { cv }),
                _ => mooncake().with_arrivals(Arrivals::Gamma { cv }),
            };
            let workload = base.at_rate(rate).lasting(Duration::from_secs(5)).limited(500);
            let requests: Vec<Request> = workload.requests(seed).collect();
            for (index, request) in requests.iter().enumerate() {
                prop_assert_eq!(request.id, index as u64);
                prop_assert!(request.at < Duration::from_secs(5));
                prop_assert!(index == 0 || requests[index - 1].at <= request.at);
            }
            let again: Vec<Duration> = workload.requests(seed).map(|request| request.at).collect();
            prop_assert_eq!(again, requests.iter().map(|request| request.at).collect::<Vec<_>>());
        }
    }
}
