//! What engines inherit of Gearshift's environment: all of it but secrets.
//!
//! An engine may run its model's own code (`--trust-remote-code`), which has no business with the keys of Gearshift's operators.

use std::{ffi::OsStr, process::Command};

use gearshift_config::ProcessActuator;

/// Keys that Gearshift itself reads: those of its operators' listener, of the store of rows, and of the collector of spans. Addresses
/// of proxies may have a password.
const KEYS: [&str; 22] = [
    "GEARSHIFT_ADMIN_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_TOKEN",
    "AWS_SSE_CUSTOMER_KEY_BASE64",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_PROXY_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_BEARER_TOKEN",
    "GOOGLE_PROXY_URL",
    "SERVICE_ACCOUNT",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_PROXY_URL",
    "IDENTITY_HEADER",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
];
/// All that begin with these, too.
const FAMILIES: [&str; 3] = ["GOOGLE_SERVICE_ACCOUNT", "AZURE_STORAGE_", "AZURE_FABRIC_"];

/// Gives an engine its environment: Gearshift's own without secrets, and what the backend states.
pub(super) fn give(command: &mut Command, settings: &ProcessActuator) {
    for (name, _) in std::env::vars_os() {
        if is_withheld(&name, settings) {
            command.env_remove(name);
        }
    }
    command.envs(settings.env.iter().map(|(name, value)| (name, value.expose())));
}

fn is_withheld(name: &OsStr, settings: &ProcessActuator) -> bool {
    let Some(name) = name.to_str() else { return false };
    // What follows a cloud's own prefix is read in any case.
    let upper = name.to_ascii_uppercase();
    settings.withheld.iter().any(|withheld| withheld == name)
        || KEYS.contains(&upper.as_str())
        || FAMILIES.iter().any(|family| upper.starts_with(family))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use gearshift_config::Actuator;

    use super::*;

    #[test]
    fn an_engine_inherits_all_but_secrets() {
        // Variables that every test process has stand for secrets: cargo's own.
        let text = "admin: {token: '${CARGO_PKG_NAME}'}\nprofiles: {a: {}}\nbackends: [{name: x, url: 'http://127.0.0.1:1', profile: \
                    a, profiles: [a], actuator: {process: {command: [vllm], env: {AWS_SESSION_TOKEN: its-own}}}}]";
        let config = gearshift_config::parse("t", text, Path::new("")).unwrap();
        let Some(Actuator::Process(settings)) = &config.backends[0].actuator else { panic!() };
        let withheld = |name: &str| is_withheld(OsStr::new(name), settings);
        for secret in ["CARGO_PKG_NAME", "GEARSHIFT_ADMIN_TOKEN", "AZURE_STORAGE_SAS_KEY"] {
            assert!(withheld(secret), "{secret}");
        }
        for plain in ["PATH", "HOME", "HF_TOKEN", "CUDA_VISIBLE_DEVICES", "AWS_REGION", "LD_LIBRARY_PATH"] {
            assert!(!withheld(plain), "{plain}");
        }
        // Every name under which `object_store` takes a secret, or the way to one, out of the environment.
        for secret in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_TOKEN",
            "AWS_Token",
            "AWS_SSE_CUSTOMER_KEY_BASE64",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_PROXY_URL",
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_PATH",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_BEARER_TOKEN",
            "GOOGLE_PROXY_URL",
            "SERVICE_ACCOUNT",
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_ACCESS_KEY",
            "AZURE_STORAGE_MASTER_KEY",
            "AZURE_STORAGE_CLIENT_SECRET",
            "AZURE_CLIENT_SECRET",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_TOKEN",
            "AZURE_STORAGE_ENCRYPTION_KEY",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_FABRIC_SESSION_TOKEN",
            "AZURE_PROXY_URL",
            "IDENTITY_HEADER",
        ] {
            assert!(withheld(secret), "{secret}");
        }
        let mut command = Command::new("/bin/sh");
        give(&mut command, settings);
        let output = command
            .args(["-c", "echo \"[$CARGO_PKG_NAME] [$AWS_SESSION_TOKEN] ${PATH:+has a path}\""])
            .output();
        let said = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(said, "[] [its-own] has a path\n", "what the backend states, it gets");
    }
}
