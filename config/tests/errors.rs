//! What is wrong is found all at once, each with its line, its path and what would be right.

mod common;

use std::path::Path;

use common::{ONE, lines, only, read};
use gearshift_config::{load, parse_with};

#[test]
fn two_mistakes_in_one_backend_and_one_elsewhere_come_together() {
    let text = "\
profiles:
  fast: {max_num_seqs: 64}
backends:
  - url: http://a
    modle: x
    profile: fats
workers: many
";
    assert_eq!(
        lines(text),
        [
            "g.yaml:5:5: backends[0].modle: there is no key \"modle\" here; did you mean \"model\"?",
            "g.yaml:6:14: backends[0].profile: no profile is called \"fats\"; did you mean \"fast\"?",
            "g.yaml:7:10: workers: expected a whole number from 0 to 4294967295, found the text \"many\"",
        ]
    );
}

#[test]
fn every_kind_of_mistake_in_one_file() {
    let text = "\
listen: 127.0.0.1
admin: {address: 0.0.0.0:9090}
backends:
  - {url: http://a, hardware: h100sxm, price_usd_per_hour: 0}
  - {url: http://a/v1}
  - {url: http://b, name: x, api_key: '${UNSET}'}
  - {url: ftp://c, name: x}
  - just text
  - {hardware: {kind: l4, count: two}, profile: wide}
  - {url: http://d, hardware: l4, profile: wide}
profiles:
  wide: {tensor_parallel: 4, gpu_memory_utilization: 90, kv_cache_dtype: fp9}
  wide: {}
routes:
  - {objective: speed, name: all, slo: {ttft: 5}}
  - {name: late}
limits: {max_body: 3 TiB, max_headers: 0}
timeouts: {connect: 0s}
retries: {budget: 1.5}
";
    let expected = [
        "1:9: listen: \"127.0.0.1\" is not an address",
        "2:18: admin.address: 0.0.0.0:9090 can be reached",
        "4:31: backends[0].hardware: no hardware is called \"h100sxm\"; did you mean \"h100_sxm\"?",
        "4:60: backends[0].price_usd_per_hour: 0 is not a price",
        "5:11: backends[1].url: http://a:80 is a backend already, on line 4",
        "6:39: backends[2].api_key: the environment variable UNSET is not set",
        "7:11: backends[3].url: the scheme \"ftp\"",
        "7:26: backends[3].name: \"x\" is the name of a backend already, on line 6",
        "8:5: backends[4]: expected keys with values, found the text \"just text\"",
        "9:5: backends[5].url: is missing; write, for instance, `url: http://127.0.0.1:8000`",
        "9:34: backends[5].hardware.count: expected a whole number",
        "10:44: backends[6].profile: profile wide spreads the model over 4 accelerators, and this backend has 1",
        "12:54: profiles.wide.gpu_memory_utilization: 90 is out of range",
        "12:74: profiles.wide.kv_cache_dtype: \"fp9\" is not known here; did you mean \"fp8\"?",
        "13:3: profiles.wide: the key stands here a second time (first on line 12)",
        "15:17: routes[0].objective: \"speed\" is not known here; known are latency, cost, energy, throughput",
        "15:47: routes[0].slo.ttft: \"5\" has no unit; write a number and a unit, such as 500ms",
        "16:5: routes[1]: is never reached: route \"all\" takes every request before it",
        "17:20: limits.max_body: \"TiB\" is not a unit of size",
        "17:40: limits.max_headers: 0 is out of range",
        "18:21: timeouts.connect: must be longer than nothing",
        "19:19: retries.budget: 1.5 is out of range; write a value at least 0 and at most 1",
    ];
    let found = lines(text);
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(&format!("g.yaml:{expected}")), "{found}\n  is not\n{expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

/// What could not be read is not complained about a second time by what refers to it.
#[test]
fn nothing_follows_from_what_was_reported() {
    assert!(
        only("backends: [{url: 'http://a', profile: p}]\nprofiles: {p: 5}")
            .contains("profiles.p: expected keys")
    );
    assert!(
        only("backends: [{url: 'http://a', model: m}]\nmodels: {m: [1]}").contains("models.m: expected keys")
    );
    assert!(only("backends: [{url: 'http://a', hardware: h}]\nhardware: {h: text}").contains("hardware.h"));
    assert!(only(&format!("{ONE}hardware: {{h: {{like: h10_sxm}}}}")).contains("did you mean \"h100_sxm\""));
    assert!(only("backends: 7").contains("backends: expected a list, found 7"));
    assert!(only(&format!("{ONE}admin: {{address: '0.0.0.0:1', token: [x]}}")).contains("admin.token"));
    assert!(
        only(&format!("{ONE}routes: [{{name: a, match: {{models: {{}}}}}}, {{name: b}}]"))
            .contains("match.models")
    );
    let two = "backends: [{url: 'http://a', hardware: {kind: l4, count: x}, profile: p}]\nprofiles: {p: {tensor_parallel: 2}}";
    assert!(only(two).contains("hardware.count"));
}

#[test]
fn yaml_that_cannot_be_read_says_where() {
    assert!(only("").starts_with("g.yaml:1:1: the file is empty; it needs at least `backends:`"));
    assert!(only("# nothing\n").contains("the file is empty"));
    assert!(only("backends:\n\t- url: http://a").starts_with("g.yaml:2:"));
    assert!(only("backends:\n\t- url: http://a").contains("indent with spaces"));
    assert!(only("backends: [\n").contains("this is not YAML"));
    assert!(only("a: b: c").contains("quote a value that contains `: `"));
    assert!(only("backends: *x").contains("unknown anchor"));
    assert!(only("a: &x [*x]").contains("inside its own anchor"));
    assert!(only("<<: {a: 1}").contains("merge keys"));
    assert!(only("? [a]\n: b").contains("a key must be text"));
    assert!(only(": b").contains("a key is missing"));
    assert!(only("a: !include x").contains("has no meaning here"));
    assert!(only("a: 1\n---\nb: 2").starts_with("g.yaml:2:1: a second document"));
    assert!(only("- a").starts_with("g.yaml:1:1: expected keys with values, found a list"));
    assert!(only("just text").contains("found the text \"just text\""));
    assert!(only(&format!("a: {}", "[".repeat(40))).contains("nested deeper"));
    assert!(only(&"- ".repeat(40)).contains("nested deeper"));
}

#[test]
fn aliases_are_understood_and_bounded() {
    let text = "\
backends:
  - &first {url: http://a, hardware: &hw {kind: l4, count: 2}}
  - {url: http://b, hardware: *hw}
";
    assert_eq!(read(text).unwrap().backends[1].hardware.as_ref().unwrap().count, 2);

    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for i in 1..20 {
        let last = format!("*a{}, ", i - 1).repeat(10);
        laughs.push_str(&format!("a{i}: &a{i} [{last}]\n"));
    }
    assert!(only(&laughs).contains("the aliases expand to too much"));

    let long = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a, ".repeat(10_000));
    assert!(only(&long).contains("the aliases expand to too much"));
}

#[test]
fn other_encodings_and_line_ends() {
    assert_eq!(read(&format!("\u{feff}{ONE}")).unwrap().backends.len(), 1);
    assert_eq!(read("backends:\r\n  - url: http://a\r\n").unwrap().backends.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.yaml");
    std::fs::write(&file, b"backends:\n  - url: \xff\n").unwrap();
    assert!(load(&file).unwrap_err().to_string().ends_with("cannot be read: line 2 is not UTF-8"));
    assert!(load(folder.path()).unwrap_err().to_string().contains("not a plain file"));
    assert!(
        load(folder.path().join("none.yaml")).unwrap_err().to_string().contains("none.yaml: cannot be read")
    );
    std::fs::write(&file, vec![b' '; (4 << 20) + 1]).unwrap();
    assert!(load(&file).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn a_thousand_mistakes_end_the_list_and_not_the_process() {
    let text: String = (0..1000).map(|i| format!("k{i}: 1\n")).collect();
    assert_eq!(read(&text).unwrap_err().problems.len(), 100);
    assert_eq!(read(&"k: 1\n".repeat(1000)).unwrap_err().problems.len(), 101);
}

#[test]
fn secrets_and_urls_read_the_environment() {
    let config =
        read("backends: [{url: 'http://${SET}:1', api_key: 'k-${SET}'}]\nadmin: {token: '${SET}'}").unwrap();
    assert_eq!(config.backends[0].url.to_string(), "http://s3cret:1");
    assert_eq!(config.backends[0].api_key.as_ref().unwrap().expose(), "k-s3cret");
    assert!(!config.redacted()["admin"].to_string().contains("s3cret"));
    assert!(only("backends: [{url: 'http://${SET'}]").contains("`${` is not closed"));
    assert!(only("backends: [{url: 'http://${}'}]").contains("is not the name of an environment variable"));
    assert!(
        only(&format!("{ONE}admin: {{token: 'two words'}}")).contains("cannot be sent as a bearer token")
    );
}

#[test]
fn a_token_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "from-file\n").unwrap();
    let text = format!("{ONE}admin: {{address: '0.0.0.0:9090', token_file: token}}");
    let config = parse_with("g.yaml", &text, folder.path(), &|_| None).unwrap();
    assert_eq!(config.admin.token.unwrap().expose(), "from-file");
    assert!(
        only(&format!("{ONE}admin: {{token_file: no/such/file}}")).contains("no/such/file cannot be read")
    );
    assert!(only(&format!("{ONE}admin: {{token: a, token_file: b}}")).contains("stands beside `token`"));
}

#[test]
fn models_are_told_apart() {
    let models = |models: &str| only(&format!("{ONE}models: {{{models}}}"));
    assert!(models("a: {aliases: [b]}, b: {}").contains("\"b\" is a model of its own"));
    assert!(models("a: {aliases: [x]}, b: {aliases: [x]}").contains("is an alias already"));
    assert!(models("a: {catalog: qwen3-9b}").contains("did you mean \"qwen3-8b\""));
    assert!(models("a: {catalog: qwen3-8b, config_json: x}").contains("stands beside `catalog`"));
    assert!(models("a: {config_json: /dev/zero}").contains("not a plain file"));
    assert!(models("a: {aliases: ['two words']}").contains("not usable as a name"));
    assert!(models("detect: {}").contains("the engine is asked"));
    let model = |model: &str| {
        only(&format!("backends: [{{url: 'http://a', model: {model}}}]\nmodels: {{m: {{aliases: [x]}}}}"))
    };
    assert!(model("x").contains("\"x\" is an alias; name the model itself: m"));
    assert!(model("unheard-of").contains("declare it under `models`"));
}

#[test]
fn model_numbers_are_checked() {
    let text = format!(
        "{ONE}models: {{a: {{numbers: {{parameters_b: 1, active_parameters_b: 2, layers: 0, heads: 4, context: 10}}}}}}"
    );
    let found = lines(&text);
    let expected =
        ["active_parameters_b: 2 is out of range", "numbers.hidden: is missing", "layers: 0 is out of range"];
    for expected in expected {
        assert!(found.iter().any(|line| line.contains(expected)), "{expected} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn knobs_must_agree_with_each_other() {
    let profile = |knobs: &str| only(&format!("{ONE}profiles: {{p: {{{knobs}}}}}"));
    let unchunked = "chunked_prefill: false, max_num_batched_tokens: 2048, max_model_len: 8192";
    assert!(profile(unchunked).contains("write at least 8192"));
    assert!(profile("max_num_batched_tokens: 8, max_num_seqs: 9").contains("cannot hold 9 sequences"));
    assert!(profile("speculative: {method: ngram}").contains("num_speculative_tokens: is missing"));
    assert!(
        profile("speculative: {method: draft_model, num_speculative_tokens: 2}")
            .contains("name the draft model")
    );
    let backend = |hardware: &str, knobs: &str| {
        read(&format!(
            "backends: [{{url: 'http://a', hardware: {hardware}, profile: p}}]\nprofiles: {{p: {{{knobs}}}}}"
        ))
    };
    assert!(backend("{kind: l4, count: 8}", "tensor_parallel: 4, pipeline_parallel: 2").is_ok());
    assert!(
        backend("{kind: l4, count: 8}", "data_parallel: 2").is_ok(),
        "tensor parallelism takes what is left"
    );
    assert!(backend("{kind: l4, count: 8}", "data_parallel: 3").is_err());
    assert!(backend("{kind: l4, count: 8}", "tensor_parallel: 4").is_err());
}

#[test]
fn what_is_lossless_is_derived_unless_stated() {
    let lossless =
        |knobs: &str| read(&format!("{ONE}profiles: {{p: {{{knobs}}}}}")).unwrap().profiles[0].lossless;
    assert!(lossless("max_num_seqs: 8, quantization: none, kv_cache_dtype: auto"));
    assert!(!lossless("quantization: int4"));
    assert!(!lossless("kv_cache_dtype: fp8"));
    assert!(
        lossless("quantization: fp8, lossless: true"),
        "a checkpoint published in FP8 is not changed by it"
    );
    assert!(!lossless("lossless: false"));
}

#[test]
fn routes_end_in_one_that_takes_everything() {
    let names = |routes: &str| {
        let config = read(&format!("{ONE}routes: {routes}")).unwrap();
        config.routes.iter().map(|route| route.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("[]"), ["default"]);
    assert_eq!(names("[{name: a, match: {paths: /x}}]"), ["a", "default"]);
    assert_eq!(names("[{name: a, match: {paths: /x}}, {name: b}]"), ["a", "b"]);
    let route = |route: &str| only(&format!("{ONE}routes: [{{name: r, {route}}}]"));
    assert!(route("match: {paths: v1}").contains("is not the path of a request"));
    assert!(route("match: {headers: {'a b': c}}").contains("is not the name of a header"));
    assert!(route("slo: {ttft: 2s, e2e: 1s}").contains("due before its first token"));
    assert!(
        only(&format!("{ONE}routes: [{{name: default, match: {{paths: /x}}}}]"))
            .contains("takes what no other does")
    );
    assert!(only(&format!("{ONE}routes: [{{match: {{paths: /x}}}}]")).contains("routes[0].name: is missing"));
}

/// As long as an engine is still to be asked for its models, a route may name any.
#[test]
fn routes_name_models_that_are_served() {
    let config = |model: &str, route: &str| {
        read(&format!(
            "backends: [{{url: 'http://a', model: {model}}}]\nmodels: {{m: {{aliases: [x]}}}}\n\
             routes: [{{name: r, match: {{models: {route}}}}}]"
        ))
    };
    assert!(config("detect", "[anything]").is_ok());
    assert!(config("m", "[m, x]").is_ok());
    assert!(config("m", "y").unwrap_err().to_string().contains("no backend serves a model called \"y\""));
}

#[test]
fn names_are_derived_from_urls() {
    let config =
        read("backends: [{url: 'http://a:1'}, {url: 'http://a:1/b'}, {url: 'http://[::1]'}]").unwrap();
    let names: Vec<String> = config.backends.iter().map(|backend| backend.id.to_string()).collect();
    assert_eq!(names, ["a:1", "a:1/b", "[::1]:80"]);
    assert!(
        only("backends: [{url: 'http://a:1'}, {url: 'https://a:1'}]").contains("give it a name of its own")
    );
}

#[test]
fn tools_get_the_problems_as_json() {
    let json = read("backends:\n  - {}\n").unwrap_err().to_json();
    let problem = &json["problems"][0];
    assert_eq!(problem["file"], "g.yaml");
    assert_eq!(problem["line"], 2);
    assert_eq!(problem["column"], 5);
    assert_eq!(problem["path"], "backends[0].url");
    assert_eq!(problem["what"], "is missing");
    assert!(problem["fix"].as_str().unwrap().contains("http://127.0.0.1:8000"));
}

#[test]
fn rows_go_to_a_store_that_can_be() {
    let said = |section: &str| only(&format!("{ONE}observations: {{{section}}}"));
    assert!(said("url: 'ftp://x/y'").contains("ftp:// is no kind of store"));
    assert!(said("url: '${NOT_THERE}/rows'").contains("NOT_THERE is not set"));
    assert!(said("sample: 1.5").contains("at most 1"));
    assert!(said("explore: 0.9").contains("at most 0.5"));
    assert!(said("flush_rows: 100, max_pending: 10").contains("at least 100"));
    assert!(said("half_life: 10ms").contains("no time to look back on"));
    let of = |section: &str| {
        let text = format!("{ONE}observations: {{{section}}}");
        parse_with("g.yaml", &text, Path::new("/etc/gearshift"), &|_| None).unwrap().observations
    };
    let kept = of("url: rows, flush_rows: 50000");
    assert_eq!(kept.url.as_deref(), Some("/etc/gearshift/rows"), "beside the file");
    assert_eq!((kept.explore, kept.max_pending), (0.01, 50_000));
    assert_eq!(of("url: 's3://b/p'").url.as_deref(), Some("s3://b/p"));
    assert_eq!((of("sample: 0.5").url, of("sample: 0.5").explore), (None, 0.0), "nobody would learn from it");
}
