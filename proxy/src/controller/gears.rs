//! In which profile each shiftable backend is, over what the configuration file says.

use std::{collections::HashMap, sync::Arc};

use gearshift_config::{Actuator, Backend, BackendId, BackendUrl, Config, Declared};

use super::journal::Entry;

/// The gears of all backends that are, or may be, in another profile than the file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gears(HashMap<BackendId, Gear>);

/// The gear of one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gear {
    /// The profile it is in, by name.
    pub profile: String,
    /// Whether clients' requests may not go there.
    pub held: bool,
}

impl Gear {
    /// What the journal says of a backend.
    pub(super) fn of(entry: &Entry) -> Self {
        match &entry.switch {
            Some(switch) => Self { profile: switch.profile().to_owned(), held: switch.holds() },
            None => Self { profile: entry.profile.clone(), held: false },
        }
    }
}

impl Gears {
    /// Puts a backend into a gear; whether that is news.
    pub fn set(&mut self, backend: &BackendId, gear: Gear) -> bool {
        match self.0.insert(backend.clone(), gear) {
            Some(before) => self.0.get(backend) != Some(&before),
            None => true,
        }
    }

    /// Whether clients' requests may not go there.
    pub fn holds(&self, backend: &BackendId) -> bool {
        self.0.get(backend).is_some_and(|gear| gear.held)
    }

    /// The configuration with every backend in its gear. A profile that a backend may no longer be shifted into does not
    /// count: the file has the last word.
    pub fn apply(&self, written: &Arc<Config>) -> Arc<Config> {
        let in_gear = |backend: &Arc<Backend>| {
            let gear = self.0.get(&backend.id)?;
            geared(backend, &gear.profile).map(Arc::new)
        };
        if written.backends.iter().all(|backend| in_gear(backend).is_none()) {
            return written.clone();
        }
        let backends = written.backends.iter();
        let backends = backends.map(|backend| in_gear(backend).unwrap_or_else(|| backend.clone())).collect();
        Arc::new(Config { backends, ..Config::clone(written) })
    }
}

/// A backend in another profile than the file says; `None` where it is in that one, or may not be in this one.
pub(super) fn geared(backend: &Backend, profile: &str) -> Option<Backend> {
    let own = matches!(&backend.profile, Declared::Is(own) if own.id.as_str() == profile);
    let profile = backend.profiles.iter().find(|other| other.id.as_str() == profile).filter(|_| !own)?;
    let url = sibling(backend, profile.id.as_str()).unwrap_or(&backend.url).clone();
    Some(Backend { profile: Declared::Is(profile.clone()), url, ..backend.clone() })
}

/// Where the engine of another profile listens, where it is another engine.
fn sibling<'b>(backend: &'b Backend, profile: &str) -> Option<&'b BackendUrl> {
    match backend.actuator.as_ref()? {
        Actuator::Sleep(sleep) => {
            sleep.siblings.iter().find(|(id, _)| id.as_str() == profile).map(|(_, url)| url)
        }
        Actuator::Process(_) | Actuator::Webhook(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config() -> Arc<Config> {
        let text = "
profiles: {a: {}, b: {max_num_seqs: 8}}
backends:
  - {name: x, url: 'http://x:1', profile: a, profiles: [a, b]}
  - {name: y, url: 'http://y:1', profile: a, profiles: [a, b], actuator: {sleep: {siblings: {b: 'http://y:2'}}}}
";
        Arc::new(gearshift_config::parse("t", text, Path::new("")).unwrap())
    }

    fn gears(gears: &[(&str, &str)]) -> Gears {
        let mut all = Gears::default();
        for (backend, profile) in gears {
            all.set(&BackendId::new(*backend), Gear { profile: (*profile).to_owned(), held: false });
        }
        all
    }

    #[test]
    fn a_backend_is_in_its_gear_and_at_its_siblings_address() {
        let config = gears(&[("x", "b"), ("y", "b")]).apply(&config());
        for (backend, url) in config.backends.iter().zip(["http://x:1", "http://y:2"]) {
            assert!(
                matches!(&backend.profile, Declared::Is(profile) if profile.knobs.max_num_seqs == Some(8))
            );
            assert_eq!(backend.url.to_string(), url);
        }
    }

    #[test]
    fn what_the_file_says_or_forbids_changes_nothing() {
        let config = config();
        for same in [gears(&[]), gears(&[("x", "a")]), gears(&[("x", "gone"), ("gone", "b")])] {
            assert!(Arc::ptr_eq(&same.apply(&config), &config));
        }
    }

    #[test]
    fn only_another_gear_is_news() {
        let mut gears = gears(&[("x", "b")]);
        let gear = Gear { profile: "b".to_owned(), held: false };
        assert!(!gears.set(&BackendId::new("x"), gear.clone()));
        assert!(gears.set(&BackendId::new("x"), Gear { held: true, ..gear }));
        assert!(gears.holds(&BackendId::new("x")) && !gears.holds(&BackendId::new("y")));
    }
}
