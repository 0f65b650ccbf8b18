//! Folds × selectors, on a few threads.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
};

use gearshift_perfdb::Source;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    cache::Cache,
    confidence::risk_coverage,
    judge::Judge,
    limits::Limits,
    outcome::{MARGINS, Outcome},
    pool::{Chosen, Pool},
    question::{Question, hash},
    report::{Made, Report, SplitReport},
    splits::Part,
};
use crate::{
    Error,
    baselines::{Effort, Fold, Selector, Target},
    dataset::Dataset,
    fit::Recipe,
    prior_fit::Priors,
};

/// How to evaluate.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much work to put in.
    pub effort: Effort,
    /// Threads.
    pub threads: usize,
    /// Seeds of stochastic selectors; the first one also cuts the random split and draws the bootstrap.
    pub seeds: Vec<u64>,
    /// Only splits whose full name (`measured/silicon/clean/all/unseen_gpu`) contains this.
    pub only: Option<String>,
    /// Where choices are kept.
    pub cache: Option<PathBuf>,
    /// Simulated rows that are learned from in every fold, at most: by all, where simulated rows are what is asked about;
    /// before the measured ones by the meta-learner, where these are.
    pub simulated_rows: usize,
    /// Whether to show a progress bar.
    pub progress: bool,
    /// The learner's hyperparameters, for the report.
    pub recipe: Recipe,
}

/// One part of one question.
struct Job<'a> {
    question: &'a Question,
    part: Part,
    simulated: &'a Simulated<'a>,
}

/// Simulated rows, for pre-training; what is held out is not taken of them.
struct Simulated<'a> {
    data: &'a Dataset,
    /// Changes with them.
    hash: String,
}

/// What came of it, with what judging needs.
struct Done {
    job: usize,
    chosen: Chosen,
}

/// Evaluates.
///
/// # Errors
/// Where choices cannot be kept.
pub fn evaluate(
    questions: &[Question],
    simulated: &Dataset,
    selectors: &[Box<dyn Selector>],
    options: &Options,
) -> Result<Report, Error> {
    let seed = options.seeds.first().copied().unwrap_or(0);
    let simulated = &Simulated { data: simulated, hash: hash([simulated]) };
    let jobs: Vec<Job<'_>> =
        questions.iter().flat_map(|question| jobs(question, simulated, options, seed)).collect();
    let cache = options.cache.as_deref().map(Cache::open).transpose()?;
    let bar = bar(jobs.len() * selectors.len(), options.progress);
    let chosen = work(&jobs, selectors, options, cache.as_ref(), &bar)?;
    bar.set_message("intervals");
    let data = questions.iter().map(|question| (question.title(), question.hash.clone())).collect();
    let made = Made {
        seeds: options.seeds.clone(),
        quick: options.effort == Effort::Quick,
        data,
        recipe: options.recipe.clone(),
    };
    let mut report = Report { made, ..Report::default() };
    for question in questions {
        let parts = || jobs.iter().zip(&chosen).filter(|(job, _)| std::ptr::eq(job.question, question));
        let judged: Vec<(&Part, Pools)> =
            parts().map(|(job, chosen)| (&job.part, pools(question, &job.part, chosen))).collect();
        for split in splits(parts().map(|(job, _)| &job.part), question, options) {
            report.splits.extend(tables(question, &split, &judged, selectors, seed));
            let pool = joined(&split, &judged, Target::Latency.name());
            let curve = risk_coverage(&pool, "metainf", &split, &question.title());
            report
                .confidence
                .extend(curve.filter(|_| ["hardware:", "unseen_gpu"].iter().any(|of| split.contains(of))));
        }
    }
    bar.finish_and_clear();
    Ok(report)
}

fn jobs<'a>(
    question: &'a Question,
    simulated: &'a Simulated<'a>,
    options: &Options,
    seed: u64,
) -> Vec<Job<'a>> {
    let parts = question.axes.iter().flat_map(|axis| axis.parts(&question.data, seed));
    let wanted = |part: &Part| part.splits.iter().any(|split| is_wanted(question, split, options));
    parts.filter(wanted).map(|part| Job { question, part, simulated }).collect()
}

fn is_wanted(question: &Question, split: &str, options: &Options) -> bool {
    let name = format!("{}/{split}", question.title());
    options.only.as_ref().is_none_or(|only| has_words(&name, only))
}

/// Whether a name has a part, by whole words between `/` and `:`.
fn has_words(name: &str, part: &str) -> bool {
    let ends = |at: usize| name[at + part.len()..].chars().next().is_none_or(|next| "/:".contains(next));
    name.match_indices(part).any(|(at, _)| ends(at))
}

/// The splits of these parts, unions first.
fn splits<'a>(parts: impl Iterator<Item = &'a Part>, question: &Question, options: &Options) -> Vec<String> {
    let mut splits: Vec<&String> = parts.flat_map(|part| &part.splits).collect();
    splits.sort_by_key(|split| (split.contains(':'), split.as_str()));
    splits.dedup();
    splits.into_iter().filter(|split| is_wanted(question, split, options)).cloned().collect()
}

fn work(
    jobs: &[Job<'_>],
    selectors: &[Box<dyn Selector>],
    options: &Options,
    cache: Option<&Cache>,
    bar: &ProgressBar,
) -> Result<Vec<Chosen>, Error> {
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    let Some(job) = jobs.get(number) else { break };
                    let done = choose(job, selectors, options, cache, bar);
                    let failed = done.is_err();
                    // Nobody listens where another thread failed.
                    if send.send(done.map(|chosen| Done { job: number, chosen })).is_err() || failed {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut all = vec![Chosen::new(); jobs.len()];
        for done in receive {
            let Done { job, chosen } = done?;
            all[job] = chosen;
        }
        Ok(all)
    })
}

/// Has every selector choose in one part. The prior is fitted, and views made, only where something is not known yet.
fn choose(
    job: &Job<'_>,
    selectors: &[Box<dyn Selector>],
    options: &Options,
    cache: Option<&Cache>,
    bar: &ProgressBar,
) -> Result<Chosen, Error> {
    let question = job.question;
    let targets = question.targets();
    let mut fold: Option<(Fold, Limits)> = None;
    let mut chosen = Chosen::new();
    let full_name = format!("{}/{}", question.title(), job.part.name);
    for selector in selectors {
        if !selector.joins(&full_name) {
            bar.inc(1);
            continue;
        }
        bar.set_message(format!("{full_name} {}", selector.name()));
        let taken: Vec<Target> = targets.iter().copied().filter(|&target| selector.takes(target)).collect();
        let seeds = if selector.seeded() { options.seeds.len() } else { 1 };
        for &seed in options.seeds.iter().take(seeds) {
            let key = key(job, selector.as_ref(), options, seed);
            let known = cache.and_then(|cache| cache.get(&key));
            let outcome = match known {
                Some(outcome) => outcome,
                None => {
                    let (fold, limits) = fold.get_or_insert_with(|| prepared(job, options.simulated_rows));
                    let scores = selector.scores(fold, &taken, options.effort, seed);
                    let outcome = Outcome::new(&scores, &fold.test, limits);
                    cache.map(|cache| cache.put(&key, &outcome)).transpose()?;
                    outcome
                }
            };
            chosen.entry(selector.name()).or_default().push(outcome);
        }
        bar.inc(1);
    }
    Ok(chosen)
}

/// All that an outcome comes from.
fn key(job: &Job<'_>, selector: &dyn Selector, options: &Options, seed: u64) -> String {
    let question = job.question;
    // What is asked about simulated rows is in the question.
    let simulated = if pretrains(question) { job.simulated.hash.as_str() } else { "" };
    let (title, part, recipe) = (question.title(), &job.part.name, selector.recipe());
    let Options { effort, simulated_rows, .. } = options;
    format!("{}|{title}|{part}|{recipe}|{effort:?}|{simulated_rows}|{simulated}|{seed}", question.hash)
}

/// Whether simulated rows are learned from before the question's own.
fn pretrains(question: &Question) -> bool {
    match question.source {
        Source::Measured | Source::Live => true,
        Source::Simulated | Source::SimulatedKernel => false,
    }
}

fn prepared(job: &Job<'_>, simulated_rows: usize) -> (Fold, Limits) {
    let data = &job.question.data;
    let mut part = job.part.clone();
    let pretrain = if pretrains(job.question) {
        Some(thinned(&part.allowed(job.simulated.data), simulated_rows))
    } else {
        let samples: usize = part.train.iter().map(|&at| data.contexts[at].samples.len()).sum();
        part.train = part.train.into_iter().step_by(stride(samples, simulated_rows)).collect();
        None
    };
    let fold = fold(data, &part, pretrain).with_eras(job.question.eras_of(&part.train));
    let limits = Limits::new(&fold.test);
    (fold, limits)
}

/// A part as selectors get it.
pub(super) fn fold(data: &Dataset, part: &Part, pretrain: Option<Dataset>) -> Fold {
    let (train, test) = (subset(data, &part.train), subset(data, &part.test));
    let priors = Priors::fit(&train);
    Fold::new(train, test, pretrain, priors)
}

/// About so many samples, in contexts that lie evenly among all.
fn thinned(data: &Dataset, samples: usize) -> Dataset {
    let every = stride(data.samples.len(), samples);
    subset(data, &(0..data.contexts.len()).step_by(every).collect::<Vec<usize>>())
}

/// Every so many contexts are taken.
fn stride(samples: usize, wanted: usize) -> usize {
    samples.div_ceil(wanted.max(1)).max(1)
}

/// The contexts at these positions, which ascend.
pub(super) fn subset(data: &Dataset, contexts: &[usize]) -> Dataset {
    let at = std::cell::Cell::new(0);
    data.of_contexts(|_| {
        let number = at.replace(at.get() + 1);
        contexts.binary_search(&number).is_ok()
    })
}

/// Pools of one part, by objective.
type Pools = BTreeMap<String, Pool>;

fn pools(question: &Question, part: &Part, chosen: &Chosen) -> Pools {
    let test = subset(&question.data, &part.test);
    let limits = Limits::new(&test);
    let targets = question.targets().into_iter();
    let mut pools: Pools =
        targets.map(|target| (target.name().to_owned(), Pool::of_target(&test, target, chosen))).collect();
    for (margin, (name, _)) in MARGINS.iter().enumerate() {
        pools.insert((*name).to_owned(), Pool::of_limits(&test, &limits, margin, chosen));
    }
    pools
}

fn tables(
    question: &Question,
    split: &str,
    judged: &[(&Part, Pools)],
    selectors: &[Box<dyn Selector>],
    seed: u64,
) -> Vec<SplitReport> {
    let objectives = Target::ALL.map(Target::name).into_iter().chain(MARGINS.map(|(name, _)| name));
    let table = |objective: &str| {
        let pool = joined(split, judged, objective);
        if pool.items.is_empty() {
            return None;
        }
        let judge = Judge::new(&pool, seed);
        let limited = objective.starts_with("limit");
        let at_stake = pool.items.iter().filter(|item| item.at_stake > 1.02_f64.ln()).count();
        Some(SplitReport {
            name: split.to_owned(),
            protocol: question.protocol_name().to_owned(),
            source: question.source_name().to_owned(),
            dataset: question.dataset.clone(),
            actions: question.actions.to_owned(),
            objective: objective.to_owned(),
            contexts: pool.items.len(),
            clusters: judge.cluster_count,
            matters: at_stake as f64 / pool.items.len() as f64,
            best_rule: judge.best_rule.clone(),
            selectors: selectors.iter().filter_map(|s| judge.selector(&s.name(), limited)).collect(),
        })
    };
    objectives.filter_map(table).collect()
}

/// One objective over all parts of a split.
fn joined(split: &str, judged: &[(&Part, Pools)], objective: &str) -> Pool {
    let mut pool = Pool::default();
    let parts = judged.iter().filter(|(part, _)| part.splits.iter().any(|name| name == split));
    for (_, pools) in parts {
        pool.join(pools.get(objective).cloned().unwrap_or_default());
    }
    pool
}

fn bar(length: usize, shown: bool) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {eta} {wide_msg}");
    let bar = ProgressBar::new(length as u64);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    bar
}
