//! From the tree to typed values, by serde, with structured errors.

mod error;
mod node;

use serde::de::DeserializeOwned;

use super::{Finding, MAX_FINDINGS, Node, Path};

/// What could be decoded, and what had to be cut out for it.
#[derive(Debug)]
pub(crate) struct Decoded<T> {
    /// `None` when nothing of the document could be understood.
    pub(crate) value: Option<T>,
    /// Everything at or under these paths was erroneous and has been reported.
    pub(crate) cut: Vec<Path>,
}

/// Decodes `root`, reporting every value that does not fit into `findings` and cutting it out of `root`.
pub(crate) fn decode<T: DeserializeOwned>(root: &mut Node, findings: &mut Vec<Finding>) -> Decoded<T> {
    let mut cut: Vec<Path> = Vec::new();
    loop {
        let error = match T::deserialize(&*root) {
            Ok(value) => return Decoded { value: Some(value), cut },
            Err(error) => error,
        };
        let (mut path, at_key, what, fix) = error.into_parts();
        if cut.iter().any(|cut| path.starts_with(cut)) {
            // What was cut is missed where it stood, so the value around it goes too; it has been reported.
            match path.parent() {
                Some(parent) => path = parent,
                None => return Decoded { value: None, cut },
            }
        } else {
            let position = if at_key { root.locate_key(&path) } else { root.locate(&path) };
            findings.push(Finding { position, path: path.clone(), what, fix });
        }
        if findings.len() >= MAX_FINDINGS {
            return Decoded { value: None, cut };
        }
        root.cut(&path);
        cut.push(path);
    }
}
