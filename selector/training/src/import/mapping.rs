//! Which field of a record is which column.

use std::{borrow::Cow, collections::BTreeMap, fmt, path::Path};

use gearshift_perfdb::{Cell, Column, Kind, columns};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor, value::MapAccessDeserializer, value::SeqAccessDeserializer},
};

use super::records::Record;
use crate::Error;

/// The mappings that ship with Gearshift.
const FORMATS: [(&str, &str); 4] = [
    ("vllm-bench", include_str!("formats/vllm-bench.yaml")),
    ("guidellm", include_str!("formats/guidellm.yaml")),
    ("aiperf", include_str!("formats/aiperf.yaml")),
    ("aiperf-csv", include_str!("formats/aiperf-csv.yaml")),
];

/// A mapping file. `selector/training/examples/mapping.yaml` explains one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// The mapping this one begins from: `vllm-bench`, `guidellm`, `aiperf`, `aiperf-csv`.
    like: Option<String>,
    /// Where in a JSON document the records are, dotted; the document itself, or its items, where absent.
    pub(super) records: Option<String>,
    /// Columns that are the same in all rows.
    constants: BTreeMap<String, Word>,
    /// Columns that come from a field; of several, the first that a record has.
    columns: BTreeMap<String, Ways>,
}

/// How a column's value comes from a record's fields: `from × times ÷ per`, in `unit`, by the words of `values`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Way {
    from: String,
    times: Option<String>,
    per: Option<String>,
    unit: Option<Unit>,
    values: Option<BTreeMap<String, Word>>,
}

/// Unit of a field; columns are in seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

impl Unit {
    fn seconds(self) -> f64 {
        match self {
            Self::S => 1.0,
            Self::Ms => 1e-3,
            Self::Us => 1e-6,
            Self::Ns => 1e-9,
        }
    }
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// All that is wrong with it, with lines.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Takes a mapping from its text; `name` stands in messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let failed = |problem: String| Error::Failed(format!("{name}: {problem}"));
        let own: Self =
            gearshift_config::decode(name, text).map_err(|errors| Error::Failed(errors.to_string()))?;
        for column in own.constants.keys().chain(own.columns.keys()) {
            if !columns().any(|known| known.name == column) {
                return Err(failed(format!("there is no column {column:?}; perfdb/README.md lists them")));
            }
        }
        let Some(like) = &own.like else { return Ok(own) };
        let Some((base, text)) = FORMATS.iter().find(|(format, _)| format == like) else {
            let known: Vec<&str> = FORMATS.iter().map(|(format, _)| *format).collect();
            return Err(failed(format!("like: {like:?} is none of {}", known.join(", "))));
        };
        Ok(own.over(Self::parse(base, text)?))
    }

    /// This mapping, with what it leaves open taken from `base`.
    fn over(self, base: Self) -> Self {
        let stated =
            |column: &String| self.constants.contains_key(column) || self.columns.contains_key(column);
        let constants = base.constants.into_iter().filter(|(column, _)| !stated(column));
        let columns = base.columns.into_iter().filter(|(column, _)| !stated(column));
        let (constants, columns) =
            (constants.collect::<BTreeMap<_, _>>(), columns.collect::<BTreeMap<_, _>>());
        Self {
            like: None,
            records: self.records.or(base.records),
            constants: self.constants.into_iter().chain(constants).collect(),
            columns: self.columns.into_iter().chain(columns).collect(),
        }
    }

    /// Whether it says where `column` comes from.
    pub(super) fn states(&self, column: &str) -> bool {
        self.constants.contains_key(column) || self.columns.contains_key(column)
    }

    /// The value of `column` in a record; `None` where the mapping or the record has none.
    pub(super) fn cell(&self, column: &Column, record: &Record) -> Result<Option<Cell<'static>>, String> {
        if let Some(Word(text)) = self.constants.get(column.name) {
            return parsed(column, text).map(Some);
        }
        let Some(Ways(ways)) = self.columns.get(column.name) else { return Ok(None) };
        for way in ways {
            if let Some(text) = way.value(column, record)? {
                return parsed(column, &text).map(Some);
            }
        }
        Ok(None)
    }
}

impl Way {
    fn value(&self, column: &Column, record: &Record) -> Result<Option<String>, String> {
        let field = |name: &String| record.get(name).filter(|text| !text.is_empty());
        let Some(text) = field(&self.from) else { return Ok(None) };
        if let Some(values) = &self.values {
            let unknown = || format!("{} {text:?} is not among the values of {}", self.from, column.name);
            return values.get(text).map(|Word(value)| Some(value.clone())).ok_or_else(unknown);
        }
        if self.times.is_none() && self.per.is_none() && self.unit.is_none() {
            return Ok(Some(text.clone()));
        }
        let number = |name: &String| {
            let parse = |text: &String| {
                text.trim().parse::<f64>().map_err(|_| format!("{name} {text:?} is no number"))
            };
            field(name).map(parse).transpose()
        };
        let factor = |name: &Option<String>| name.as_ref().map_or(Ok(Some(1.0)), number);
        let (Some(value), Some(times), Some(per)) =
            (number(&self.from)?, factor(&self.times)?, factor(&self.per)?)
        else {
            return Ok(None);
        };
        let value = value * times / per * self.unit.map_or(1.0, Unit::seconds);
        // Nothing over nothing: a run without such requests.
        Ok(value.is_finite().then(|| value.to_string()))
    }
}

/// A text as a value of the column's kind.
fn parsed(column: &Column, text: &str) -> Result<Cell<'static>, String> {
    let trimmed = text.trim();
    let number = || trimmed.parse::<f64>().ok().filter(|number| number.is_finite());
    let cell = match column.kind {
        Kind::Text => Some(Cell::Text(Cow::Owned(text.to_owned()))),
        // No benchmark has lists of ours.
        Kind::Numbers | Kind::Texts => None,
        Kind::Number => number().map(Cell::Number),
        Kind::Whole => trimmed.parse().ok().or_else(|| number().and_then(rounded)).map(Cell::Whole),
        Kind::Flag => match trimmed.to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(Cell::Flag(true)),
            "false" | "0" | "no" | "off" => Some(Cell::Flag(false)),
            _ => None,
        },
    };
    cell.ok_or_else(|| format!("column {}: {text:?} is no {}", column.name, column.kind.sql()))
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn rounded(number: f64) -> Option<i64> {
    (number.abs() < 1e15).then(|| number.round() as i64)
}

/// A scalar of YAML, as text.
#[derive(Debug, Clone)]
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Word;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text, a number, or true or false")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Word, E> {
                Ok(Word(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Word, E> {
                Ok(Word(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

/// One way, several, or a field's name alone.
#[derive(Debug, Clone)]
struct Ways(Vec<Way>);

impl<'de> Deserialize<'de> for Ways {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Ways;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a field's name, `{from: FIELD, unit: ms}`, or a list of these")
            }
            fn visit_str<E>(self, field: &str) -> Result<Ways, E> {
                Ok(Ways(vec![Way { from: field.to_owned(), ..Way::default() }]))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Ways, A::Error> {
                Ok(Ways(vec![Way::deserialize(MapAccessDeserializer::new(map))?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Ways, A::Error> {
                let ways = Vec::<Ways>::deserialize(SeqAccessDeserializer::new(items))?;
                Ok(Ways(ways.into_iter().flat_map(|Ways(ways)| ways).collect()))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}
