//! Which route takes a request.

use gearshift_config::RouteMatch;
use http::HeaderMap;

use super::RouteEntry;

/// The first route that matches. The last one matches everything.
pub(super) fn first(routes: &[RouteEntry], model: &str, path: &str, headers: &HeaderMap) -> usize {
    let found = routes.iter().position(|entry| matches(&entry.route.matches, model, path, headers));
    found.unwrap_or(routes.len().saturating_sub(1))
}

fn matches(rule: &RouteMatch, model: &str, path: &str, headers: &HeaderMap) -> bool {
    let any_of = |wanted: &[String], given: &str| wanted.is_empty() || wanted.iter().any(|one| one == given);
    any_of(&rule.models, model)
        && any_of(&rule.paths, path)
        && rule
            .headers
            .iter()
            .all(|(name, value)| headers.get_all(name).iter().any(|given| given == value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_rules_match_all_and_every_kind_must_agree() {
        let headers: HeaderMap = [("x-tier".parse().unwrap(), "gold".parse().unwrap())].into_iter().collect();
        let rule = |models: &[&str], paths: &[&str], wanted: &[(&str, &str)]| RouteMatch {
            models: models.iter().map(ToString::to_string).collect(),
            paths: paths.iter().map(ToString::to_string).collect(),
            headers: wanted.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        };
        let hit = |rule: RouteMatch| matches(&rule, "m", "/v1/completions", &headers);
        assert!(hit(rule(&[], &[], &[])));
        assert!(hit(rule(&["x", "m"], &["/v1/completions"], &[("x-tier", "gold")])));
        assert!(!hit(rule(&["x"], &[], &[])));
        assert!(!hit(rule(&[], &["/v1/embeddings"], &[])));
        assert!(!hit(rule(&[], &[], &[("x-tier", "lead")])));
        assert!(!hit(rule(&[], &[], &[("x-tier", "gold"), ("x-org", "a")])));
    }
}
