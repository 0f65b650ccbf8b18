//! Where load goes.

use std::net::{SocketAddr, ToSocketAddrs};

/// An HTTP/1.1 server, resolved once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    address: SocketAddr,
    authority: String,
    path: String,
}

/// Why a URL cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not an `http` URL with a host.
    #[error("{url:?} is not a URL of the form http://HOST[:PORT][/PATH]")]
    Invalid {
        /// The URL as given.
        url: String,
    },
    /// The host has no address.
    #[error("{authority} has no address: {reason}")]
    Unresolved {
        /// Host and port.
        authority: String,
        /// What the resolver said.
        reason: String,
    },
}

impl Endpoint {
    /// Resolves `http://HOST[:PORT][/PATH]`; blocks while it looks the name up.
    ///
    /// # Errors
    /// Where the URL has another form, or its host has no address.
    pub fn resolve(url: &str) -> Result<Self, EndpointError> {
        let invalid = || EndpointError::Invalid { url: url.to_owned() };
        let uri: hyper::Uri = url.parse().map_err(|_| invalid())?;
        if uri.scheme_str() != Some("http") {
            return Err(invalid());
        }
        let authority = uri.authority().ok_or_else(invalid)?;
        let unresolved =
            |reason: String| EndpointError::Unresolved { authority: authority.to_string(), reason };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let address = (host, authority.port_u16().unwrap_or(80))
            .to_socket_addrs()
            .map_err(|error| unresolved(error.to_string()))?
            .next()
            .ok_or_else(|| unresolved("the name has no records".to_owned()))?;
        Ok(Self {
            address,
            authority: authority.to_string(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The socket address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host and port as in the URL: what goes into `Host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path of `route` under this endpoint; `route` starts with a slash.
    pub fn path_of(&self, route: &str) -> String {
        format!("{}{route}", self.path)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { address, authority: address.to_string(), path: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let endpoint = Endpoint::resolve("http://127.0.0.1:8080/base/").unwrap();
        assert_eq!(endpoint.address(), SocketAddr::from(([127, 0, 0, 1], 8080)));
        assert_eq!(endpoint.authority(), "127.0.0.1:8080");
        assert_eq!(endpoint.path_of("/v1/models"), "/base/v1/models");
        assert_eq!(Endpoint::resolve("http://[::1]").unwrap().address().port(), 80);
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for url in ["", "127.0.0.1:80", "https://127.0.0.1", "ftp://127.0.0.1", "/v1"] {
            assert!(matches!(Endpoint::resolve(url), Err(EndpointError::Invalid { .. })), "{url}");
        }
    }
}
