//! The part of ARFF that ASlib uses: dense rows of numbers and words, quoted or not.

use crate::Error;

/// A table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Arff {
    /// Names of the columns, in lower case.
    pub(super) columns: Vec<String>,
    /// Cells; `None` where the file has `?`.
    pub(super) rows: Vec<Vec<Option<String>>>,
}

impl Arff {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The number of the first line that has more or fewer cells than there are attributes, or whose quotes do not close.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut arff = Self::default();
        let mut in_data = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let wrong = |what: &str| Error::Failed(format!("line {}: {what}", number + 1));
            if line.is_empty() || line.starts_with('%') {
                continue;
            }
            if in_data {
                let cells = cells(line, ',').ok_or_else(|| wrong("a quote is not closed"))?;
                if cells.len() != arff.columns.len() {
                    return Err(wrong("not as many cells as attributes"));
                }
                arff.rows.push(cells);
                continue;
            }
            let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            match keyword.to_ascii_lowercase().as_str() {
                "@attribute" => {
                    let name = cells(rest, ' ').and_then(|words| words.into_iter().next().flatten());
                    arff.columns.push(name.ok_or_else(|| wrong("an attribute without name"))?.to_lowercase());
                }
                "@data" => in_data = true,
                "@relation" => {}
                _ => return Err(wrong("neither @relation, @attribute nor @data")),
            }
        }
        Ok(arff)
    }

    /// Position of a column.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub(super) fn column(&self, name: &str) -> Result<usize, Error> {
        let found = self.columns.iter().position(|column| column == name);
        found.ok_or_else(|| Error::Failed(format!("no attribute {name}")))
    }
}

/// Cells between separators; `None` where a quote is not closed.
fn cells(line: &str, separator: char) -> Option<Vec<Option<String>>> {
    let mut cells = Vec::new();
    let (mut cell, mut quote, mut quoted) = (String::new(), None, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', Some(_)) => cell.extend(letters.next()),
            (end, Some(open)) if end == open => quote = None,
            (open @ ('\'' | '"'), None) if cell.trim().is_empty() => (quote, quoted) = (Some(open), true),
            (end, None) if end == separator => {
                cells.push(finished(&cell, quoted));
                (cell, quoted) = (String::new(), false);
            }
            (other, _) => cell.push(other),
        }
    }
    cells.push(finished(&cell, quoted));
    quote.is_none().then_some(cells)
}

fn finished(cell: &str, quoted: bool) -> Option<String> {
    let cell = if quoted { cell } else { cell.trim() };
    (quoted || cell != "?").then(|| cell.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_aslib_writes_is_read() {
        let text = "% made by hand\n@RELATION 'a b'\n\n@ATTRIBUTE instance_id STRING\n@attribute 'x, y' NUMERIC\n\
                    @ATTRIBUTE runstatus {ok, timeout}\n@DATA\n'it\\'s, one', 1.5 ,ok\ntwo,?,timeout\n";
        let arff = Arff::parse(text).unwrap();
        assert_eq!(arff.columns, ["instance_id", "x, y", "runstatus"]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(arff.rows[0], [some("it's, one"), some("1.5"), some("ok")]);
        assert_eq!(arff.rows[1], [some("two"), None, some("timeout")]);
        assert_eq!(arff.column("runstatus").unwrap(), 2);
        assert!(arff.column("z").is_err());
    }

    #[test]
    fn faults_are_told_with_their_line() {
        let error = |text: &str| Arff::parse(text).unwrap_err().to_string();
        assert!(error("@attribute a STRING\n@data\n1,2").starts_with("line 3"));
        assert!(error("@attribute a STRING\n@data\n'1").contains("quote"));
        assert!(error("a,b").starts_with("line 1"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(@attribute |@data\n|[a-z',?\\\\ \n]){0,40}") {
            let _ = Arff::parse(&text);
        }
    }
}
