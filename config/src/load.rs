//! From a file to a configuration.

use std::path::Path;

use crate::{
    Config, Errors, Problem,
    raw::RawConfig,
    validate::{Check, Surroundings, read_text, validate},
    yaml::{self, Finding},
};

/// The largest configuration file read.
const MAX_FILE: u64 = 4 << 20;

/// Reads and checks a file. Relative paths in it start at its folder, `${NAME}` at the process's environment.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(path: impl AsRef<Path>) -> Result<Config, Errors> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let text = read_text(path, MAX_FILE)
        .map_err(|error| Errors::whole_file(&name, format!("cannot be read: {error}"), None))?;
    parse(&name, &text, path.parent().unwrap_or(Path::new("")))
}

/// Checks a text that has been read already; `name` stands in messages, `base_dir` before relative paths.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, text: &str, base_dir: &Path) -> Result<Config, Errors> {
    parse_with(name, text, base_dir, &|variable| std::env::var(variable).ok())
}

/// As [`parse`], with environment variables from `environment`.
///
/// # Errors
/// As [`load`].
pub fn parse_with(
    name: &str,
    text: &str,
    base_dir: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Errors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut root, mut findings) = yaml::parse(text).map_err(|findings| report(name, findings))?;
    let decoded = yaml::decode::<RawConfig>(&mut root, &mut findings);
    let Some(raw) = decoded.value else { return Err(report(name, findings)) };
    let mut check = Check::new(&root, &decoded.cut, Surroundings { base_dir, environment });
    let config = validate(&mut check, &raw);
    findings.extend(check.into_findings());
    if findings.is_empty() { Ok(config) } else { Err(report(name, findings)) }
}

/// Decodes another YAML file of Gearshift's, such as a plan, with the same errors: all at once, each with its line. `name`
/// stands in messages.
///
/// # Errors
/// Everything that does not fit into `T`.
pub fn decode<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, Errors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut root, mut findings) = yaml::parse(text).map_err(|findings| report(name, findings))?;
    match yaml::decode::<T>(&mut root, &mut findings).value {
        Some(value) if findings.is_empty() => Ok(value),
        _ => Err(report(name, findings)),
    }
}

/// Findings as problems of `file`.
pub(crate) fn report(file: &str, findings: Vec<Finding>) -> Errors {
    let problem = |finding: Finding| Problem {
        file: file.to_owned(),
        position: Some(finding.position),
        path: finding.path.to_string(),
        what: finding.what,
        fix: finding.fix,
    };
    Errors::new(findings.into_iter().map(problem).collect())
}
