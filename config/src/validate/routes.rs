//! Routes: reachable, told apart, and the last one takes everything.

use indexmap::IndexMap;

use super::Check;
use crate::{
    Backend, Declared, Model, Objective, Route, RouteId, RouteMatch, Slo,
    raw::{OneOrMany, RawMatch, RawRoute, RawSlo},
    suggest::suggest,
    yaml::Path,
};

/// The route that takes what no other does, where the file has none.
const LAST: &str = "default";

/// Every name a client may use, or `None` when engines are still to be asked for theirs.
pub(super) fn known_models<'a>(models: &'a [Model], backends: &[Backend]) -> Option<Vec<&'a str>> {
    if backends.iter().any(|backend| backend.model == Declared::Detect) {
        return None;
    }
    let names = models
        .iter()
        .flat_map(|model| std::iter::once(model.id.as_str()).chain(model.aliases.iter().map(String::as_str)));
    Some(names.collect())
}

pub(super) fn routes(
    check: &mut Check<'_>,
    at: &Path,
    raw: &[RawRoute],
    known_models: &Option<Vec<&str>>,
) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::with_capacity(raw.len() + 1);
    let mut names: IndexMap<&str, usize> = IndexMap::new();
    let mut takes_all: Option<String> = None;
    for (index, raw) in raw.iter().enumerate() {
        let at = at.index(index);
        if let Some(earlier) = &takes_all {
            let fix = format!("move it above {earlier:?}");
            check.wrong(
                &at,
                format!("is never reached: route {earlier:?} takes every request before it"),
                fix,
            );
        }
        let name_at = at.key("name");
        let name = check.required(&name_at, raw.name.as_deref(), "name: chat").unwrap_or_default();
        if raw.name.is_some() {
            check.name(&name_at, name);
            if let Some(line) = names.get(name) {
                let what = format!("{name:?} is the name of a route already, on line {line}");
                check.wrong(&name_at, what, "give it a name of its own".to_owned());
            }
            names.insert(name, check.line(&name_at));
        }
        let match_at = at.key("match");
        let matches = matches(check, &match_at, &raw.matches, known_models);
        // What was cut out of the conditions may have been all of them.
        let all = matches == RouteMatch::default() && !check.lost_children(&match_at);
        if all && takes_all.is_none() {
            takes_all = Some(name.to_owned());
        }
        if name == LAST && !all {
            let fix = "name it otherwise, or remove `match`".to_owned();
            check.wrong(&name_at, "`default` is the name of the route that takes what no other does", fix);
        }
        routes.push(Route {
            id: RouteId::new(name),
            matches,
            objective: raw.objective.unwrap_or_default(),
            slo: slo(check, &at.key("slo"), &raw.slo),
            allow_lossy: raw.allow_lossy.unwrap_or(false),
            inject_usage: raw.inject_usage.unwrap_or(false),
        });
    }
    if takes_all.is_none() {
        routes.push(Route {
            id: RouteId::new(LAST),
            matches: RouteMatch::default(),
            objective: Objective::default(),
            slo: Slo::default(),
            allow_lossy: false,
            inject_usage: false,
        });
    }
    routes
}

fn matches(check: &mut Check<'_>, at: &Path, raw: &RawMatch, known_models: &Option<Vec<&str>>) -> RouteMatch {
    let models_at = at.key("models");
    for (at, model) in each(&models_at, &raw.models) {
        check.name(&at, model);
        let declared_badly = check.lost_children(&Path::default().key("models"));
        if let Some(known) = known_models
            && !known.contains(&model.as_str())
            && !declared_badly
        {
            let what = format!("no backend serves a model called {model:?}");
            check.wrong(&at, what, suggest(model, known.iter().copied()));
        }
    }
    let paths_at = at.key("paths");
    for (at, path) in each(&paths_at, &raw.paths) {
        if !path.starts_with('/') || path.contains(['?', '#']) || path.chars().any(char::is_whitespace) {
            let fix = "write, for instance, /v1/chat/completions".to_owned();
            check.wrong(&at, format!("{path:?} is not the path of a request"), fix);
        }
    }
    let headers = raw.headers.iter().map(|(name, value)| {
        let at = at.key("headers").key(name);
        if !is_token(name) {
            check.wrong_key(&at, "is not the name of a header", "write, for instance, x-tenant".to_owned());
        }
        if !value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f)) {
            check.wrong(
                &at,
                "is not a value a header can have",
                "write it without control characters".to_owned(),
            );
        }
        (name.to_ascii_lowercase(), value.clone())
    });
    RouteMatch {
        headers: headers.collect(),
        models: raw.models.items.clone(),
        paths: raw.paths.items.clone(),
    }
}

fn each<'a, T>(at: &'a Path, values: &'a OneOrMany<T>) -> impl Iterator<Item = (Path, &'a T)> {
    values.items.iter().enumerate().map(|(index, value)| {
        let at = if values.listed { at.index(index) } else { at.clone() };
        (at, value)
    })
}

/// RFC 9110's token, which header names are.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn slo(check: &mut Check<'_>, at: &Path, raw: &RawSlo) -> Slo {
    let mut limit = |key: &str, value: Option<crate::raw::DurationText>| {
        value.map(|value| check.duration(&at.key(key), Some(value), value.0))
    };
    let slo =
        Slo { ttft: limit("ttft", raw.ttft), tpot: limit("tpot", raw.tpot), e2e: limit("e2e", raw.e2e) };
    if let (Some(ttft), Some(e2e)) = (slo.ttft, slo.e2e)
        && e2e < ttft
    {
        let what = "the whole answer is due before its first token";
        check.wrong(&at.key("e2e"), what, "write at least what `ttft` allows".to_owned());
    }
    slo
}
