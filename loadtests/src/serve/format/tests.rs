use super::*;

fn heading(options: StreamOptions) -> Heading {
    Heading {
        id: "7".into(),
        model: "a \"quoted\" name".into(),
        created: 1,
        options,
        choices: 1,
        prompt_tokens: 9,
        max_tokens: 3,
    }
}

/// The events of a stream of three tokens, parsed.
fn events(protocol: Protocol, options: StreamOptions, finish: &Finish) -> Vec<Value> {
    let (mut stream, mut out) = (protocol.stream(heading(options)), String::new());
    stream.begin(&mut out);
    for token in 0..3 {
        let finish = (token == 2).then_some(finish);
        stream.piece(&Piece { choice: 0, text: " abc", finish, tokens: token + 1 }, &mut out);
    }
    stream.end(Usage { prompt: 9, completion: 3, cached: Some(4) }, &mut out);
    assert!(out.ends_with("\n\n"));
    let data = out.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn usage_comes_where_it_is_asked_for() {
    for protocol in [Protocol::Chat, Protocol::Completion] {
        let none = events(protocol, StreamOptions::default(), &Finish::Length);
        assert!(none.iter().all(|event| event.get("usage").is_none()));
        assert_eq!(none.last().unwrap()["choices"][0]["finish_reason"], "length");
        let last = StreamOptions { include_usage: true, continuous_usage_stats: false };
        let events_with = events(protocol, last, &Finish::Length);
        assert_eq!(events_with.len(), none.len() + 1);
        let usage = &events_with.last().unwrap()["usage"];
        assert_eq!(
            (&usage["total_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]),
            (&12.into(), &4.into())
        );
        let always = StreamOptions { include_usage: true, continuous_usage_stats: true };
        assert!(events(protocol, always, &Finish::Length).iter().all(|event| event.get("usage").is_some()));
    }
}

#[test]
fn every_protocol_says_why_an_answer_ended() {
    let stop = Finish::Stop(Some("\"x\"".into()));
    let ends = |protocol, finish: &Finish| {
        let events = events(protocol, StreamOptions::default(), finish);
        events.iter().rev().find_map(|event| {
            let places = ["/choices/0/finish_reason", "/delta/stop_reason", "/response/status"];
            places.iter().find_map(|place| event.pointer(place)?.as_str().map(str::to_owned))
        })
    };
    for (protocol, length, stopped) in [
        (Protocol::Chat, "length", "stop"),
        (Protocol::Completion, "length", "stop"),
        (Protocol::Responses, "incomplete", "completed"),
        (Protocol::Messages, "max_tokens", "stop_sequence"),
    ] {
        assert_eq!(ends(protocol, &Finish::Length).as_deref(), Some(length), "{protocol:?}");
        assert_eq!(ends(protocol, &stop).as_deref(), Some(stopped), "{protocol:?}");
    }
}
