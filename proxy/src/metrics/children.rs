//! Children of a family that writes itself onto the page, by their labels as written.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use super::text;

/// In the order in which pages have them.
#[expect(
    clippy::disallowed_types,
    reason = "taken where a route's first request goes to a backend, where a backend leaves, and for each scrape: to copy pointers"
)]
type ByLabels<T> = std::sync::Mutex<BTreeMap<Arc<str>, Arc<T>>>;

/// One for each set of labels' values.
#[derive(Debug)]
pub(super) struct Children<T> {
    labels: &'static [&'static str],
    by_labels: ByLabels<T>,
}

impl<T> Children<T> {
    pub(super) fn new(labels: &'static [&'static str]) -> Self {
        Self { labels, by_labels: ByLabels::default() }
    }

    fn written(&self, values: &[&str]) -> Arc<str> {
        let mut labels = String::new();
        self.labels.iter().zip(values).for_each(|(name, value)| text::label(&mut labels, name, value));
        labels.into()
    }

    /// The child of these values, made where there is none.
    pub(super) fn child(&self, values: &[&str], fresh: impl FnOnce() -> T) -> Arc<T> {
        let labels = self.written(values);
        let mut children = self.by_labels.lock().unwrap_or_else(PoisonError::into_inner);
        children.entry(labels).or_insert_with(|| Arc::new(fresh())).clone()
    }

    /// Forgets a child; an absent one is what is wanted.
    pub(super) fn remove(&self, values: &[&str]) {
        let labels = self.written(values);
        self.by_labels.lock().unwrap_or_else(PoisonError::into_inner).remove(&labels);
    }

    /// All of them, with their labels.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Arc<T>)> {
        let children = self.by_labels.lock().unwrap_or_else(PoisonError::into_inner);
        children.iter().map(|(labels, child)| (labels.clone(), child.clone())).collect()
    }
}
