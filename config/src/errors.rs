//! What is wrong with a file, all of it at once.

use std::fmt;

/// A place in a text file. Lines and columns count from one; columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file, as it was named to [`load`](crate::load) or [`parse`](crate::parse).
    pub file: String,
    /// Where in it; `None` when the file as a whole is meant, for instance because it cannot be read.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// Path of the key, such as `backends[2].profile`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What would be right, where that can be said.
    pub fix: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.what)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

/// Every problem of a file, in the file's order. Never empty.
///
/// [`Display`](fmt::Display) prints one problem a line, as
/// `gearshift.yaml:12:14: backends[2].profile: no profile is called "fats"; did you mean "fast"?`
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Errors {
    /// The problems.
    pub problems: Vec<Problem>,
}

impl Errors {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.position);
        Self { problems }
    }

    /// A problem with the file as a whole.
    pub(crate) fn whole_file(file: &str, what: String, fix: Option<String>) -> Self {
        Self {
            problems: vec![Problem { file: file.to_owned(), position: None, path: String::new(), what, fix }],
        }
    }

    /// The problems as JSON, for tools: `{"problems": [{file, line, column, path, what, fix}]}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "problems": self.problems })
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
