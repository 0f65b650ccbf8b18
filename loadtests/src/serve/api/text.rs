//! Names and tokens: what is served, and how text is counted.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, failed, reply};
use crate::serve::{
    body::{GenerateBody, Prompt},
    errors::Failure,
    format::Protocol,
    host::Host,
    prompt, tokens,
};

/// The list of models: one.
pub(super) fn models(host: &Host) -> Value {
    let (name, created) = (&host.spec.model_name, crate::serve::since_1970().as_secs());
    let permission = json!({
        "id": format!("modelperm-{:016x}", host.options.seed), "object": "model_permission", "created": created,
        "allow_create_engine": false, "allow_sampling": true, "allow_logprobs": true,
        "allow_search_indices": false, "allow_view": true, "allow_fine_tuning": false, "organization": "*",
        "group": null, "is_blocking": false,
    });
    let model = json!({
        "id": name, "object": "model", "created": created, "owned_by": "vllm", "root": name, "parent": null,
        "max_model_len": host.limits().context, "permission": [permission],
    });
    json!({"object": "list", "data": [model]})
}

/// The tokens of a prompt, or of a conversation under the chat template.
pub(super) fn tokenize(host: &Host, body: &[u8]) -> Answer {
    #[derive(Deserialize)]
    struct Options {
        #[serde(default)]
        return_token_strs: bool,
    }
    let parsed = (|| Ok((serde_json::from_slice(body)?, serde_json::from_slice::<Options>(body)?)))();
    let (prompt, options): (GenerateBody<'_>, _) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return failed(host, Protocol::Chat, &Failure::body(&error)),
    };
    let text = match &prompt.prompt {
        // Not filled up: what is counted is the text alone.
        Some(Prompt::Text(text)) => text.as_bytes().to_vec(),
        _ if prompt.prompt.is_none() && prompt.messages.is_none() => {
            return failed(host, Protocol::Chat, &Failure::missing("prompt"));
        }
        _ => match prompt::prompts(&prompt) {
            Ok(prompts) => prompts.concat(),
            Err(failure) => return failed(host, Protocol::Chat, &failure),
        },
    };
    let strings = options.return_token_strs.then(|| tokens::pieces(&text).collect::<Vec<_>>());
    let answer = json!({
        "count": tokens::count(text.len()),
        "max_model_len": host.limits().context,
        "tokens": tokens::ids(&text),
        "token_strs": strings,
    });
    reply::ok(host, &answer)
}

/// The text of tokens.
pub(super) fn detokenize(host: &Host, body: &[u8]) -> Answer {
    #[derive(Deserialize)]
    struct Body {
        tokens: Vec<u32>,
    }
    match serde_json::from_slice::<Body>(body) {
        Ok(Body { tokens }) => {
            let text = tokens::text(&tokens);
            reply::ok(host, &json!({"prompt": String::from_utf8_lossy(&text)}))
        }
        Err(error) => failed(host, Protocol::Chat, &Failure::body(&error)),
    }
}

/// Anthropic's question how many tokens a conversation has.
pub(super) fn count_tokens(host: &Host, body: &[u8]) -> Answer {
    let prompts = serde_json::from_slice(body)
        .map_err(|error| Failure::body(&error))
        .and_then(|body: GenerateBody<'_>| prompt::prompts(&body));
    match prompts {
        Ok(prompts) => {
            let tokens: u32 = prompts.iter().map(|prompt| tokens::count(prompt.len())).sum();
            let answer =
                json!({"input_tokens": tokens, "context_management": {"original_input_tokens": tokens}});
            reply::json(host, StatusCode::OK, &answer)
        }
        Err(failure) => failed(host, Protocol::Messages, &failure),
    }
}
