//! `gearshift shift` and `gearshift controller`: ask a running Gearshift's profile controller.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::ask::{Admin, ask, ask_with, items};
use crate::{Output, examples};

/// `gearshift shift`.
#[derive(Debug, Args)]
pub(crate) struct Shift {
    /// The backend's name.
    backend: String,
    /// One of its `profiles`.
    profile: String,
    /// Also where nobody else serves its model meanwhile.
    #[arg(long)]
    force: bool,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    admin: Admin,
}

/// `gearshift controller`.
#[derive(Debug, Args)]
pub(crate) struct Command {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    output: Output,
    #[command(flatten)]
    admin: Admin,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Verb {
    /// Profiles, switches under way, what is planned, what was done: what is shown where no verb stands.
    #[command(after_help = examples::CONTROLLER_STATUS)]
    Status,
    /// No planned switches until told otherwise, also after a restart; those under way are finished.
    #[command(after_help = examples::CONTROLLER_PAUSE)]
    Pause,
    /// Planned switches again.
    #[command(after_help = examples::CONTROLLER_RESUME)]
    Resume,
}

/// Ended switches that are shown.
const SHOWN: usize = 5;

/// Asks for a switch; the text for standard output.
///
/// # Errors
/// Why it cannot be, for standard error.
pub(crate) fn shift(shift: &Shift) -> Result<String, String> {
    let Shift { backend, profile, force, output, admin } = shift;
    let wish = json!({"backend": backend, "profile": profile, "force": force}).to_string();
    let answer = ask_with(admin, Method::POST, "/controller/shift", wish.into())?;
    Ok(match output {
        Output::Json => answer.to_string(),
        Output::Text => format!(
            "{backend} is shifted from {} into {profile}; `gearshift controller` shows how far it is",
            text(&answer["from"])
        ),
    })
}

/// Carries it out; the text for standard output.
///
/// # Errors
/// What went wrong, for standard error.
pub(crate) fn run(command: &Command) -> Result<String, String> {
    let admin = &command.admin;
    let verb = command.verb.unwrap_or(Verb::Status);
    let answer = match verb {
        Verb::Status => ask(admin, Method::GET, "/controller"),
        Verb::Pause => ask(admin, Method::POST, "/controller/pause"),
        Verb::Resume => ask(admin, Method::POST, "/controller/resume"),
    }?;
    Ok(match (command.output, verb) {
        (Output::Json, _) => answer.to_string(),
        (Output::Text, Verb::Status) => status(&answer),
        (Output::Text, Verb::Pause) => {
            "planned switches are paused; `gearshift controller resume` allows them again".to_owned()
        }
        (Output::Text, Verb::Resume) => "planned switches are allowed".to_owned(),
    })
}

/// The answer of `/controller` as lines.
fn status(view: &Value) -> String {
    if let Some(off) = view["off"].as_str() {
        return format!("the controller does nothing: {off}");
    }
    let paused = if view["paused"] == true { ", paused" } else { "" };
    let mut lines = vec![format!("mode: {}{paused}", text(&view["mode"]))];
    for one in items(&view["backends"]) {
        lines.push(format!("{:<24} {}", text(&one["backend"]), text(&one["profile"])));
        let switch = &one["switch"];
        if switch.is_object() {
            let back =
                switch["rolling_back"].as_str().map_or(String::new(), |why| format!(", rolling back: {why}"));
            let (from, to, step) = (text(&switch["from"]), text(&switch["to"]), text(&switch["step"]));
            lines.push(format!("  {from} -> {to}: {step} after {} s{back}", switch["seconds"]));
        }
    }
    for shift in items(&view["plan"]["shifts"]) {
        let (backend, to) = (text(&shift["backend"]), text(&shift["to"]));
        lines.push(format!("planned: {backend} into {to}: {}", text(&shift["reason"])));
    }
    let history = items(&view["history"]);
    for ended in &history[history.len().saturating_sub(SHOWN)..] {
        let (backend, from, to) = (text(&ended["backend"]), text(&ended["from"]), text(&ended["to"]));
        let problem = ended["problem"].as_str().map_or(String::new(), |why| format!(": {why}"));
        let outcome = text(&ended["outcome"]).replace('_', " ");
        lines.push(format!("{outcome}: {backend} {from} -> {to} in {} s{problem}", ended["seconds"]));
    }
    lines.join("\n")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_from_top_to_bottom() {
        let view = json!({
            "mode": "act", "off": null, "paused": true,
            "backends": [{"backend": "left", "profile": "plain", "switch": {
                "from": "plain", "to": "caching", "step": "starting", "seconds": 7, "rolling_back": null,
            }}],
            "plan": {"shifts": [{"backend": "right", "to": "caching", "reason": "long prompts"}]},
            "history": [{"backend": "left", "from": "a", "to": "b", "outcome": "rolled_back", "seconds": 90,
                "problem": "the engine ended"}],
        });
        let expected = "mode: act, paused\n\
                        left                     plain\n  plain -> caching: starting after 7 s\n\
                        planned: right into caching: long prompts\n\
                        rolled back: left a -> b in 90 s: the engine ended";
        assert_eq!(status(&view), expected);
        assert_eq!(status(&json!({"off": "because"})), "the controller does nothing: because");
    }
}
