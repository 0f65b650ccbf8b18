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

/// Headers between Gearshift and its clients: engines are not asked, and speak for themselves under other names.
const OURS: &str = "x-gearshift-";

/// Takes out what does not pass, in either direction.
fn strip(headers: &mut HeaderMap) {
    // Most messages have none, and a look at the names is cheaper than looking each of ours up.
    let ours = |name: &HeaderName| name.as_str().starts_with(OURS);
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name) || ours(name)) {
        return;
    }
    let told: SmallVec<[HeaderName; 1]> = headers.keys().filter(|name| ours(name)).cloned().collect();
    for name in &told {
        headers.remove(name);
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
    strip(headers);
    for name in [header::HOST, header::CONTENT_LENGTH, header::EXPECT, header::TRAILER] {
        headers.remove(name);
    }
    headers.insert(REQUEST_ID, id.0.clone());
}

/// Makes a backend's headers fit to be sent to the client.
pub(super) fn prepare_response(headers: &mut HeaderMap) {
    strip(headers);
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

    #[test]
    fn what_gearshift_and_its_clients_say_to_each_other_is_not_the_engines() {
        let headers = || {
            let all = ["x-gearshift-explain", "x-gearshift-backend", "x-request-id", "x-gear"];
            all.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")))
                .into_iter()
                .collect()
        };
        let left = |headers: HeaderMap| {
            let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
            names.sort_unstable();
            names
        };
        let (mut request, mut response): (HeaderMap, HeaderMap) = (headers(), headers());
        prepare_request(&mut request, &RequestId(HeaderValue::from_static("id")));
        prepare_response(&mut response);
        assert_eq!(request["x-request-id"], "id");
        assert_eq!(left(request), ["x-gear", "x-request-id"]);
        assert_eq!(left(response), ["x-gear", "x-request-id"]);
    }
}
