use super::*;

fn chosen(names: &[&str]) -> Arc<Engines> {
    let engines = Arc::new(Engines::default());
    choose(&engines, names);
    engines
}

fn choose(engines: &Engines, names: &[&str]) {
    let families: Vec<_> = EngineFamily::ALL.iter().filter(|family| names.contains(&family.name)).collect();
    assert_eq!(families.len(), names.len());
    engines.choose(&families);
}

fn group(profile: &str) -> Group {
    Group { model: "m".into(), profile: profile.into() }
}

fn page(running: u32, tokens: u32) -> String {
    format!(
        "vllm:num_requests_running{{engine=\"0\",model_name=\"x\"}} {running}.0\n\
         vllm:num_requests_running{{engine=\"1\",model_name=\"x\"}} 1.0\n\
         vllm:generation_tokens_total{{engine=\"0\",model_name=\"x\"}} {tokens}.0\n\
         vllm:generation_tokens_created{{engine=\"0\",model_name=\"x\"}} 1.7e9\n\
         vllm:prompt_tokens_total{{engine=\"0\",model_name=\"x\"}} 9\n"
    )
}

fn written(engines: &Engines) -> Vec<String> {
    let mut page = String::new();
    engines.write(&mut page);
    let sample = |line: &&str| !line.starts_with('#') && !line.starts_with(LEFT_OUT);
    page.lines().filter(sample).map(str::to_owned).collect()
}

fn left_out(engines: &Engines) -> u64 {
    engines.sums().left_out
}

/// The numbers alone.
fn numbers(engines: &Engines) -> Vec<f64> {
    written(engines).iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

const TOKENS: &str = "vllm:generation_tokens_total";
const TTFT: &str = "vllm:time_to_first_token_seconds";

/// Of a rank: what is below 1, 10 and all, and their sum.
fn ttft(rank: u8, below: [u32; 3], sum: f64) -> String {
    let [one, ten, all] = below;
    format!(
        "{TTFT}_bucket{{engine=\"{rank}\",le=\"+Inf\"}} {all}\n{TTFT}_bucket{{engine=\"{rank}\",le=\"10.0\"}} {ten}\n\
         {TTFT}_bucket{{engine=\"{rank}\",le=\"1\"}} {one}\n\
         {TTFT}_count{{engine=\"{rank}\"}} {all}\n{TTFT}_sum{{engine=\"{rank}\"}} {sum}\n"
    )
}

#[test]
fn engines_are_summed_up_and_counters_never_fall() {
    let engines = chosen(&["vllm:num_requests_running", TOKENS]);
    let (mut a, mut b) = (Seen::new(engines.clone()), Seen::new(engines.clone()));
    let series = |running: f64, tokens: f64| {
        [
            format!("vllm:num_requests_running{{model_name=\"m\",profile=\"fast\"}} {running}"),
            format!("vllm:generation_tokens_total{{model_name=\"m\",profile=\"fast\"}} {tokens}"),
        ]
    };
    a.page(&page(2, 1000), group("fast"));
    assert_eq!(written(&engines), series(3.0, 0.0), "what was before is not counted");
    a.page(&page(2, 1010), group("fast"));
    b.page(&page(0, 5000), group("fast"));
    b.page(&page(0, 5005), group("fast"));
    assert_eq!(written(&engines), series(4.0, 15.0));
    a.page(&page(0, 7), group("fast"));
    assert_eq!(written(&engines), series(2.0, 22.0), "it began anew");
    b.gone();
    b.gone();
    assert_eq!(written(&engines), series(1.0, 22.0));
    b.page(&page(4, 5006), group("fast"));
    assert_eq!(written(&engines), series(6.0, 23.0));
    drop(a);
    assert_eq!(written(&engines), series(5.0, 23.0), "it left, and what it counted stays");
    engines.choose(&[]);
    b.page(&page(4, 5006), group("fast"));
    assert_eq!(written(&engines), [""; 0]);
}

#[test]
fn histograms_and_the_label_that_a_family_has() {
    let engines = chosen(&["vllm:request_success_total", TTFT]);
    let mut seen = Seen::new(engines.clone());
    let text = include_str!("../fixtures/engine.txt");
    seen.page(text, group("p"));
    seen.page(&text.replace("16.0", "18.0").replace(" 3.0", " 5.0"), group("p"));
    let lines = written(&engines);
    let stop = "vllm:request_success_total{model_name=\"m\",profile=\"p\",finished_reason=\"length\"} 2";
    assert!(lines.iter().any(|line| line == stop), "{lines:#?}");
    let bucket = "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",profile=\"p\",le=\"+Inf\"} 2";
    assert!(lines.iter().any(|line| line == bucket), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("engine=")));
}

#[test]
fn a_histogram_stays_cumulative_over_a_restart_and_in_order() {
    let engines = chosen(&[TTFT]);
    let mut seen = Seen::new(engines.clone());
    seen.page(&ttft(0, [0, 0, 10], 1000.0), group("p"));
    // Began anew: by now it has as many below 1 as it ever had, so that bucket alone says nothing of it.
    seen.page(&ttft(0, [4, 5, 6], 20.0), group("p"));
    let expected =
        ["1", "10", "+Inf"].map(|bound| format!("_bucket{{model_name=\"m\",profile=\"p\",le=\"{bound}\"}}"));
    let lines = written(&engines);
    assert!(lines.iter().zip(&expected).all(|(line, bucket)| line.contains(bucket)), "{lines:#?}");
    assert_eq!(numbers(&engines), [4.0, 5.0, 6.0, 20.0, 6.0]);
}

#[test]
fn a_rank_that_begins_anew_counts_no_other_ranks_work_again() {
    let engines = chosen(&[TOKENS]);
    let mut seen = Seen::new(engines.clone());
    let page = |zero, one| format!("{TOKENS}{{engine=\"0\"}} {zero}\n{TOKENS}{{engine=\"1\"}} {one}\n");
    seen.page(&page(1000, 500), group("p"));
    seen.page(&page(1010, 3), group("p"));
    assert_eq!(numbers(&engines), [13.0]);
    // A rank that is not there for once has not begun anew, and one that comes later has a first page, too.
    seen.page(&format!("{TOKENS}{{engine=\"0\"}} 1011\n"), group("p"));
    seen.page(&page(1011, 4), group("p"));
    seen.page(&format!("{}{TOKENS}{{engine=\"2\"}} 70\n", page(1011, 4)), group("p"));
    assert_eq!(numbers(&engines), [15.0]);
}

#[test]
fn a_family_that_stays_chosen_goes_on() {
    let engines = chosen(&[TOKENS]);
    let mut seen = Seen::new(engines.clone());
    seen.page(&page(0, 100), group("p"));
    seen.page(&page(0, 105), group("p"));
    choose(&engines, &[TOKENS, "vllm:prompt_tokens_total"]);
    assert_eq!(numbers(&engines), [5.0]);
    seen.page(&page(0, 106), group("p"));
    // In the table's order.
    assert_eq!(numbers(&engines), [0.0, 6.0], "the one that is new begins with the page it is first seen on");
}

#[test]
fn what_an_engine_makes_up_is_bounded_and_counted() {
    let engines = chosen(&["vllm:num_requests_running", "vllm:request_success_total"]);
    let (mut seen, mut other) = (Seen::new(engines.clone()), Seen::new(engines.clone()));
    let made_up: String = (0..100)
        .map(|number| format!("vllm:request_success_total{{finished_reason=\"r{number}\"}} 1\n"))
        .collect();
    seen.page(&made_up, group("p"));
    assert_eq!((written(&engines).len(), left_out(&engines)), (64, 36));
    // One at a time comes to no more.
    for number in 100..110 {
        seen.page(&format!("vllm:request_success_total{{finished_reason=\"r{number}\"}} 1\n"), group("p"));
    }
    assert_eq!((written(&engines).len(), left_out(&engines)), (64, 46));
    let honest = "vllm:request_success_total{finished_reason=\"stop\"} 1\n";
    other.page(honest, group("p"));
    assert_eq!(written(&engines).len(), 65, "there is room for the next engine's");
    drop(seen);
    drop(other);
    assert_eq!(written(&engines), [""; 0], "nobody is in this profile");
}

#[test]
fn values_are_numbers_of_requests_or_tokens() {
    let engines = chosen(&["vllm:num_requests_running"]);
    let (mut seen, mut other) = (Seen::new(engines.clone()), Seen::new(engines.clone()));
    let running = |value: &str| format!("vllm:num_requests_running {value}\n");
    for (value, taken) in [("1e308", 1e15), ("-5", 0.0), ("+Inf", 1e15), ("3", 3.0)] {
        seen.page(&running(value), group("p"));
        other.page(&running(value), group("p"));
        assert_eq!(numbers(&engines), [2.0 * taken], "{value}");
    }
    assert_eq!(left_out(&engines), 6);
    seen.page(&running("NaN"), group("p"));
    assert_eq!((numbers(&engines), left_out(&engines)), (vec![3.0], 7));
}

#[test]
fn profiles_are_summed_up_apart_and_forgotten_with_their_last_engine() {
    let engines = chosen(&[TOKENS]);
    let (mut a, mut b) = (Seen::new(engines.clone()), Seen::new(engines.clone()));
    for tokens in [100, 101] {
        a.page(&page(0, tokens), group("fast"));
        b.page(&page(0, 2 * tokens), group("slow"));
    }
    assert_eq!(numbers(&engines), [1.0, 2.0]);
    b.page(&page(0, 205), group("fast"));
    assert_eq!(numbers(&engines), [4.0]);
}
