//! Configurations for the binary.

use std::{fmt, net::SocketAddr};

use super::{Engine, MODEL};

/// A configuration file: one core, free ports, and what a test adds.
#[derive(Debug, Clone)]
pub(crate) struct Yaml {
    listen: String,
    model: String,
    backends: Vec<String>,
    sections: Vec<String>,
}

impl Yaml {
    /// No backend yet.
    pub(crate) fn new() -> Self {
        let listen = "127.0.0.1:0".to_owned();
        Self { listen, model: "{}".to_owned(), backends: Vec::new(), sections: Vec::new() }
    }

    /// Backends `a`, `b`, … that serve [`MODEL`].
    pub(crate) fn of(engines: &[&Engine]) -> Self {
        engines
            .iter()
            .zip('a'..)
            .fold(Self::new(), |yaml, (engine, name)| yaml.backend(&name.to_string(), engine.address))
    }

    /// A further backend that serves [`MODEL`].
    pub(crate) fn backend(self, name: &str, address: SocketAddr) -> Self {
        self.entry(&format!("{{name: {name}, url: \"http://{address}\", model: {MODEL}}}"))
    }

    /// A further backend, as YAML.
    pub(crate) fn entry(mut self, backend: &str) -> Self {
        self.backends.push(format!("  - {backend}\n"));
        self
    }

    /// The value of `listen`.
    pub(crate) fn listen(mut self, listen: &str) -> Self {
        self.listen = listen.to_owned();
        self
    }

    /// What the file says of [`MODEL`].
    pub(crate) fn model(mut self, model: &str) -> Self {
        self.model = model.to_owned();
        self
    }

    /// A further section of the file.
    pub(crate) fn with(mut self, section: &str) -> Self {
        self.sections.push(format!("{section}\n"));
        self
    }
}

impl fmt::Display for Yaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, model, backends, sections } = self;
        writeln!(f, "listen: {listen}\nworkers: 1\nmodels: {{{MODEL}: {model}}}\nbackends:")?;
        backends.iter().chain(sections).try_for_each(|text| f.write_str(text))?;
        if !sections.iter().any(|section| section.starts_with("admin:")) {
            writeln!(f, "admin: {{address: \"127.0.0.1:0\"}}")?;
        }
        Ok(())
    }
}
