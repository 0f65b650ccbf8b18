//! From what is written to what works: references resolved, ranges held, defaults filled in.
//!
//! A check that fails reports and goes on with a stand-in, so that one run finds everything; the stand-ins are never
//! seen, because any finding makes the whole an error.

mod backends;
mod catalog;
mod check;
mod controller;
mod files;
mod models;
mod profiles;
mod routes;
mod sections;
mod server;
mod telemetry;
mod url;

use std::{path, sync::Arc};

pub(crate) use catalog::{hardware_facts, model_facts};
pub(crate) use check::Check;
pub(crate) use files::read_text;

use crate::{Catalog, Config, raw::RawConfig, yaml::Path};

/// Everything a file leans on that is not in it.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Where relative paths start.
    pub(crate) base_dir: &'a path::Path,
    /// Environment variables by name.
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
}

/// Validates a decoded file. The result counts only when `check` has no findings.
pub(crate) fn validate(check: &mut Check<'_>, raw: &RawConfig) -> Config {
    let root = Path::default();
    let catalog = Catalog::shipped();
    let hardware = backends::user_hardware(check, &root.key("hardware"), &raw.hardware, catalog);
    let mut models = models::declared(check, &root.key("models"), &raw.models, catalog);
    let profiles = profiles::profiles(check, &root.key("profiles"), &raw.profiles);
    let backends = {
        let mut known =
            backends::Known { catalog, hardware: &hardware, profiles: &profiles, models: &mut models };
        backends::backends(check, &root.key("backends"), &raw.backends, &mut known)
    };
    controller::probes(check, &root.key("backends"), &raw.backends);
    controller::pid_files(check, &root.key("backends"), &backends);
    let listeners = server::listeners(check, &root.key("listen"), raw.listen.as_ref());
    let routes =
        routes::routes(check, &root.key("routes"), &raw.routes, &routes::known_models(&models, &backends));
    let mut config = Config {
        admin: server::admin(check, &root.key("admin"), &raw.admin, &listeners),
        listeners,
        workers: server::workers(check, &root.key("workers"), raw.workers),
        models,
        profiles,
        backends: backends.into_iter().map(Arc::new).collect(),
        routes: routes.into_iter().map(Arc::new).collect(),
        limits: sections::limits(check, &root.key("limits"), &raw.limits),
        timeouts: sections::timeouts(check, &root.key("timeouts"), &raw.timeouts),
        retries: sections::retries(check, &root.key("retries"), &raw.retries),
        controller: controller::controller(check, &root.key("controller"), &raw.controller),
        fleet: sections::fleet(check, &root.key("fleet"), &raw.fleet),
        learner: sections::learner(check, &root.key("learner"), &raw.learner),
        observations: sections::observations(check, &root.key("observations"), &raw.observations),
        telemetry: telemetry::telemetry(check, &root.key("telemetry"), &raw.telemetry),
        paths: sections::paths(check, &root.key("paths"), &raw.paths),
    };
    controller::withhold(&mut config.backends, &root.key("backends"), check.variables());
    config
}
