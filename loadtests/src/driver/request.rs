//! Requests as bytes, made once and sent many times.

use super::Endpoint;

/// A chat completion as the official Python SDK sends it.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// The model asked for.
    pub model: String,
    /// Length of the whole JSON body, bytes; never shorter than the fields need.
    pub body_bytes: usize,
    /// Whether the answer is asked for as a stream.
    pub stream: bool,
}

/// Prompt text, repeated to the length wanted. It holds nothing that JSON escapes.
const TEXT: &[u8] = b"A gearbox trades speed for torque; the right gear depends on the road. ";

impl ChatRequest {
    /// Head and body as they go to `endpoint`.
    pub fn to_bytes(&self, endpoint: &Endpoint) -> Vec<u8> {
        post(endpoint, "/v1/chat/completions", &self.body())
    }

    fn body(&self) -> Vec<u8> {
        let model = serde_json::Value::from(self.model.as_str());
        let before = format!(
            r#"{{"model":{model},"messages":[{{"role":"system","content":"You are a careful assistant."}},{{"role":"user","content":""#
        );
        let after = format!(r#""}}],"max_tokens":256,"temperature":0.7,"stream":{}}}"#, self.stream);
        let room = self.body_bytes.saturating_sub(before.len() + after.len()).max(1);
        let mut body = before.into_bytes();
        body.extend(TEXT.iter().cycle().take(room));
        body.extend_from_slice(after.as_bytes());
        body
    }
}

/// A request with a JSON body, head as the official Python SDK sends it.
pub fn post(endpoint: &Endpoint, route: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         User-Agent: OpenAI/Python 2.8.0\r\nX-Stainless-Lang: python\r\nX-Stainless-Async: false\r\n\
         X-Stainless-Retry-Count: 0\r\nContent-Length: {}\r\n\r\n",
        endpoint.path_of(route),
        endpoint.authority(),
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A request without a body.
pub fn bodiless(method: &str, endpoint: &Endpoint, path: &str) -> Vec<u8> {
    let path = endpoint.path_of(path);
    format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", endpoint.authority())
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn the_body_is_json_of_the_length_asked_for() {
        let endpoint = Endpoint::from(SocketAddr::from(([127, 0, 0, 1], 80)));
        for body_bytes in [1_000, 32_000, 400_000] {
            let request = ChatRequest { model: "tiny".into(), body_bytes, stream: true };
            let wire = request.to_bytes(&endpoint);
            let end_of_head = memchr::memmem::find(&wire, b"\r\n\r\n").unwrap() + 4;
            let body = &wire[end_of_head..];
            assert_eq!(body.len(), body_bytes);
            let json: serde_json::Value = serde_json::from_slice(body).unwrap();
            assert_eq!(json["model"], "tiny");
            assert_eq!(json["stream"], true);
        }
    }
}
