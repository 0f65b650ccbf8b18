//! One request that was served, as far as it can be learned from or judged by.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use gearshift_perfdb::{Ended, Live, Observation};

/// Output tokens of a sequence from which a time per token is measured well enough, as where it serves.
const MEASURABLE_TOKENS: f64 = 8.0;
/// Share of a time that counts as the engine's at least, however long the round trip seems.
const LEAST_AT_ENGINE: f64 = 0.1;
/// Where the engine's count of cached tokens is off the predicted one by more than this share of the prompt, TTFT tells of the cache.
const CACHE_SURPRISE: f64 = 0.25;

/// One request: a row, with what is worked out of it once. Times in seconds.
#[derive(Debug, Clone)]
pub struct Journey {
    /// The row; its [`live`](Observation::live) part is there.
    pub row: Arc<Observation>,
    /// When the decision was made, since 1970; whole seconds decide the order.
    pub sent_s: f64,
    /// When it ended.
    pub ended_s: f64,
    /// To the first token at the engine, the network taken off; `None` of an answer that was not streamed.
    pub ttft_s: Option<f64>,
    /// Per token after the first; `None` where too few came.
    pub tpot_s: Option<f64>,
    /// From the decision to the end, whatever that was, the network included: end to end of a whole answer alone.
    pub ended_after_s: f64,
    /// Output tokens of a sequence that came; `None` where they are not known.
    pub output_tokens: Option<f64>,
    /// Whether the cache held something else than predicted: TTFT says nothing of the engine then.
    pub cache_surprise: bool,
}

/// Rows that are no journeys, by reason.
pub type Left = BTreeMap<&'static str, usize>;

impl Journey {
    fn new(row: Observation) -> Result<Self, &'static str> {
        let live = row.live.as_deref().ok_or("no decision")?;
        let whole = match live.ended {
            Ended::Ok => true,
            Ended::ClientError => return Err("client error"),
            // What failed is not learned from, and counts where policies are judged: engines that fail are not to look fast.
            Ended::UpstreamError | Ended::Cut | Ended::Cancelled => false,
        };
        if !sound(&row, live) {
            return Err("impossible number");
        }
        let at_s = row.at_unix_s.ok_or("no time")? as f64;
        let positive = |seconds: &f64| seconds.is_finite() && *seconds > 0.0;
        let ended_after_s = match (row.outcome.e2e_s.filter(positive).filter(|_| whole), live.ended_after_s) {
            (Some(e2e_s), _) => e2e_s,
            (None, Some(seconds)) if !whole => seconds,
            // Of an earlier version, which said when but not after how long. How a failure counts does not depend on that.
            (None, None) if live.ended.failed() => 0.0,
            (None, _) => return Err("no time"),
        };
        let round_trip_s = live.round_trip_s.unwrap_or(0.0).max(0.0);
        let ttft_s = row.outcome.ttft_s.filter(positive);
        let sequences = f64::from(live.sequences.unwrap_or(1).max(1));
        let output_tokens = live.output_tokens.map(|tokens| tokens / sequences).filter(positive);
        let measurable = whole && output_tokens.is_some_and(|tokens| tokens >= MEASURABLE_TOKENS);
        let cached = row.outcome.cached_tokens;
        let expected = row.workload.cached_tokens;
        let surprise = |cached: f64| (cached - expected).abs() > CACHE_SURPRISE * row.workload.prompt_tokens;
        Ok(Self {
            sent_s: at_s - ended_after_s,
            ended_s: at_s,
            ttft_s: ttft_s
                .filter(|_| whole)
                .map(|ttft_s| (ttft_s - round_trip_s).max(LEAST_AT_ENGINE * ttft_s)),
            tpot_s: row.outcome.tpot_s.filter(positive).filter(|_| measurable),
            ended_after_s,
            output_tokens,
            cache_surprise: cached.is_some_and(surprise),
            row: Arc::new(row),
        })
    }

    /// What was decided.
    pub fn live(&self) -> &Live {
        static NONE: std::sync::LazyLock<Live> = std::sync::LazyLock::new(Live::default);
        self.row.live.as_deref().unwrap_or(&NONE)
    }

    /// The engine it went to: a backend in a profile on a hardware.
    pub fn engine(&self) -> (&str, &str, &str) {
        (&self.live().backend, &self.row.action, &self.row.facts.hardware)
    }

    /// Whether the answer came whole.
    pub fn whole(&self) -> bool {
        self.live().ended == Ended::Ok
    }

    /// Whether a time to first token and a time per token were measured that tell of the engine.
    pub fn teaches(&self) -> bool {
        self.ttft_s.is_some() && self.tpot_s.is_some() && !self.cache_surprise
    }
}

/// Whether its numbers can be: a file may hold anything.
fn sound(row: &Observation, live: &Live) -> bool {
    let may_be = |number: f64| number.is_finite() && number >= 0.0;
    let limits = [live.limit_ttft_s, live.limit_tpot_s, live.limit_e2e_s];
    let optional = [live.round_trip_s, live.ended_after_s, live.output_tokens, row.outcome.cached_tokens];
    let workload = &row.workload;
    let always = [live.propensity, workload.prompt_tokens, workload.output_tokens, workload.cached_tokens];
    limits.iter().flatten().all(|limit| may_be(*limit) && *limit > 0.0)
        && optional.iter().flatten().chain(&always).all(|number| may_be(*number))
        && live.round_trip_s.is_none_or(|seconds| seconds < 3600.0)
}

/// Requests of live rows that an engine answered or failed, in the order in which they ended, and how many rows were left out. A row that is
/// there twice, since its file was written again where the store's answer was lost, counts once.
pub fn journeys(rows: Vec<Observation>) -> (Vec<Journey>, Left) {
    let (mut all, mut left) = (Vec::with_capacity(rows.len()), Left::new());
    let mut known = HashSet::new();
    for row in rows {
        let backend = row.live.as_ref().map(|live| live.backend.clone());
        if !known.insert((row.context.clone(), row.at_unix_s, backend)) {
            *left.entry("written twice").or_default() += 1;
            continue;
        }
        match Journey::new(row) {
            Ok(journey) => all.push(journey),
            Err(reason) => *left.entry(reason).or_default() += 1,
        }
    }
    all.sort_by(|a, b| a.ended_s.total_cmp(&b.ended_s));
    (all, left)
}

#[cfg(test)]
mod tests {
    use gearshift_perfdb::Source;

    use super::*;
    use crate::{
        eval::live::{Decided, MOST},
        live::{Grouping, dataset, made},
        read::parse,
    };

    #[test]
    fn the_network_is_taken_off_and_what_did_not_end_well_teaches_nothing() {
        let mut rows = made::rows(7, 1);
        let live = |row: &mut Observation, change: fn(&mut Live)| change(row.live.as_deref_mut().unwrap());
        live(&mut rows[0], |live| live.round_trip_s = Some(0.02));
        rows[0].outcome.ttft_s = Some(0.1);
        live(&mut rows[1], |live| live.round_trip_s = Some(5.0));
        rows[1].outcome.ttft_s = Some(0.1);
        live(&mut rows[2], |live| live.ended = Ended::Cut);
        // A row of an earlier version: no round trip, no count of sequences.
        live(&mut rows[3], |live| (live.round_trip_s, live.sequences, live.typical) = (None, None, None));
        rows[3].outcome.ttft_s = Some(0.1);
        live(&mut rows[4], |live| live.ended = Ended::ClientError);
        live(&mut rows[5], |live| live.round_trip_s = Some(-1.0));
        live(&mut rows[6], |live| live.limit_ttft_s = Some(f64::NAN));
        let (mut all, left) = journeys(rows);
        assert_eq!(
            all.iter().filter(|one| !one.whole() && !one.teaches()).count(),
            1,
            "the one that was cut"
        );
        all.retain(Journey::whole);
        let ttft: Vec<f64> = all.iter().map(|one| one.ttft_s.unwrap()).collect();
        assert!((ttft[0] - 0.08).abs() < 1e-9 && (ttft[1] - 0.01).abs() < 1e-9 && ttft[2] == 0.1, "{ttft:?}");
        assert_eq!(left, Left::from([("client error", 1), ("impossible number", 2)]));
        assert!(all.iter().all(Journey::teaches));
    }

    /// Written by the proxy's own code, which a test there holds it to.
    #[test]
    fn what_failed_where_it_serves_is_judged_and_teaches_nothing() {
        let file = include_bytes!("../../../../perfdb/fixtures/ended.parquet");
        let mut rows = Vec::new();
        parse("ended.parquet", file.as_slice().into(), &[Source::Live], &mut rows).unwrap();
        let (all, left) = journeys(rows);
        assert_eq!(left, Left::from([("client error", 1)]));
        let told: Vec<_> = all
            .iter()
            .map(|one| {
                let after_ms = (one.ended_after_s * 1e3).round();
                (one.live().ended, one.live().attempt, after_ms, Decided::new(one).unwrap().cost())
            })
            .collect();
        use Ended::{Cancelled, Cut, Ok, UpstreamError};
        let costs = |ended, attempt, after_ms, cost| (ended, attempt, after_ms, cost);
        let wanted = [
            costs(UpstreamError, 1, 3.0, MOST),
            costs(Ok, 2, 200.0, 1.0),
            costs(Cut, 1, 400.0, MOST),
            costs(UpstreamError, 1, 20.0, MOST),
            costs(UpstreamError, 1, 2.0, MOST),
            costs(Cancelled, 1, 7000.0, MOST),
        ];
        assert_eq!(told.len(), wanted.len(), "{told:?}");
        for (one, wanted) in told.iter().zip(&wanted) {
            assert_eq!((one.0, one.1, one.2), (wanted.0, wanted.1, wanted.2), "{told:?}");
            assert!((one.3 - wanted.3).abs() < 0.05, "{told:?}");
        }
        assert!(all.iter().all(|one| one.teaches() == one.whole()));
        let dataset = dataset(&all, &Grouping::default());
        assert_eq!(dataset.samples.len(), 1, "trained on is the whole answer alone");
    }

    #[test]
    fn a_failure_of_an_earlier_version_counts_without_its_time() {
        let mut rows = made::rows(2, 1);
        made::end(&mut rows[0], Ended::UpstreamError, 1.0);
        made::end(&mut rows[1], Ended::Cancelled, 1.0);
        rows.iter_mut().for_each(|row| row.live.as_deref_mut().unwrap().ended_after_s = None);
        let (all, left) = journeys(rows);
        assert_eq!((all.len(), left), (1, Left::from([("no time", 1)])));
        assert_eq!(Decided::new(&all[0]).unwrap().cost(), MOST);
    }

    #[test]
    fn a_file_that_was_written_twice_counts_once() {
        let rows = made::rows(5, 1);
        let (all, left) = journeys([rows.clone(), rows].concat());
        assert_eq!((all.len(), left), (5, Left::from([("written twice", 5)])));
    }

    #[test]
    fn a_cache_that_surprised_teaches_nothing() {
        let mut rows = made::rows(2, 1);
        rows[0].outcome.cached_tokens = Some(0.9 * rows[0].workload.prompt_tokens);
        rows[1].live.as_deref_mut().unwrap().output_tokens = Some(3.0);
        let (all, _) = journeys(rows);
        assert!(all[0].cache_surprise && !all[0].teaches());
        assert!(all[1].tpot_s.is_none() && !all[1].teaches());
    }
}
