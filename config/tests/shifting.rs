//! What is wrong with the profile controller's settings and with actuators is found all at once.

mod common;

use common::{ONE, lines, only, read};

const SHIFTING: &str = "\
profiles: {a: {}, b: {}}
backends:
  - {url: 'http://x:1', profile: a, profiles: [a, b], actuator: ACTUATOR}
";

fn shifting(actuator: &str) -> String {
    SHIFTING.replace("ACTUATOR", actuator)
}

#[test]
fn an_actuator_is_one_of_three_and_whole() {
    assert!(read(&shifting("{process: {command: [vllm, serve, m]}}")).is_ok());
    assert!(read(&shifting("{sleep: {siblings: {b: 'http://x:2'}}}")).is_ok());
    assert!(read(&shifting("{webhook: {url: 'https://ops/x/v1', secret: '${SET}'}}")).is_ok());
    for (actuator, expected) in [
        ("{}", "actuator: a backend has one actuator; write one of `process`, `sleep` and `webhook`"),
        ("{process: {}}", "actuator.process.command: is missing"),
        ("{process: {command: [vllm, '--port=1']}}", "process.command[1]: --port is stated twice"),
        ("{process: {command: [vllm], env: {A: '${UNSET}'}}}", "env.A: the environment variable UNSET"),
        ("{process: {command: [vllm], on_exit: die}}", "known are keep, stop"),
        ("{sleep: {}}", "sleep.siblings: profile b has no engine"),
        ("{sleep: {siblings: {b: 'http://x:1'}}}", "siblings.b: http://x:1 is another profile's engine"),
        ("{webhook: {url: 'http://ops'}}", "actuator.webhook: has no `secret`"),
        ("{webhook: {url: 'http://ops', secret: x, secret_file: y}}", "secret_file: stands beside `secret`"),
    ] {
        let problem = only(&shifting(actuator));
        assert!(problem.contains(expected), "{problem}\n  is not\n{expected}");
    }
    let siblings =
        lines(&shifting("{sleep: {siblings: {a: 'http://x:2', c: 'http://x:2', b: 'http://x:3'}}}"));
    assert!(siblings[0].contains("siblings.a: is the backend's own profile"), "{siblings:#?}");
    assert!(siblings[1].contains("\"c\" is not among the backend's `profiles`"), "{siblings:#?}");
}

#[test]
fn no_two_engines_have_one_probe() {
    let backends = |one: &str, other: &str| {
        let backend = |port: u16, probe: &str| {
            format!(
                "  - {{url: 'http://x:{port}', profile: a, profiles: [a], actuator: {{process: {{command: [vllm]{probe}}}}}}}\n"
            )
        };
        format!("profiles: {{a: {{}}}}\nbackends:\n{}{}", backend(1, one), backend(2, other))
    };
    let (smi, rocm) = (", memory_probe: [nvidia-smi]", ", memory_probe: [rocm-smi]");
    for (one, other) in [("", ""), (smi, rocm), (smi, ""), (", memory_probe: []", ", memory_probe: []")] {
        assert!(read(&backends(one, other)).is_ok(), "{one} {other}");
    }
    let problem = only(&backends(smi, smi));
    assert!(
        problem.contains(
            "backends[1].actuator.process.memory_probe: is the probe of another backend too, on line 3"
        ),
        "{problem}"
    );
}

/// Of two engines with one file, the one would be taken over as the other's, and ended for it.
#[test]
fn no_two_engines_are_known_by_one_file() {
    let backends = |one: (&str, &str), other: (&str, &str)| {
        let backend = |port: u16, (name, log): (&str, &str)| {
            format!(
                "  - {{name: {name}, url: 'http://x:{port}', profile: a, profiles: [a], actuator: {{process: {{command: [vllm]{log}}}}}}}\n"
            )
        };
        format!("profiles: {{a: {{}}}}\nbackends:\n{}{}", backend(1, one), backend(2, other))
    };
    let log = ", log: logs/x.log";
    assert!(read(&backends(("one", ""), ("other", log))).is_ok());
    for (one, other) in [
        (("one", log), ("other", log)),
        (("one", log), ("other", ", log: ./logs/x.txt")),
        (("gpu/0", ""), ("gpu-0", "")),
        (("one", ", log: engine-logs/other.log"), ("other", "")),
    ] {
        let problem = only(&backends(one, other));
        let named = format!("and that of {}, on line 3", one.0);
        assert!(
            problem.contains("backends[1].actuator.process.log: ") && problem.contains(&named),
            "{problem}"
        );
    }
}

#[test]
fn variables_that_the_file_reads_are_kept_from_engines_but_their_own() {
    let around = |name: &str| Some(format!("value-of-{name}"));
    let backend = |port: u16, keys: &str, env: &str| {
        format!(
            "  - {{url: 'http://x:{port}', {keys}profile: a, profiles: [a], actuator: {{process: {{command: [vllm], env: {{{env}}}}}}}}}\n"
        )
    };
    let text = format!(
        "admin: {{token: '${{ADMIN}}'}}\nprofiles: {{a: {{}}}}\nbackends:\n{}{}",
        backend(1, "api_key: '${VLLM_API_KEY}', ", "HF_HOME: '${HOME}/hf'"),
        backend(2, "", "HF_TOKEN: '${TOKEN}'"),
    );
    let config = gearshift_config::parse_with("g.yaml", &text, std::path::Path::new(""), &around).unwrap();
    let withheld = |index: usize| match &config.backends[index].actuator {
        Some(gearshift_config::Actuator::Process(process)) => process.withheld.join(" "),
        _ => panic!(),
    };
    // vLLM takes the key that it asks clients for from its environment: without it, it would ask for none.
    assert_eq!(withheld(0), "ADMIN TOKEN");
    assert_eq!(withheld(1), "ADMIN VLLM_API_KEY", "every engine has a home");
}

#[test]
fn what_may_be_a_key_is_not_shown() {
    let shown = |text: &str| read(text).unwrap().redacted().to_string();
    let text =
        shown(&shifting("{webhook: {url: 'https://hooks.example:8443/services/T0/s3cret', secret: x}}"));
    assert!(text.contains("https://hooks.example:8443/(redacted)") && !text.contains("s3cret"), "{text}");
    let command = "[vllm, serve, --api-key, s3cret, '--hf-token=s3cret', --max-num-seqs, '8']";
    let text = shown(&shifting(&format!("{{process: {{command: {command}, env: {{KEY: s3cret}}}}}}")));
    assert!(text.contains("--max-num-seqs") && text.contains("--hf-token=(redacted)"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    assert!(text.contains("\"show_last_words\":false"), "{text}");
    let text = shown(&format!("{ONE}observations: {{url: 's3://me:s3cret@rows/a/b?sig=s3cret'}}\n"));
    assert!(text.contains("s3://(redacted)@rows/a/b?(redacted)"), "{text}");
}

#[test]
fn profiles_to_shift_into_hold_the_own_one() {
    let backend = |keys: &str| {
        format!("profiles: {{a: {{}}, b: {{tensor_parallel: 2}}}}\nbackends: [{{url: 'http://x', {keys}}}]\n")
    };
    let process = "actuator: {process: {command: [vllm]}}";
    assert!(read(&backend("profile: a, profiles: [a, b]")).is_ok());
    for (keys, expected) in [
        ("profile: a, profiles: [b]".to_owned(), "own profile a is not among them; add a"),
        ("profile: a, profiles: [a, a]".to_owned(), "profiles[1]: \"a\" is listed twice"),
        ("profile: a, profiles: [a, c]".to_owned(), "profiles[1]: no profile is called \"c\""),
        ("profiles: [a]".to_owned(), "does not have its profile detected"),
        (format!("profile: a, {process}"), "nothing to do without `profiles`"),
        ("hardware: l4, profile: a, profiles: [a, b]".to_owned(), "profile b spreads the model over 2"),
    ] {
        let problem = only(&backend(&keys));
        assert!(problem.contains(expected), "{problem}\n  is not\n{expected}");
    }
    let tls =
        "backends: [{url: 'https://x', profile: a, profiles: [a], actuator: {process: {command: [v]}}}]";
    assert!(only(&format!("{tls}\nprofiles: {{a: {{}}}}")).contains("reached in clear text"));
}

#[test]
fn the_controllers_settings_have_ranges() {
    let found = lines(&format!(
        "{ONE}controller: {{mode: now, every: 0s, min_gain: -1, max_unavailable: 0, warm_up_requests: 101}}"
    ));
    for (found, expected) in found.iter().zip(["mode", "every", "min_gain", "max_unavailable", "warm_up"]) {
        assert!(found.contains(&format!("controller.{expected}")), "{found}");
    }
    assert_eq!(found.len(), 5, "{found:#?}");
}
