//! The configuration as it is told to operators: everything but the secrets.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Serialize, Serializer};

use crate::{BackendUrl, Config, Declared, Model, Secret, units::format_duration};

impl Config {
    /// The whole configuration as JSON for the admin API. Secrets are redacted, durations are text such as `500ms`.
    pub fn redacted(&self) -> serde_json::Value {
        // Nothing in a configuration fails to serialize: keys are text and floats finite.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The model that clients mean by `name`: its id or one of its aliases.
    pub fn model(&self, name: &str) -> Option<&Model> {
        let by_id = self.models.iter().find(|model| model.id.as_str() == name);
        by_id.or_else(|| self.models.iter().find(|model| model.aliases.iter().any(|alias| alias == name)))
    }

    /// A few lines for people: what listens where, and what the fleet is made of.
    pub fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for listener in &self.listeners {
            let tls = if listener.tls.is_some() { "TLS" } else { "clear text" };
            lines.push(format!("listens on {} ({tls})", listener.address));
        }
        let token = if self.admin.token.is_some() { "with a token" } else { "without a token" };
        lines.push(format!("admin on {} ({token})", self.admin.address));
        for backend in &self.backends {
            let model = match &backend.model {
                Declared::Detect => "a model to be detected".to_owned(),
                Declared::Is(model) => model.to_string(),
            };
            let hardware = match &backend.hardware {
                Some(hardware) => format!("{}× {}", hardware.count, hardware.id),
                None => "hardware not stated".to_owned(),
            };
            let profile = match &backend.profile {
                Declared::Detect => "a profile to be detected".to_owned(),
                Declared::Is(profile) => format!("profile {}", profile.id),
            };
            lines.push(format!(
                "backend {}: {} serves {model} on {hardware}, {profile}",
                backend.id, backend.url
            ));
        }
        let routes: Vec<&str> = self.routes.iter().map(|route| route.id.as_str()).collect();
        lines.push(format!("routes: {}", routes.join(", ")));
        lines
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}{}", self.host, self.port, self.path)
        } else {
            write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
        }
    }
}

impl Serialize for BackendUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl BackendUrl {
    /// The URL without its path, which may be a key.
    pub fn origin(&self) -> Self {
        Self { path: String::new(), ..self.clone() }
    }
}

const REDACTED: &str = "(redacted)";

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// A URL whose path may be a key.
pub(crate) fn origin<S: Serializer>(url: &BackendUrl, serializer: S) -> Result<S::Ok, S::Error> {
    let path = if url.path.is_empty() { "" } else { "/(redacted)" };
    serializer.collect_str(&format_args!("{}{path}", url.origin()))
}

/// A command line. Keys belong into `env`; where they stand here all the same, they are not shown.
pub(crate) fn command<S: Serializer>(words: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    let secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with('-') && ["key", "token", "secret", "password"].iter().any(|end| name.ends_with(end))
    };
    let shown = words.iter().enumerate().map(|(index, word)| match word.split_once('=') {
        Some((name, _)) if secret(name) => format!("{name}={REDACTED}"),
        _ if index > 0 && secret(&words[index - 1]) && !word.starts_with('-') => REDACTED.to_owned(),
        _ => word.clone(),
    });
    serializer.collect_seq(shown)
}

/// A folder, or a store's URL without credentials: nobody should write them there, but they can be.
pub(crate) fn store<S: Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = |url: &String| {
        let Some((scheme, rest)) = url.split_once("://") else { return url.clone() };
        let (place, query) = rest.split_once('?').map_or((rest, ""), |(place, _)| (place, "?(redacted)"));
        let authority = place.split('/').next().unwrap_or_default();
        match authority.rfind('@') {
            Some(at) => format!("{scheme}://{REDACTED}{}{query}", &place[at..]),
            None => format!("{scheme}://{place}{query}"),
        }
    };
    url.as_ref().map(shown).serialize(serializer)
}

/// `"detect"`, or the value.
impl<T: Serialize> Serialize for Declared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Detect => serializer.serialize_str("detect"),
            Self::Is(value) => value.serialize(serializer),
        }
    }
}

pub(crate) fn duration<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*value))
}

pub(crate) fn optional_duration<S: Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.map(format_duration).serialize(serializer)
}

/// Paths need not be UTF-8; what is not is shown as well as it can be.
pub(crate) fn path<S: Serializer>(value: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&value.display())
}

pub(crate) fn optional_path<S: Serializer>(
    value: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(|path| path.display().to_string()).serialize(serializer)
}
