//! Tables: aligned text for terminals and Markdown, from one value.

use std::fmt::Write as _;

/// Rows under headed columns.
///
/// ```
/// use gearshift_loadtests::report::{Column, Table};
///
/// let mut table = Table::new([Column::text("policy"), Column::number("TTFT p50")]);
/// table.row(["round robin", "1.20 s"]);
/// table.row(["gearshift", "310 ms"]);
/// assert!(table.to_text().starts_with("policy       TTFT p50\n"));
/// assert!(table.to_markdown().starts_with("| policy | TTFT p50 |\n| --- | ---: |\n"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    name: String,
    right: bool,
}

impl Column {
    /// Words, from the left.
    pub fn text(name: impl Into<String>) -> Self {
        Self { name: name.into(), right: false }
    }

    /// Numbers, from the right.
    pub fn number(name: impl Into<String>) -> Self {
        Self { name: name.into(), right: true }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Appends a row; missing cells are empty, and those beyond the last column are dropped.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
        self
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Aligned text, a line each for the heads, a rule and the rows.
    pub fn to_text(&self) -> String {
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.width(column)).collect();
        let heads: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let rule: Vec<String> = widths.iter().map(|&width| "─".repeat(width)).collect();
        let mut text = self.line(&heads, &widths) + &self.line(&rule, &widths);
        self.rows.iter().for_each(|row| text.push_str(&self.line(row, &widths)));
        text
    }

    /// A Markdown table.
    pub fn to_markdown(&self) -> String {
        let heads: Vec<String> = self.columns.iter().map(|column| escaped(&column.name)).collect();
        let rules: Vec<&str> =
            self.columns.iter().map(|column| if column.right { "---:" } else { "---" }).collect();
        let mut text = format!("| {} |\n| {} |\n", heads.join(" | "), rules.join(" | "));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].as_str());
        cells
            .chain([self.columns[column].name.as_str()])
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    }

    fn line(&self, cells: &[impl AsRef<str>], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, &width), column) in cells.iter().zip(widths).zip(&self.columns) {
            let cell = cell.as_ref();
            let _ = if column.right {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// What would end a cell, or a line, said otherwise.
fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut table = Table::new([Column::text("a"), Column::number("µs")]);
        table.row(["x | y", "1"]).row(["z"]).row(["1", "22222", "dropped"]);
        assert_eq!(table.to_text(), "a         µs\n─────  ─────\nx | y      1\nz\n1      22222\n");
        assert_eq!(
            table.to_markdown(),
            "| a | µs |\n| --- | ---: |\n| x \\| y | 1 |\n| z |  |\n| 1 | 22222 |\n"
        );
        assert_eq!(table.len(), 3);
    }

    proptest! {
        #[test]
        fn columns_line_up(rows in prop::collection::vec(("[a-zµ]{1,12}", "[0-9]{1,9}"), 0..12)) {
            let mut table = Table::new([Column::text("name"), Column::number("n")]);
            rows.iter().for_each(|(name, number)| { table.row([name, number]); });
            let text = table.to_text();
            let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
            prop_assert_eq!(widths.len(), rows.len() + 2);
            prop_assert!(widths.iter().all(|&width| width == widths[0]), "numbers end at the same column:\n{}", text);
        }
    }
}
