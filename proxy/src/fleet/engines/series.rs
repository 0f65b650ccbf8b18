//! How series of engines' own metrics are named.

use std::cmp::Ordering;

use gearshift_config::{EngineFamily, EngineFamilyKind};

use super::super::exposition::Sample;
use crate::metrics::text;

/// Bytes of a label's value at most.
const LABEL: usize = 64;

/// What sums are by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Group {
    /// The name that the model is served under.
    pub(in super::super) model: String,
    /// The profile's name.
    pub(in super::super) profile: String,
}

/// One of a family's series, in the order that they are written in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) part: Part,
    value: Value,
}

/// What a sample is of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// All of it: a counter, a gauge.
    Whole,
    Bucket,
    Sum,
    Count,
}

/// The value of the label that a series has beside model and profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    None,
    Text(Box<str>),
    Bound(Bound),
}

/// An upper bound.
#[derive(Debug, Clone, Copy)]
struct Bound(f64);

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Part {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Bucket => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }

    /// Whether it is a count, which only falls where an engine began anew. A sum of what was observed may fall by what was
    /// observed below nothing: clocks of two processes differ.
    pub(super) fn counts(self) -> bool {
        self != Self::Sum
    }
}

/// Of which family a sample of this name is, and what of it.
pub(super) fn family_of(
    families: &[&'static EngineFamily],
    name: &str,
) -> Option<(&'static EngineFamily, Part)> {
    families.iter().find_map(|family| {
        let parts = match family.kind {
            EngineFamilyKind::Counter | EngineFamilyKind::Gauge => &[Part::Whole][..],
            EngineFamilyKind::Histogram => &[Part::Bucket, Part::Sum, Part::Count],
        };
        let suffix = name.strip_prefix(family.name)?;
        let part = parts.iter().find(|part| part.suffix() == suffix)?;
        Some((*family, *part))
    })
}

impl Series {
    /// Of a sample; `None` where its label is none that can be.
    pub(super) fn of(sample: &Sample<'_>, family: &EngineFamily, part: Part) -> Option<Self> {
        let value = match (part, family.label) {
            (Part::Bucket, _) => {
                let bound: f64 = sample.label("le")?.parse().ok()?;
                // Nothing below no bound, and one zero.
                Value::Bound(Bound(Some(bound + 0.0).filter(|bound| !bound.is_nan())?))
            }
            (Part::Whole, Some(name)) => {
                let label = sample.label(name).unwrap_or_default();
                (label.len() <= LABEL).then(|| Value::Text(label.into()))?
            }
            (Part::Whole | Part::Sum | Part::Count, _) => Value::None,
        };
        Some(Self { part, value })
    }

    /// Writes all that stands before the number.
    pub(super) fn write(&self, page: &mut String, family: &EngineFamily, group: &Group) {
        let mut labels = String::new();
        text::label(&mut labels, "model_name", &group.model);
        text::label(&mut labels, "profile", &group.profile);
        match &self.value {
            Value::None => {}
            Value::Text(value) => text::label(&mut labels, family.label.unwrap_or_default(), value),
            Value::Bound(Bound(f64::INFINITY)) => text::label(&mut labels, "le", "+Inf"),
            Value::Bound(Bound(bound)) => text::label(&mut labels, "le", &bound.to_string()),
        }
        page.extend([family.name, self.part.suffix(), "{", &labels, "} "]);
    }
}
