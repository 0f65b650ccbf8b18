//! One value of one row.

use std::borrow::Cow;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number, 64 bits with sign.
    Whole,
    /// A double.
    Number,
    /// UTF-8.
    Text,
    /// A list of doubles.
    Numbers,
    /// A list of UTF-8 texts.
    Texts,
}

impl Kind {
    /// Its name in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Flag => "BOOLEAN",
            Self::Whole => "BIGINT",
            Self::Number => "DOUBLE",
            Self::Text => "VARCHAR",
            Self::Numbers => "DOUBLE[]",
            Self::Texts => "VARCHAR[]",
        }
    }
}

/// A value, or that there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// Not known.
    Null,
    /// See [`Kind::Flag`].
    Flag(bool),
    /// See [`Kind::Whole`].
    Whole(i64),
    /// See [`Kind::Number`].
    Number(f64),
    /// See [`Kind::Text`].
    Text(Cow<'a, str>),
    /// See [`Kind::Numbers`]. What is not known within a list is NaN here, and NULL in a file.
    Numbers(Cow<'a, [f64]>),
    /// See [`Kind::Texts`].
    Texts(Cow<'a, [String]>),
}

impl Cell<'_> {
    /// The same, of nothing borrowed.
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Self::Null => Cell::Null,
            Self::Flag(flag) => Cell::Flag(flag),
            Self::Whole(number) => Cell::Whole(number),
            Self::Number(number) => Cell::Number(number),
            Self::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Self::Numbers(numbers) => Cell::Numbers(Cow::Owned(numbers.into_owned())),
            Self::Texts(texts) => Cell::Texts(Cow::Owned(texts.into_owned())),
        }
    }
}

impl From<bool> for Cell<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for Cell<'_> {
    fn from(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl From<u32> for Cell<'_> {
    fn from(number: u32) -> Self {
        Self::Whole(number.into())
    }
}

impl From<u64> for Cell<'_> {
    /// Counts of tokens: what a signed number cannot hold does not occur, and would be capped.
    fn from(number: u64) -> Self {
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Cell<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Cell<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a Vec<f64>> for Cell<'a> {
    /// An empty list is one that is not known.
    fn from(numbers: &'a Vec<f64>) -> Self {
        if numbers.is_empty() { Self::Null } else { Self::Numbers(Cow::Borrowed(numbers)) }
    }
}

impl<'a> From<&'a Vec<String>> for Cell<'a> {
    /// An empty list is one that is not known.
    fn from(texts: &'a Vec<String>) -> Self {
        if texts.is_empty() { Self::Null } else { Self::Texts(Cow::Borrowed(texts)) }
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
