//! Base URLs of backends.

use crate::BackendUrl;

/// Reads `http[s]://host[:port][/prefix]`. The error says what is wrong.
pub(crate) fn parse(text: &str) -> Result<BackendUrl, String> {
    let mut url = parse_whole(text)?;
    url.path = prefix(&url.path);
    Ok(url)
}

/// As [`parse`], with the path as it stands.
pub(crate) fn parse_whole(text: &str) -> Result<BackendUrl, String> {
    let (scheme, rest) = text.split_once("://").ok_or("the URL has no scheme")?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        other => return Err(format!("the scheme {other:?} is not http or https")),
    };
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    if path.contains(['?', '#']) {
        return Err("a base URL has no query and no fragment".to_owned());
    }
    if authority.contains('@') {
        return Err("credentials in the URL are not used; `api_key` holds them".to_owned());
    }
    let (host, port) = split_port(authority)?;
    let default = if tls { 443 } else { 80 };
    if !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the path holds characters that must be percent-encoded".to_owned());
    }
    Ok(BackendUrl { tls, host, port: port.unwrap_or(default), path: path.to_owned() })
}

fn split_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, after) =
            bracketed.split_once(']').ok_or("the bracket before the address is not closed")?;
        let _: std::net::Ipv6Addr = host.parse().map_err(|_| format!("{host:?} is not an IPv6 address"))?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(format!("{after:?} after the address is not a port")),
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(known) {
        return Err(format!("{host:?} is not a host name or address"));
    }
    let port = match port {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Some(number),
            Ok(_) | Err(_) => return Err(format!("{port:?} is not a port from 1 to 65535")),
        },
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// The path without trailing slashes; a trailing `/v1` goes too, because clients' paths bring it.
fn prefix(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    let trimmed = trimmed.strip_suffix("/v1").unwrap_or(trimmed).trim_end_matches('/');
    trimmed.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parts() {
        let url = parse("https://GPU-1.example:8443/team/v1/").unwrap();
        let expected =
            BackendUrl { tls: true, host: "gpu-1.example".to_owned(), port: 8443, path: "/team".to_owned() };
        assert_eq!(url, expected);
        assert_eq!(parse("http://[::1]:8000").unwrap().host, "::1");
        assert_eq!(parse("http://vllm/v1").unwrap(), parse("http://vllm:80").unwrap());
        assert_eq!(parse("https://vllm").unwrap().port, 443);
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["http://[::1]:8000", "https://a.b:8443/team", "http://10.0.0.5:8000"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse("https://a/").unwrap().to_string(), "https://a:443");
    }

    #[test]
    fn refuses_what_it_cannot_use() {
        for text in [
            "",
            "vllm:8000",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:65536",
            "http://a:+1",
            "http://a b",
            "http://u:p@a",
            "http://a?x",
            "http://a/#f",
            "http://[::1",
            "http://[a]:1",
            "http://[::1]x",
            "http://a/ü",
            "http://a:1:2",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
