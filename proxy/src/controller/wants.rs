//! What the requests for a model ask for: by the routes that can take them.
//!
//! One profile serves all of a model's requests, so that they have to agree on it. Outputs may change only where every route
//! allows it: a route that does not would be left without a backend. What is made best is the objective of the route that most
//! requests come by, of the first one while there are none.

use std::collections::{BTreeMap, BTreeSet};

use gearshift_config::{Config, ModelId, Route};
use gearshift_selector::controller::Wants;

use crate::fleet::Detected;

/// The names that clients may ask an engine of this model by, adapters and all; `said` is its own word.
pub(super) fn asked_as(config: &Config, model: &ModelId, said: Option<&Detected>) -> BTreeSet<String> {
    let serves = |name: &str| said.is_some_and(|said| said.serves(name));
    let declared = config.models.iter().filter(|known| known.id == *model || serves(&known.served_name));
    let mut names: BTreeSet<String> =
        declared.flat_map(|known| [known.id.to_string()].into_iter().chain(known.aliases.clone())).collect();
    let renamed = |name: &str| config.models.iter().any(|known| known.served_name == name);
    let served = said.into_iter().flat_map(|said| &said.served);
    names.extend(served.map(|served| served.id.clone()).filter(|name| !renamed(name)));
    if names.is_empty() {
        names.insert(model.to_string());
    }
    names
}

/// What requests by these names ask for; `rates` is how many come by each route. `None` where no route takes any.
pub(super) fn wants(
    config: &Config,
    names: BTreeSet<String>,
    rates: &BTreeMap<String, f64>,
) -> Option<Wants> {
    let routes = taking(config, names);
    let rate = |route: &Route| rates.get(route.id.as_str()).copied().unwrap_or(0.0);
    let first = *routes.first()?;
    let most = routes.iter().fold(first, |most, route| if rate(route) > rate(most) { route } else { most });
    Some(Wants { objective: most.objective, allow_lossy: routes.iter().all(|route| route.allow_lossy) })
}

/// The routes that requests by these names can come by, in the file's order.
fn taking(config: &Config, mut names: BTreeSet<String>) -> Vec<&Route> {
    let mut routes = Vec::new();
    for route in &config.routes {
        let matches = &route.matches;
        let takes = |name: &String| matches.models.is_empty() || matches.models.contains(name);
        if !names.iter().any(takes) {
            continue;
        }
        routes.push(route.as_ref());
        // What it takes whatever else a request is like never comes further.
        if matches.paths.is_empty() && matches.headers.is_empty() {
            names.retain(|name| !takes(name));
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gearshift_config::Objective;

    use super::*;

    fn config(routes: &str) -> Config {
        let text = format!(
            "models: {{chat: {{aliases: [talk]}}, code: {{}}}}\nbackends: [{{url: 'http://x', model: chat}}, {{url: \
             'http://y', model: code}}]\nroutes:\n{routes}"
        );
        gearshift_config::parse("t", &text, Path::new("")).unwrap()
    }

    fn of(config: &Config, model: &str, rates: &[(&str, f64)]) -> Wants {
        let rates = rates.iter().map(|(route, rate)| ((*route).to_owned(), *rate)).collect();
        wants(config, asked_as(config, &ModelId::new(model), None), &rates).unwrap()
    }

    #[test]
    fn outputs_may_change_only_where_every_route_of_the_model_allows_it() {
        let config = config(
            "  - {name: exact, match: {models: [chat], headers: {x-exact: 'yes'}}}\n  - {name: rest, allow_lossy: true}\n",
        );
        assert!(!of(&config, "chat", &[("rest", 9.0)]).allow_lossy, "`exact` would have no backend left");
        assert!(of(&config, "code", &[]).allow_lossy, "`exact` never takes these");
    }

    #[test]
    fn a_route_that_takes_all_of_a_model_leaves_none_for_those_behind() {
        let config = config(
            "  - {name: some, match: {models: [chat]}, allow_lossy: true}\n  - {name: all, match: {models: [talk, code]}, \
             allow_lossy: true}\n  - {name: rest}\n",
        );
        assert!(of(&config, "chat", &[]).allow_lossy && of(&config, "code", &[]).allow_lossy);
        let alias =
            self::config("  - {name: some, match: {models: [chat]}, allow_lossy: true}\n  - {name: rest}\n");
        assert!(!of(&alias, "chat", &[]).allow_lossy, "its alias comes by the other");
    }

    #[test]
    fn the_objective_is_that_of_the_route_most_requests_come_by() {
        let config = config(
            "  - {name: paths, match: {paths: [/v1/completions]}, objective: throughput}\n  - {name: rest, objective: cost}\n",
        );
        assert_eq!(of(&config, "chat", &[]).objective, Objective::Throughput, "the first while none come");
        assert_eq!(of(&config, "chat", &[("paths", 1.0), ("rest", 2.0)]).objective, Objective::Cost);
        assert_eq!(of(&config, "chat", &[("paths", 3.0), ("rest", 2.0)]).objective, Objective::Throughput);
    }

    #[test]
    fn adapters_are_asked_for_by_their_own_names() {
        let config = config("  - {name: rest}\n");
        let served = |id: &str| crate::fleet::Served {
            id: id.to_owned(),
            parent: None,
            root: None,
            max_model_len: None,
        };
        let said = Detected { served: vec![served("chat"), served("german")], ..Detected::default() };
        let names = asked_as(&config, &ModelId::new("chat"), Some(&said));
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["chat", "german", "talk"]);
    }
}
