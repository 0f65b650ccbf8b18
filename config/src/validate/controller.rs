//! The profile controller's settings, and the actuators of backends.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use super::{
    Check,
    backends::{base_url, whole_url},
    server::secret_of,
};
use crate::{
    Actuator, Backend, BackendUrl, Controller, Declared, ProcessActuator, Profile, Secret, SleepActuator,
    WebhookActuator,
    raw::{RawActuator, RawBackend, RawController, RawProcess, RawSleep, RawWebhook},
    suggest::suggest,
    yaml::Path,
};

const MINUTE: Duration = Duration::from_secs(60);
const MAX_ARGUMENTS: usize = 1000;
/// Variables that say where and who a program is: no keys, and every engine needs them.
const EVERYONES: [&str; 13] = [
    "HOME",
    "HOSTNAME",
    "LANG",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "PWD",
    "PYTHONPATH",
    "SHELL",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
];

pub(super) fn controller(check: &mut Check<'_>, at: &Path, raw: &RawController) -> Controller {
    let default = Controller::default();
    let gain = raw.min_gain.unwrap_or(default.min_gain);
    let min_gain = check.within(&at.key("min_gain"), gain, 0.0..=10.0);
    let mut duration = |key: &str, value, default| check.duration(&at.key(key), value, default);
    let every = duration("every", raw.every, default.every);
    let min_dwell = duration("min_dwell", raw.min_dwell, default.min_dwell);
    let payback = duration("payback", raw.payback, default.payback);
    let drain = duration("drain", raw.drain, default.drain);
    let unavailable = raw.max_unavailable.unwrap_or(default.max_unavailable);
    let warm_up = raw.warm_up_requests.unwrap_or(default.warm_up_requests);
    let state = raw.state.as_deref().map_or_else(|| default.state.clone(), PathBuf::from);
    Controller {
        mode: raw.mode.unwrap_or_default(),
        every,
        min_gain,
        min_dwell,
        payback,
        max_unavailable: check.within(&at.key("max_unavailable"), unavailable, 1..=1000),
        drain,
        slow_start: raw.slow_start.map_or(default.slow_start, |time| time.0),
        warm_up_requests: check.within(&at.key("warm_up_requests"), warm_up, 0..=100),
        state: check.file(&at.key("state"), &state.to_string_lossy()),
    }
}

/// A backend that may be shifted: its name, its URL and the profile it is in.
pub(super) struct Shiftable<'a> {
    pub(super) name: &'a str,
    pub(super) url: &'a BackendUrl,
    /// Where its URL stands.
    pub(super) url_at: Path,
    pub(super) profile: &'a Declared<Arc<Profile>>,
}

/// The profiles a backend may be shifted into, its own among them.
pub(super) fn profiles(
    check: &mut Check<'_>,
    at: &Path,
    raw: &RawBackend,
    own: &Declared<Arc<Profile>>,
    known: &[Arc<Profile>],
) -> Vec<Arc<Profile>> {
    if raw.profiles.is_empty() {
        return Vec::new();
    }
    let list_at = at.key("profiles");
    let mut found: Vec<Arc<Profile>> = Vec::with_capacity(raw.profiles.len());
    for (index, name) in raw.profiles.iter().enumerate() {
        let at = list_at.index(index);
        if found.iter().any(|profile| profile.id.as_str() == name) {
            check.wrong(&at, format!("{name:?} is listed twice"), "keep one".to_owned());
        } else if let Some(profile) = known.iter().find(|profile| profile.id.as_str() == name) {
            found.push(profile.clone());
        } else if !check.is_cut(&Path::default().key("profiles").key(name)) {
            let names = known.iter().map(|profile| profile.id.as_str());
            let fix = suggest(name, names).unwrap_or_else(|| "declare it under `profiles`".to_owned());
            check.wrong(&at, format!("no profile is called {name:?}"), fix);
        }
    }
    match own {
        Declared::Is(own) if !raw.profiles.iter().any(|name| name == own.id.as_str()) => {
            let fix = format!("add {}", own.id);
            check.wrong(&list_at, format!("the backend's own profile {} is not among them", own.id), fix);
        }
        // One that is named and unknown has been reported.
        Declared::Detect if raw.profile.as_deref().is_none_or(|name| name == "detect") => {
            let fix = "name the one that it is in as `profile`".to_owned();
            check.wrong_key(&list_at, "a backend that is shifted does not have its profile detected", fix);
        }
        Declared::Is(_) | Declared::Detect => {}
    }
    found
}

/// What puts the backend into another profile.
pub(super) fn actuator(
    check: &mut Check<'_>,
    at: &Path,
    raw: Option<&RawActuator>,
    backend: &Shiftable<'_>,
    profiles: &[String],
) -> Option<Actuator> {
    let raw = raw?;
    if profiles.is_empty() && !check.lost_children(at) {
        let fix = "list under `profiles` what it may be shifted into, its own among them".to_owned();
        check.wrong_key(at, "an actuator has nothing to do without `profiles`", fix);
    }
    match (&raw.process, &raw.sleep, &raw.webhook) {
        (Some(raw), None, None) => Some(Actuator::Process(process(check, &at.key("process"), raw, backend))),
        (None, Some(raw), None) => {
            Some(Actuator::Sleep(sleep(check, &at.key("sleep"), raw, backend, profiles)))
        }
        (None, None, Some(raw)) => webhook(check, &at.key("webhook"), raw).map(Actuator::Webhook),
        _ => {
            if !check.lost_children(at) {
                let fix = "write one of `process`, `sleep` and `webhook`".to_owned();
                check.wrong(at, "a backend has one actuator", fix);
            }
            None
        }
    }
}

fn process(check: &mut Check<'_>, at: &Path, raw: &RawProcess, backend: &Shiftable<'_>) -> ProcessActuator {
    let command_at = at.key("command");
    if raw.command.is_empty() && !check.is_cut(&command_at) {
        let fix = "write, for instance, `command: [vllm, serve, Qwen/Qwen3-8B]`".to_owned();
        check.wrong(&command_at, "is missing", fix);
    }
    check.within(&command_at, raw.command.len(), 0..=MAX_ARGUMENTS);
    for (index, word) in raw.command.iter().enumerate() {
        let name = word.split('=').next().unwrap_or_default();
        if matches!(name, "--host" | "--port") {
            let fix = "remove it; Gearshift takes it from `url`".to_owned();
            check.wrong(&command_at.index(index), format!("{name} is stated twice"), fix);
        }
    }
    if backend.url.tls || !backend.url.path.is_empty() {
        let fix = "write `http://HOST:PORT` without a path".to_owned();
        check.wrong(
            &backend.url_at,
            "an engine that Gearshift starts is reached in clear text and at the root",
            fix,
        );
    }
    let mut env = Vec::with_capacity(raw.env.len());
    for (name, value) in &raw.env {
        let at = at.key("env").key(name);
        if name.is_empty() || name.contains(['=', '\0']) {
            check.wrong(
                &at,
                "is no name of an environment variable",
                "write, for instance, HF_HOME".to_owned(),
            );
        }
        if let Some(value) = check.expand(&at, value) {
            env.push((name.clone(), Secret::new(value)));
        }
    }
    let log = raw.log.clone().unwrap_or_else(|| format!("engine-logs/{}.log", file_name(backend.name)));
    let mut duration = |key: &str, value, default| check.duration(&at.key(key), value, default);
    ProcessActuator {
        command: raw.command.clone(),
        env,
        // All of the file has to be read first.
        withheld: Vec::new(),
        stop_grace: duration("stop_grace", raw.stop_grace, MINUTE / 2),
        start_timeout: duration("start_timeout", raw.start_timeout, 10 * MINUTE),
        release_timeout: duration("release_timeout", raw.release_timeout, MINUTE),
        workdir: check.folder(raw.workdir.as_deref().unwrap_or_default()),
        log: check.file(&at.key("log"), &log),
        show_last_words: raw.show_last_words.unwrap_or(false),
        memory_probe: raw.memory_probe.clone(),
        on_exit: raw.on_exit.unwrap_or_default(),
    }
}

/// Each probe looks at one engine's accelerators: what two share, the one takes for the other's.
pub(super) fn probes(check: &mut Check<'_>, at: &Path, raw: &[RawBackend]) {
    let mut known: Vec<(&[String], Path)> = Vec::new();
    for (index, backend) in raw.iter().enumerate() {
        let process = backend.actuator.as_ref().and_then(|actuator| actuator.process.as_ref());
        let Some(probe) = process.and_then(|process| process.memory_probe.as_deref()) else { continue };
        let at = at.index(index).key("actuator").key("process").key("memory_probe");
        if let Some((_, first)) = known.iter().find(|(other, _)| *other == probe && !probe.is_empty()) {
            let what = format!(
                "is the probe of another backend too, on line {}: each would wait for the other's memory",
                check.line(first)
            );
            let fix = "leave both out, or print the memory of each one's own accelerators alone".to_owned();
            check.wrong(&at, what, fix);
        }
        known.push((probe, at));
    }
}

/// Each engine is known again by the file that its shell writes beside its log: of two with one file, the one's would be taken for the
/// other's, and ended for it. `backends` are in the file's order.
pub(super) fn pid_files(check: &mut Check<'_>, at: &Path, backends: &[Backend]) {
    let mut known: Vec<(PathBuf, &Backend, Path)> = Vec::new();
    for (index, backend) in backends.iter().enumerate() {
        let Some(Actuator::Process(process)) = &backend.actuator else { continue };
        let file = process.pid_file();
        let file = std::path::absolute(&file).unwrap_or(file);
        let at = at.index(index).key("actuator").key("process").key("log");
        // Two of one name have been reported.
        let same = known.iter().find(|(other, first, _)| *other == file && first.id != backend.id);
        if let Some((_, first, line)) = same {
            let what = format!(
                "{} would name the engine of this backend and that of {}, on line {}",
                file.display(),
                first.id,
                check.line(line)
            );
            let fix = "state a `log` for each, whose names differ in more than their ending".to_owned();
            check.wrong(&at, what, fix);
        }
        known.push((file, backend, at));
    }
}

/// Keeps variables that the file reads from engines: they may be keys. What a backend's own entry reads is its engine's business: vLLM
/// takes the key that it asks clients for from the variable that `api_key` may be read from.
pub(super) fn withhold(backends: &mut [Arc<Backend>], at: &Path, read: &[(Path, String)]) {
    for (index, backend) in backends.iter_mut().enumerate() {
        let Some(backend) = Arc::get_mut(backend) else { continue };
        let Some(Actuator::Process(process)) = &mut backend.actuator else { continue };
        let own = at.index(index);
        let own: Vec<&String> =
            read.iter().filter(|(path, _)| path.starts_with(&own)).map(|(_, name)| name).collect();
        let others = read.iter().map(|(_, name)| name);
        let kept = others.filter(|name| !own.contains(name) && !EVERYONES.contains(&name.as_str()));
        process.withheld = kept.cloned().collect::<BTreeSet<_>>().into_iter().collect();
    }
}

/// A backend's name as a file's.
fn file_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().map(|c| if fits(c) { c } else { '-' }).collect()
}

fn sleep(
    check: &mut Check<'_>,
    at: &Path,
    raw: &RawSleep,
    backend: &Shiftable<'_>,
    profiles: &[String],
) -> SleepActuator {
    let siblings_at = at.key("siblings");
    let own = match backend.profile {
        Declared::Is(profile) => profile.id.as_str(),
        Declared::Detect => "",
    };
    let mut siblings: Vec<(crate::ProfileId, BackendUrl)> = Vec::with_capacity(raw.siblings.len());
    for (profile, url) in &raw.siblings {
        let at = siblings_at.key(profile);
        if profile == own {
            let fix = "remove it; the backend's `url` is that engine".to_owned();
            check.wrong_key(&at, "is the backend's own profile", fix);
        } else if !profiles.iter().any(|name| name == profile) {
            let fix = suggest(profile, profiles.iter().map(String::as_str));
            check.wrong_key(&at, format!("{profile:?} is not among the backend's `profiles`"), fix);
        }
        let Some(url) = base_url(check, &at, Some(url)) else { continue };
        if url == *backend.url || siblings.iter().any(|(_, other)| *other == url) {
            check.wrong(&at, format!("{url} is another profile's engine"), "name each once".to_owned());
        }
        siblings.push((crate::ProfileId::new(profile.as_str()), url));
    }
    for missing in profiles.iter().filter(|name| *name != own && !raw.siblings.contains_key(*name)) {
        let fix = format!("add `{missing}: http://127.0.0.1:8001`");
        check.wrong(&siblings_at, format!("profile {missing} has no engine"), fix);
    }
    SleepActuator { siblings, timeout: check.duration(&at.key("timeout"), raw.timeout, 2 * MINUTE) }
}

fn webhook(check: &mut Check<'_>, at: &Path, raw: &RawWebhook) -> Option<WebhookActuator> {
    let url = whole_url(check, &at.key("url"), raw.url.as_ref());
    let timeout = check.duration(&at.key("timeout"), raw.timeout, MINUTE / 6);
    let start_timeout = check.duration(&at.key("start_timeout"), raw.start_timeout, 10 * MINUTE);
    let secret =
        secret_of(check, at, ("secret", raw.secret.as_ref()), ("secret_file", raw.secret_file.as_ref()));
    if raw.secret.is_none() && raw.secret_file.is_none() && !check.lost_children(at) {
        let fix = "add `secret: ${GEARSHIFT_WEBHOOK_SECRET}`, by which your system knows who asks".to_owned();
        check.wrong(at, "has no `secret`", fix);
    }
    Some(WebhookActuator { url: url?, secret: secret?, timeout, start_timeout })
}
