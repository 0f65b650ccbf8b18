//! What was last seen of one engine, and what it counted since.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use gearshift_config::EngineFamilyKind;

use super::{
    super::exposition::samples,
    Engines, Families, Group, Now, Sums,
    series::{Series, family_of},
};

/// The largest value that is taken; what is above is taken for it. Years of work come nowhere near.
const MOST: f64 = 1e15;
/// Series of one family of one engine at most; a histogram of vLLM's has about 25.
const SERIES: usize = 64;

/// By families' names, what each series is.
pub(super) type Page = HashMap<&'static str, BTreeMap<Series, f64>>;

/// What was last seen of one backend's engines; taken back when dropped.
#[derive(Debug)]
pub(in super::super) struct Seen {
    engines: Arc<Engines>,
    number: u64,
    /// What was last counted, by data-parallel rank. A family is there once a page of its rank was seen since it was chosen,
    /// with no series where it had none.
    ranks: BTreeMap<u8, Page>,
}

impl Seen {
    pub(in super::super) fn new(engines: Arc<Engines>) -> Self {
        let number = {
            let mut sums = engines.sums();
            sums.engines += 1;
            sums.engines
        };
        Self { engines, number, ranks: BTreeMap::new() }
    }

    /// Takes in the metrics page of an engine of this group.
    pub(in super::super) fn page(&mut self, page: &str, group: Group) {
        let engines = self.engines.clone();
        let mut sums = engines.sums();
        let families = sums.families.clone();
        for last in self.ranks.values_mut() {
            last.retain(|name, _| families.iter().any(|family| family.name == *name));
        }
        if families.is_empty() {
            return;
        }
        let Read { gauges, counters, left_out } = Read::of(page, &families);
        sums.left_out += left_out;
        let group = Arc::new(group);
        let moved = sums.now.insert(self.number, Now { group: group.clone(), gauges });
        if moved.is_some_and(|before| before.group != group) {
            sums.drop_unheld();
        }
        for (rank, counted) in counters {
            self.counted(&mut sums, &group, rank, counted);
        }
    }

    /// Adds what one rank counted since its page before: nothing for its first page, all where it began anew.
    fn counted(&mut self, sums: &mut Sums, group: &Arc<Group>, rank: u8, counted: Page) {
        let ranks = &mut self.ranks;
        let last = ranks.entry(rank).or_default();
        let fell = |(name, all): (&&'static str, &BTreeMap<Series, f64>)| {
            last.get(name).is_some_and(|last| {
                all.iter().any(|(series, value)| {
                    series.part.counts() && last.get(series).is_some_and(|last| value < last)
                })
            })
        };
        if counted.iter().any(fell) {
            // What it does not show now, it has not counted yet.
            last.values_mut().for_each(BTreeMap::clear);
        }
        let totals = sums.counted.entry(group.clone()).or_default();
        for (name, all) in counted {
            let first = !last.contains_key(name);
            let (last, totals) = (last.entry(name).or_default(), totals.entry(name).or_default());
            for (series, value) in all {
                if last.len() >= SERIES && !last.contains_key(&series) {
                    sums.left_out += 1;
                    continue;
                }
                let before = if first { value } else { last.get(&series).copied().unwrap_or(0.0) };
                *totals.entry(series.clone()).or_default() += (value - before).max(0.0);
                last.insert(series, value);
            }
        }
    }

    /// The engine does not say what is now: as far as gauges go, it is nothing.
    pub(in super::super) fn gone(&mut self) {
        if let Some(now) = self.engines.sums().now.get_mut(&self.number) {
            now.gauges.clear();
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let mut sums = self.engines.sums();
        sums.now.remove(&self.number);
        sums.drop_unheld();
    }
}

/// What a page says.
struct Read {
    /// Over all ranks.
    gauges: Page,
    /// By rank; each rank has all families that count, though some may be empty.
    counters: BTreeMap<u8, Page>,
    /// Samples that were not taken as they came.
    left_out: u64,
}

impl Read {
    fn of(page: &str, families: &Families) -> Self {
        let mut read = Self { gauges: Page::new(), counters: BTreeMap::new(), left_out: 0 };
        let counting = || {
            let counting = families.iter().filter(|family| family.kind != EngineFamilyKind::Gauge);
            counting.map(|family| (family.name, BTreeMap::new())).collect::<Page>()
        };
        for sample in samples(page, "vllm:") {
            let Some((family, part)) = family_of(families, sample.name) else { continue };
            // An engine that stands alone may not say its number.
            let rank = sample.label("engine").map_or(Some(0), |rank| rank.parse::<u8>().ok());
            let series = Series::of(&sample, family, part);
            let (Some(rank), Some(series), false) = (rank, series, sample.value.is_nan()) else {
                read.left_out += 1;
                continue;
            };
            let value = sample.value.clamp(0.0, MOST);
            read.left_out += u64::from(!(0.0..=MOST).contains(&sample.value));
            let of_rank = match family.kind {
                EngineFamilyKind::Gauge => &mut read.gauges,
                EngineFamilyKind::Counter | EngineFamilyKind::Histogram => {
                    read.counters.entry(rank).or_insert_with(counting)
                }
            };
            let all = of_rank.entry(family.name).or_default();
            if all.len() < SERIES || all.contains_key(&series) {
                *all.entry(series).or_default() += value;
            } else {
                read.left_out += 1;
            }
        }
        read
    }
}
