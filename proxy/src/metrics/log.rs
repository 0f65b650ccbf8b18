//! What became of the log's own lines.

use prometheus::{
    IntCounter, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// Lines that found no room, as the log counts them; read when somebody scrapes.
struct Dropped<F> {
    counted: F,
    told: IntCounter,
}

/// Registers the family; `counted` says how many there were so far.
///
/// # Errors
/// When the registry already has it.
pub fn register(
    registry: &Registry,
    counted: impl Fn() -> usize + Send + Sync + 'static,
) -> prometheus::Result<()> {
    let told = IntCounter::new(
        "gearshift_log_lines_dropped_total",
        "Lines of the log on standard error that were dropped: whoever reads it is too slow, or hangs.",
    )?;
    registry.register(Box::new(Dropped { counted, told }))
}

impl<F: Fn() -> usize + Send + Sync> Collector for Dropped<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.told.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Scrapes are answered one at a time.
        self.told.inc_by(((self.counted)() as u64).saturating_sub(self.told.get()));
        self.told.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use super::*;

    #[test]
    fn what_the_log_counts_is_told() {
        let (registry, count) = (Registry::new(), Arc::new(AtomicUsize::new(0)));
        let counted = count.clone();
        register(&registry, move || counted.load(Relaxed)).unwrap();
        let told = || registry.gather()[0].get_metric()[0].get_counter().get_value();
        for so_far in [0_u16, 3, 3, 10] {
            count.store(so_far.into(), Relaxed);
            assert_eq!(told().to_bits(), f64::from(so_far).to_bits());
        }
    }
}
