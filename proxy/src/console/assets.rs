//! The page's files. They hold no data, so they need no token: the page asks for it.

use bytes::Bytes;
use http::{HeaderValue, Response, header};

/// Where the page is.
pub const PLACE: &str = "/console/";

/// Where people look for it.
pub const PAGE: &str = "/console";

/// A file of the page by its path; `None` for any other path.
pub fn asset(path: &str) -> Option<Response<Bytes>> {
    let (kind, text) = file(path.strip_prefix(PLACE)?)?;
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // The files belong to this version of the binary.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    );
    Some(response)
}

fn file(name: &str) -> Option<(&'static str, &'static str)> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    Some(match name {
        "" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "style.css" => ("text/css; charset=utf-8", include_str!("page/style.css")),
        "icon.svg" => ("image/svg+xml", include_str!("page/icon.svg")),
        "main.js" => (SCRIPT, include_str!("page/main.js")),
        "dom.js" => (SCRIPT, include_str!("page/dom.js")),
        "patch.js" => (SCRIPT, include_str!("page/patch.js")),
        "keys.js" => (SCRIPT, include_str!("page/keys.js")),
        "stream.js" => (SCRIPT, include_str!("page/stream.js")),
        "fleet.js" => (SCRIPT, include_str!("page/fleet.js")),
        "decisions.js" => (SCRIPT, include_str!("page/decisions.js")),
        "accuracy.js" => (SCRIPT, include_str!("page/accuracy.js")),
        "traffic.js" => (SCRIPT, include_str!("page/traffic.js")),
        "timeline.js" => (SCRIPT, include_str!("page/timeline.js")),
        "bundles.js" => (SCRIPT, include_str!("page/bundles.js")),
        "config.js" => (SCRIPT, include_str!("page/config.js")),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_the_page_names_is_there() {
        let mut names = vec![String::new()];
        let mut seen = 0;
        while let Some(name) = names.get(seen).cloned() {
            seen += 1;
            let (_, text) = file(&name).unwrap_or_else(|| panic!("{name} is missing"));
            let quoted = text.split(['"', '\'']).filter_map(|word| {
                let word = word.strip_prefix("./").unwrap_or(word);
                let is_file = [".js", ".css", ".svg"].iter().any(|end| word.ends_with(end));
                (is_file && !word.contains([' ', '/'])).then(|| word.to_owned())
            });
            for found in quoted {
                if !names.contains(&found) {
                    names.push(found);
                }
            }
        }
        assert_eq!(seen, 15, "{names:?}");
        assert!(asset("/console/nothing.js").is_none() && asset("/fleet").is_none());
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for name in ["", "style.css", "main.js", "dom.js", "stream.js", "fleet.js", "accuracy.js"] {
            let (_, text) = file(name).unwrap();
            assert!(!text.contains("http://") && !text.contains("https://"), "{name}");
        }
    }
}
