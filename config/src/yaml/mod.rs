//! YAML with positions: text → a tree that knows its lines → typed values, with every error on the way.
//!
//! `serde` stops at the first error. Here an erroneous value is reported, cut out of the tree, and decoding starts
//! again, until what is left decodes. Later checks then see everything that was understood, and stay silent about what
//! was cut out.

mod decode;
mod path;
mod tree;

pub(crate) use decode::decode;
pub(crate) use path::{Path, Step};
pub(crate) use tree::{Node, parse};

/// A file with more mistakes than this gets no complete list.
const MAX_FINDINGS: usize = 100;

/// A problem before it is known which file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) position: crate::Position,
    pub(crate) path: Path,
    pub(crate) what: String,
    pub(crate) fix: Option<String>,
}
