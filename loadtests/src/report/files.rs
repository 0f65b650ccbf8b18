//! Reports on disk.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::Table;
use crate::Error;

/// The files of one report: `NAME.json`, `NAME.md` and `NAME.svg` or `NAME-PLOT.svg`, in a folder of the caller's choice.
#[derive(Debug, Clone)]
pub struct ReportFiles {
    folder: PathBuf,
    name: String,
}

/// A report as JSON, as it is written and printed.
///
/// # Errors
/// Where it is none.
pub fn json(report: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

impl ReportFiles {
    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn create(folder: &Path, name: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        Ok(Self { folder: folder.to_owned(), name: name.to_owned() })
    }

    /// Writes the figures.
    ///
    /// # Errors
    /// Where they are no JSON or the file cannot be written.
    pub fn json(&self, report: &impl Serialize) -> Result<PathBuf, Error> {
        self.write("", "json", json(report)?)
    }

    /// Writes the text.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn markdown(&self, document: &Document) -> Result<PathBuf, Error> {
        self.write("", "md", document.text.clone())
    }

    /// Writes a plot; `plot` tells it from the report's others and may be empty.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn svg(&self, plot: &str, svg: String) -> Result<PathBuf, Error> {
        self.write(plot, "svg", svg)
    }

    /// The file name of a plot, as the text beside it refers to it.
    pub fn svg_name(&self, plot: &str) -> String {
        self.file_name(plot, "svg")
    }

    fn file_name(&self, part: &str, extension: &str) -> String {
        let dash = if part.is_empty() { "" } else { "-" };
        format!("{}{dash}{part}.{extension}", self.name)
    }

    fn write(&self, part: &str, extension: &str, text: String) -> Result<PathBuf, Error> {
        let path = self.folder.join(self.file_name(part, extension));
        std::fs::write(&path, text).map_err(Error::file(&path))?;
        Ok(path)
    }
}

/// A Markdown text, block by block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    text: String,
}

impl Document {
    /// A text with a title.
    pub fn new(title: &str) -> Self {
        Self { text: format!("# {title}\n") }
    }

    /// Begins a section.
    pub fn section(&mut self, title: &str) -> &mut Self {
        self.block(&format!("## {title}"))
    }

    /// Appends Markdown, with a blank line before it.
    pub fn block(&mut self, markdown: &str) -> &mut Self {
        let _ = write!(self.text, "\n{}\n", markdown.trim_end());
        self
    }

    /// Appends a table.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        self.block(&table.to_markdown())
    }

    /// Shows a plot that lies beside the text.
    pub fn image(&mut self, caption: &str, file_name: &str) -> &mut Self {
        self.block(&format!("![{caption}]({file_name})"))
    }

    /// What was written so far.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Column;

    #[test]
    fn a_report_is_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let files = ReportFiles::create(&folder.path().join("a/b"), "route").unwrap();
        files.json(&[1, 2]).unwrap();
        files.svg("", "<svg/>".into()).unwrap();
        let plot = files.svg("ttft", "<svg/>".into()).unwrap();
        assert!(plot.ends_with("a/b/route-ttft.svg"));
        let mut document = Document::new("Routing");
        let table = Table::new([Column::text("policy")]);
        document.section("Results").table(&table).image("TTFT", &files.svg_name("ttft"));
        let text = files.markdown(&document).unwrap();
        let expected = "# Routing\n\n## Results\n\n| policy |\n| --- |\n\n![TTFT](route-ttft.svg)\n";
        assert_eq!(std::fs::read_to_string(text).unwrap(), expected);
        assert_eq!(
            std::fs::read_to_string(folder.path().join("a/b/route.json")).unwrap(),
            "[\n  1,\n  2\n]\n"
        );
    }
}
