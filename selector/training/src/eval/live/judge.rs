//! Policies compared on held-out live rows, and the verdict.

use std::collections::BTreeMap;

use gearshift_loadtests::report::{Interval, mean, median};
use gearshift_selector::Bundle;
use serde::Serialize;

use super::{
    Arm, Choice, Decided, Difference, Estimate, Settings, Told, Tried, blocks, decided::cut_short, differ,
    estimate, expected, replayed,
};
use crate::{
    Error,
    live::{Journey, Left},
};

/// How it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Options {
    /// Share of the rows that are held out, the newest.
    pub held_out: f64,
    /// What a gain must exceed, as a share of what the best candidate was expected to take.
    pub margin: f64,
    /// How values are estimated.
    pub estimate: Settings,
}

impl Default for Options {
    fn default() -> Self {
        Self { held_out: 0.2, margin: 0.005, estimate: Settings::default() }
    }
}

/// What the rows are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rows {
    /// Requests that an engine answered or failed.
    pub answers: usize,
    /// Rows that are none, and decisions with more candidates than a row has, by reason.
    pub left_out: Left,
    /// Decisions that are judged: held out, with all candidates known.
    pub judged: usize,
    /// Of these, how many explored.
    pub explored: usize,
    /// When the held-out rows begin, seconds since 1970.
    pub from_unix_s: f64,
    /// When the last one was sent.
    pub to_unix_s: f64,
    /// Decisions by the bundle that was active.
    pub bundles: BTreeMap<String, usize>,
}

/// How predictions did, of what was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Errors {
    /// How many.
    pub count: usize,
    /// Mean of |predicted / actual − 1|.
    pub mape: f64,
    /// Median of |ln(actual / predicted)|.
    pub median_ln: f64,
    /// Mean of ln(actual / predicted): above 0 it takes longer than predicted.
    pub bias_ln: f64,
    /// Share that stayed below the time that nine of ten are predicted to stay below; `None` where none was predicted.
    pub within_upper: Option<f64>,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyReport {
    /// `new`, `running` or `logged`.
    pub name: &'static str,
    /// The bundle that it asks; `None` for the calibrated prior, or what was active.
    pub bundle: Option<String>,
    /// What it costs.
    pub loss: Estimate,
    /// Its predictions of the time to first token.
    pub ttft: Option<Errors>,
    /// Of the time per output token.
    pub tpot: Option<Errors>,
}

/// A paired difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pair {
    /// The one that would be better if the gain is above 0.
    pub one: &'static str,
    /// Than this.
    pub than: &'static str,
    /// By how much.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Whether the new bundle is to be offered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether the lower bound of its gain over the running one is above the margin, and there is no [doubt](Difference::doubt).
    pub better: bool,
    /// In a sentence.
    pub because: String,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveReport {
    /// How it was judged.
    pub options: Options,
    /// On what.
    pub rows: Rows,
    /// The policies.
    pub policies: Vec<PolicyReport>,
    /// Their differences.
    pub differences: Vec<Pair>,
    /// `None` where no new bundle was named.
    pub verdict: Option<Verdict>,
    /// Predicted and actual of the chosen, by policy: for the plot.
    #[serde(skip)]
    pub points: Vec<(&'static str, Vec<(f64, f64)>)>,
}

/// What is compared.
#[derive(Debug)]
pub struct Judged<'j> {
    /// Answers in the order of time.
    pub journeys: &'j [Journey],
    /// Rows that are no answers.
    pub left: &'j Left,
    /// A bundle and its name; `None` to judge the running one alone.
    pub new: Option<(&'j str, &'j Bundle)>,
    /// The bundle that is active, and its name; `None` for the calibrated prior.
    pub running: Option<(&'j str, &'j Bundle)>,
    /// When the newest row ended that the new one was trained on: later ones are held out, instead of a share.
    pub trained_until_s: Option<f64>,
}

/// What a policy, its bundle by name, says of every journey.
type Said<'j> = (&'static str, Option<&'j str>, Vec<Option<Told>>);

/// One decision that is judged.
struct Case<'j> {
    journey: &'j Journey,
    decided: Decided,
}

/// Compares the new, the running and the logged policy on the newest rows.
///
/// # Errors
/// Where there are too few rows, or a bundle cannot encode an engine.
pub fn judge(judged: &Judged<'_>, options: &Options) -> Result<LiveReport, Error> {
    let until_s = judged.trained_until_s.unwrap_or_else(|| {
        let last = split(judged.journeys, options.held_out).checked_sub(1);
        last.map_or(f64::NEG_INFINITY, |at| judged.journeys[at].ended_s)
    });
    // The new one comes in then; the running one was there before.
    let running_s = since(judged.journeys, judged.running).unwrap_or(until_s);
    let arms = [("new", judged.new, until_s), ("running", judged.running, running_s)];
    let arms = arms.into_iter().filter(|(name, bundle, _)| *name == "running" || bundle.is_some());
    let mut told: Vec<Said<'_>> = Vec::new();
    for (name, bundle, from_s) in arms {
        let mut arm = Arm::new(bundle.map(|(_, bundle)| bundle), from_s)?;
        told.push((name, bundle.map(|(id, _)| id), replayed(&mut arm, judged.journeys)?));
    }
    let known = |at: usize| told.iter().all(|(.., told)| told[at].is_some());
    let decided: Vec<Option<Decided>> = (0..judged.journeys.len())
        .map(|at| Decided::new(&judged.journeys[at]).filter(|_| known(at)))
        .collect();
    // What was sent before was under way while the last rows of the training came in. It is learned from first, and not judged.
    let held_out = |at: &usize| judged.journeys[*at].sent_s > until_s;
    let (later, mut positions): (Vec<usize>, Vec<usize>) =
        (0..decided.len()).filter(|&at| decided[at].is_some()).partition(held_out);
    let first = positions.len();
    positions.extend(later);
    let pairs: Vec<(&Journey, Decided)> =
        positions.iter().filter_map(|&at| Some((&judged.journeys[at], decided[at].clone()?))).collect();
    if pairs.len() - first < LEAST {
        return Err(Error::Failed(format!(
            "{} held-out decisions can be judged; {LEAST} at least are needed (rows need candidates with predictions; see `explore` and `sample`)",
            pairs.len() - first
        )));
    }
    let losses = expected(&pairs, first, options.estimate.seed);
    let cases: Vec<Case<'_>> =
        pairs.into_iter().skip(first).map(|(journey, decided)| Case { journey, decided }).collect();
    let choices: Vec<Choice> = cases
        .iter()
        .zip(losses)
        .map(|(case, expected)| choice(case.journey, &case.decided, expected))
        .collect();
    Ok(report(judged, options, &positions[first..], &cases, &choices, &told))
}

/// Decisions that an estimate needs at least.
pub(super) const LEAST: usize = 50;

/// What was chosen, and what a model expects of all candidates.
pub(super) fn choice(journey: &Journey, decided: &Decided, expected: Vec<f64>) -> Choice {
    Choice {
        at_s: journey.sent_s,
        chosen: decided.chosen,
        propensity: decided.propensity,
        loss: decided.cost(),
        expected,
    }
}

/// Since when a bundle decides, as far as rows go back; `None` where none names it.
pub(super) fn since(journeys: &[Journey], bundle: Option<(&str, &Bundle)>) -> Option<f64> {
    let (name, _) = bundle?;
    let own = journeys.iter().filter(|journey| journey.live().bundle.as_deref() == Some(name));
    own.map(|journey| journey.sent_s).min_by(f64::total_cmp)
}

/// Why these requests, held out, would give no verdict whatever is compared; `None` where they may.
pub fn judgeable(held_out: &[Journey], settings: &Settings) -> Option<String> {
    let times: Vec<f64> =
        held_out.iter().filter(|one| Decided::new(one).is_some()).map(|one| one.sent_s).collect();
    if times.len() < LEAST {
        return Some(format!("{} of the newest decisions can be judged, {LEAST} are needed", times.len()));
    }
    let blocks = blocks(times.iter().copied(), settings);
    (blocks < settings.least_blocks).then(|| {
        format!(
            "the newest decisions lie in {blocks} blocks of {:.0} s, {} are needed",
            settings.block_s, settings.least_blocks
        )
    })
}

/// Position from which on journeys are held out.
pub fn split(journeys: &[Journey], held_out: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let held = (journeys.len() as f64 * held_out.clamp(0.0, 1.0)).round() as usize;
    journeys.len() - held
}

fn report(
    judged: &Judged<'_>,
    options: &Options,
    positions: &[usize],
    cases: &[Case<'_>],
    choices: &[Choice],
    told: &[Said<'_>],
) -> LiveReport {
    let settings = &options.estimate;
    let (mut policies, mut tried, mut points) = (Vec::new(), Vec::new(), Vec::new());
    for (name, bundle, told) in told {
        let said: Vec<&Told> = positions.iter().filter_map(|&at| told[at].as_ref()).collect();
        let chances: Vec<Vec<f64>> = said.iter().map(|told| told.chances.clone()).collect();
        let one = Tried::new(choices, &chances, settings);
        let ttft = errors(cases.iter().zip(&said).filter_map(|(case, told)| {
            let tells = case.journey.whole() && !case.journey.cache_surprise;
            let actual = case.journey.row.outcome.ttft_s.filter(|_| tells)?;
            Some((told.predicted.0, actual, Some(told.upper.0)))
        }));
        let of_tpot = || {
            cases
                .iter()
                .zip(&said)
                .filter_map(|(case, told)| Some((told.predicted.1, case.journey.tpot_s?, Some(told.upper.1))))
        };
        points.push((*name, of_tpot().map(|(predicted, actual, _)| (predicted, actual)).collect()));
        let bundle = bundle.map(str::to_owned);
        policies.push(PolicyReport {
            name,
            bundle,
            loss: estimate(&one, settings),
            ttft,
            tpot: errors(of_tpot()),
        });
        tried.push((*name, one));
    }
    let logged = Tried::logged(choices, settings);
    policies.push(PolicyReport {
        name: "logged",
        bundle: None,
        loss: estimate(&logged, settings),
        ttft: errors(cases.iter().filter_map(|case| {
            let prediction = case.journey.live().prediction?;
            Some((prediction.ttft_s, case.journey.row.outcome.ttft_s?, None))
        })),
        tpot: errors(
            cases.iter().filter_map(|case| {
                Some((case.journey.live().prediction?.tpot_s, case.journey.tpot_s?, None))
            }),
        ),
    });
    tried.push(("logged", logged));
    let mut differences = Vec::new();
    for (at, (one, of_one)) in tried.iter().enumerate() {
        for (than, of_other) in &tried[at + 1..] {
            differences.push(Pair { one, than, difference: differ(of_one, of_other, settings) });
        }
    }
    let verdict = judged.new.map(|_| verdict(&differences, options));
    LiveReport { options: *options, rows: rows(judged, cases), policies, differences, verdict, points }
}

fn verdict(differences: &[Pair], options: &Options) -> Verdict {
    let pair = differences.iter().find(|pair| pair.one == "new" && pair.than == "running");
    let Some(Pair { difference, .. }) = pair else {
        return Verdict { better: false, because: "there is nothing to compare it with".to_owned() };
    };
    let Difference { gain, ci95, effective, .. } = difference;
    let doubt = difference.doubt(&options.estimate);
    let better = doubt.is_none() && ci95.low > options.margin;
    let mut because = format!(
        "the new bundle costs less than the running one by {:.2} % of what the best candidate was expected to take ({:.2} to {:.2} %; {effective:.0} \
         decisions tell them apart)",
        100.0 * gain,
        100.0 * ci95.low,
        100.0 * ci95.high,
    );
    because.push_str(&match doubt {
        Some(doubt) => format!("; no verdict: {doubt}"),
        None if better => format!("; the lower end is above the margin of {:.2} %", 100.0 * options.margin),
        None => format!("; the lower end is not above the margin of {:.2} %", 100.0 * options.margin),
    });
    Verdict { better, because }
}

fn rows(judged: &Judged<'_>, cases: &[Case<'_>]) -> Rows {
    let mut bundles = BTreeMap::new();
    for case in cases {
        let name = case.journey.live().bundle.clone().unwrap_or_else(|| "none".to_owned());
        *bundles.entry(name).or_default() += 1;
    }
    let mut left_out = judged.left.clone();
    let more = judged.journeys.iter().filter(|journey| cut_short(journey)).count();
    if more > 0 {
        left_out.insert("more candidates than a row has", more);
    }
    let sent = |case: Option<&Case<'_>>| case.map_or(f64::NAN, |case| case.journey.sent_s);
    Rows {
        answers: judged.journeys.len(),
        left_out,
        judged: cases.len(),
        explored: cases.iter().filter(|case| case.journey.live().explored).count(),
        from_unix_s: sent(cases.first()),
        to_unix_s: sent(cases.last()),
        bundles,
    }
}

/// Of predicted, actual and upper times.
fn errors(times: impl Iterator<Item = (f64, f64, Option<f64>)>) -> Option<Errors> {
    let known: Vec<_> = times.filter(|(predicted, actual, _)| *predicted > 0.0 && *actual > 0.0).collect();
    if known.is_empty() {
        return None;
    }
    let each = |of: fn(&(f64, f64, Option<f64>)) -> f64| known.iter().map(of).collect::<Vec<f64>>();
    let uppers: Vec<f64> = known
        .iter()
        .filter_map(|(_, actual, upper)| upper.map(|upper| f64::from(u8::from(*actual <= upper))))
        .collect();
    Some(Errors {
        count: known.len(),
        mape: mean(&each(|(predicted, actual, _)| (predicted / actual - 1.0).abs())),
        median_ln: median(&each(|(predicted, actual, _)| (actual / predicted).ln().abs())),
        bias_ln: mean(&each(|(predicted, actual, _)| (actual / predicted).ln())),
        within_upper: (!uppers.is_empty()).then(|| mean(&uppers)),
    })
}

/// An interval as text.
pub(super) fn between(interval: &Interval, scale: f64) -> String {
    format!("{:.2} to {:.2}", scale * interval.low, scale * interval.high)
}
