//! What the stub's streams look like.

use std::time::Duration;

use crate::driver::{Endpoint, ExchangeError, request_once};

/// Shape of every stream that begins from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Chunks per stream, each an SSE event of its own; at least one. Usage and `[DONE]` come on top.
    pub chunks: u64,
    /// Between two chunks. The first one comes at once.
    pub interval: Duration,
}

/// Why settings are not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{pair:?}: expected chunks=N (at least 1) or interval_ms=N")]
pub struct SettingsError {
    pair: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { chunks: 20, interval: Duration::from_millis(10) }
    }
}

impl Settings {
    /// These settings with what a query string (`chunks=N&interval_ms=D`) changes.
    ///
    /// # Errors
    /// Where a key is unknown or a value is no number.
    pub fn with_query(mut self, query: &str) -> Result<Self, SettingsError> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let error = || SettingsError { pair: pair.to_owned() };
            let (key, value) = pair.split_once('=').ok_or_else(error)?;
            let value: u64 = value.parse().map_err(|_| error())?;
            match key {
                "chunks" if value > 0 => self.chunks = value,
                "interval_ms" => self.interval = Duration::from_millis(value),
                _ => return Err(error()),
            }
        }
        Ok(self)
    }

    /// Gives the stub at `endpoint` these settings.
    ///
    /// # Errors
    /// Where it does not take them.
    pub async fn apply(&self, endpoint: &Endpoint) -> Result<(), ExchangeError> {
        request_once(endpoint, "POST", &self.path_and_query()).await.map(drop)
    }

    fn path_and_query(&self) -> String {
        format!("{PATH}?chunks={}&interval_ms={}", self.chunks, self.interval.as_millis())
    }
}

/// Where settings are changed.
pub(super) const PATH: &str = "/stub/settings";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_changes_what_it_names() {
        let settings = Settings::default().with_query("interval_ms=7").unwrap();
        assert_eq!(settings, Settings { interval: Duration::from_millis(7), ..Settings::default() });
        let path_and_query = settings.path_and_query();
        let (_, query) = path_and_query.split_once('?').unwrap();
        assert_eq!(Settings::default().with_query(query), Ok(settings));
    }

    #[test]
    fn nonsense_is_refused() {
        for query in ["chunks=0", "chunks=-1", "chunks", "speed=3", "interval_ms=fast"] {
            assert!(Settings::default().with_query(query).is_err(), "{query}");
        }
    }
}
