//! Which headers pass, in either direction.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

use super::admit::RequestId;

/// The request's id, in either direction.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers that speak of one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none, and a look at the names is cheaper than looking each of ours up.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    let listed: SmallVec<[HeaderValue; 1]> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    let names = listed.iter().flat_map(|value| value.to_str().unwrap_or("").split(',')).map(str::trim);
    for name in names.filter(|name| !name.is_empty()) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Makes a client's headers fit to be sent upstream.
pub(super) fn prepare_request(headers: &mut HeaderMap, id: &RequestId) {
    strip_hop_by_hop(headers);
    for name in [header::HOST, header::CONTENT_LENGTH, header::EXPECT, header::TRAILER] {
        headers.remove(name);
    }
    headers.insert(REQUEST_ID, id.0.clone());
}

/// Makes a backend's headers fit to be sent to the client.
pub(super) fn prepare_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_connection_stays_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Private"),
            ("connection", ",x-other , close"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("host", "a"),
            ("expect", "100-continue"),
            ("content-length", "3"),
            ("authorization", "Bearer k"),
            ("traceparent", "00-1"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        prepare_request(&mut headers, &RequestId(HeaderValue::from_static("id")));
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "traceparent", "x-request-id"]);
    }
}
