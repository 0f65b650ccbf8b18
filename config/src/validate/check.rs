//! Where validators report, and what most of them need.

use std::{
    fmt::Display,
    ops::{Bound, RangeBounds},
    path::PathBuf,
    time::Duration,
};

use super::Surroundings;
use crate::{
    raw::DurationText,
    yaml::{Finding, Node, Path},
};

/// Collects findings about one file.
pub(crate) struct Check<'a> {
    root: &'a Node,
    /// Reported already; whatever follows from it is not reported again.
    cut: &'a [Path],
    around: Surroundings<'a>,
    findings: Vec<Finding>,
    /// Environment variables that were read, and where.
    read: Vec<(Path, String)>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(root: &'a Node, cut: &'a [Path], around: Surroundings<'a>) -> Self {
        Self { root, cut, around, findings: Vec::new(), read: Vec::new() }
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    /// The environment variables that the file reads, so far, and where it does.
    pub(crate) fn variables(&self) -> &[(Path, String)] {
        &self.read
    }

    /// Whether what stood at `path` was erroneous and has been reported.
    pub(crate) fn is_cut(&self, path: &Path) -> bool {
        self.cut.iter().any(|cut| path.starts_with(cut))
    }

    /// Whether something directly under `path` was cut out, so that `path` is not known in full.
    pub(crate) fn lost_children(&self, path: &Path) -> bool {
        self.cut.iter().any(|cut| cut.starts_with(path))
    }

    /// Reports what is wrong at `path`, and what would be right.
    pub(crate) fn wrong(&mut self, path: &Path, what: impl Into<String>, fix: impl Into<Option<String>>) {
        let position = self.root.locate(path);
        self.report(path, position, what.into(), fix.into());
    }

    /// As [`wrong`](Self::wrong), when the key itself is meant and not its value.
    pub(crate) fn wrong_key(&mut self, path: &Path, what: impl Into<String>, fix: impl Into<Option<String>>) {
        let position = self.root.locate_key(path);
        self.report(path, position, what.into(), fix.into());
    }

    fn report(&mut self, path: &Path, position: crate::Position, what: String, fix: Option<String>) {
        if !self.is_cut(path) {
            self.findings.push(Finding { position, path: path.clone(), what, fix });
        }
    }

    /// The line `path` stands on, for messages about another place.
    pub(crate) fn line(&self, path: &Path) -> usize {
        self.root.locate_key(path).line
    }

    /// A value that must be there; `example` says how it might look.
    pub(crate) fn required<T>(&mut self, path: &Path, value: Option<T>, example: &str) -> Option<T> {
        if value.is_none() {
            self.wrong(path, "is missing", format!("write, for instance, `{example}`"));
        }
        value
    }

    /// A number that must lie within `range`.
    pub(crate) fn within<T>(&mut self, path: &Path, value: T, range: impl RangeBounds<T>) -> T
    where
        T: PartialOrd + Display,
    {
        if !range.contains(&value) {
            let low = match range.start_bound() {
                Bound::Included(low) => format!("at least {low}"),
                Bound::Excluded(low) => format!("above {low}"),
                Bound::Unbounded => String::new(),
            };
            let high = match range.end_bound() {
                Bound::Included(high) => format!("at most {high}"),
                Bound::Excluded(high) => format!("below {high}"),
                Bound::Unbounded => String::new(),
            };
            let joint = if low.is_empty() || high.is_empty() { "" } else { " and " };
            self.wrong(path, format!("{value} is out of range"), format!("write a value {low}{joint}{high}"));
        }
        value
    }

    /// A duration longer than nothing, or its default.
    pub(crate) fn duration(
        &mut self,
        path: &Path,
        value: Option<DurationText>,
        default: Duration,
    ) -> Duration {
        match value {
            Some(DurationText(Duration::ZERO)) => {
                self.wrong(
                    path,
                    "must be longer than nothing",
                    "write, for instance, 500ms or 2s".to_owned(),
                );
                default
            }
            Some(DurationText(duration)) => duration,
            None => default,
        }
    }

    /// A name: something, of printable characters without spaces, and not a whole page.
    pub(crate) fn name(&mut self, path: &Path, name: &str) {
        const LONGEST: usize = 256;
        let printable = name.chars().all(|c| !c.is_whitespace() && !c.is_control());
        if name.is_empty() || name.len() > LONGEST || !printable {
            let fix = format!("write 1 to {LONGEST} characters without spaces");
            self.wrong(path, "is not usable as a name", fix);
        }
    }

    /// A path, relative ones from the folder of the file.
    pub(crate) fn file(&mut self, path: &Path, text: &str) -> PathBuf {
        if text.is_empty() {
            self.wrong(path, "is empty", "write the path of a file".to_owned());
        }
        self.around.base_dir.join(text)
    }

    /// A folder, relative ones from the folder of the file, which is meant where nothing is said.
    pub(crate) fn folder(&self, text: &str) -> PathBuf {
        let folder = self.around.base_dir.join(text);
        if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
    }

    /// Text with every `${NAME}` replaced by that environment variable.
    pub(crate) fn expand(&mut self, path: &Path, text: &str) -> Option<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            expanded.push_str(&rest[..start]);
            let after = &rest[start + 2..];
            let Some(end) = after.find('}') else {
                self.wrong(path, "`${` is not closed", "write ${NAME}".to_owned());
                return None;
            };
            expanded.push_str(&self.variable(path, &after[..end])?);
            rest = &after[end + 1..];
        }
        expanded.push_str(rest);
        Some(expanded)
    }

    fn variable(&mut self, path: &Path, name: &str) -> Option<String> {
        let well_formed = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if name.is_empty() || !well_formed {
            let fix = "write letters, digits and underscores, such as ${VLLM_API_KEY}".to_owned();
            self.wrong(path, format!("{name:?} is not the name of an environment variable"), fix);
            return None;
        }
        self.read.push((path.clone(), name.to_owned()));
        let value = (self.around.environment)(name).filter(|value| !value.is_empty());
        if value.is_none() {
            self.wrong(
                path,
                format!("the environment variable {name} is not set"),
                format!("export {name}=…"),
            );
        }
        value
    }
}
