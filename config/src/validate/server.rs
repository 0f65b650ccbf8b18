//! Listeners and request cores.

use std::{net::SocketAddr, num::NonZero, thread};

use super::{Check, files::read_text};
use crate::{
    Admin, Listener, Secret, ServerTls,
    raw::{OneOrMany, RawAdmin, RawListener, TextOr},
    yaml::Path,
};

const MAX_WORKERS: u32 = 1024;
const MAX_TOKEN_FILE: u64 = 64 << 10;

pub(super) fn listeners(
    check: &mut Check<'_>,
    at: &Path,
    raw: Option<&OneOrMany<TextOr<RawListener>>>,
) -> Vec<Listener> {
    let default = Listener { address: SocketAddr::from(([127, 0, 0, 1], 8080)), tls: None };
    let Some(raw) = raw else { return vec![default] };
    if raw.items.is_empty() {
        check.wrong(at, "no address is listed", "write, for instance, 127.0.0.1:8080".to_owned());
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for (index, item) in raw.items.iter().enumerate() {
        let at = if raw.listed { at.index(index) } else { at.clone() };
        let Some(listener) = listener(check, &at, item) else { continue };
        if listener.address.port() != 0 && listeners.iter().any(|other| other.address == listener.address) {
            check.wrong(&at, format!("{} is listed twice", listener.address), "keep one".to_owned());
        }
        listeners.push(listener);
    }
    listeners
}

fn listener(check: &mut Check<'_>, at: &Path, raw: &TextOr<RawListener>) -> Option<Listener> {
    match raw {
        TextOr::Text(text) => Some(Listener { address: address(check, at, text)?, tls: None }),
        TextOr::Full(raw) => {
            let tls = raw.tls.as_ref().map(|tls| {
                let at = at.key("tls");
                let mut pem = |key: &str, file: Option<&String>| {
                    let at = at.key(key);
                    let file = check.required(&at, file, &format!("{key}: {key}.pem"));
                    file.map(|file| check.file(&at, file)).unwrap_or_default()
                };
                ServerTls {
                    certificate: pem("certificate", tls.certificate.as_ref()),
                    key: pem("key", tls.key.as_ref()),
                }
            });
            let at = at.key("address");
            let text = check.required(&at, raw.address.as_ref(), "address: 127.0.0.1:8080")?;
            Some(Listener { address: address(check, &at, text)?, tls })
        }
    }
}

fn address(check: &mut Check<'_>, at: &Path, text: &str) -> Option<SocketAddr> {
    const FIX: &str = "write an IP address and a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080";
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            check.wrong(at, format!("{text:?} is not an address to listen on"), FIX.to_owned());
            None
        }
    }
}

pub(super) fn admin(check: &mut Check<'_>, at: &Path, raw: &RawAdmin, listeners: &[Listener]) -> Admin {
    let address_at = at.key("address");
    let text = raw.address.as_deref().unwrap_or("127.0.0.1:9090");
    let address =
        address(check, &address_at, text).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9090)));
    let token = token(check, at, raw);
    let unguarded = raw.token.is_none() && raw.token_file.is_none() && !check.lost_children(at);
    if unguarded && !address.ip().is_loopback() {
        let fix = "add `token: ${GEARSHIFT_ADMIN_TOKEN}` or listen on 127.0.0.1".to_owned();
        check.wrong(
            &address_at,
            format!("{address} can be reached from other machines and asks for no token"),
            fix,
        );
    }
    if address.port() != 0 && listeners.iter().any(|listener| listener.address == address) {
        check.wrong(
            &address_at,
            format!("clients connect to {address} already"),
            "take another port".to_owned(),
        );
    }
    Admin { address, token }
}

fn token(check: &mut Check<'_>, at: &Path, raw: &RawAdmin) -> Option<Secret> {
    secret_of(check, at, ("token", raw.token.as_ref()), ("token_file", raw.token_file.as_ref()))
}

/// A secret that the file states under one key, or another file holds that it names under the other.
pub(super) fn secret_of(
    check: &mut Check<'_>,
    at: &Path,
    (key, stated): (&str, Option<&String>),
    (file_key, file): (&str, Option<&String>),
) -> Option<Secret> {
    let (at, text) = match (stated, file) {
        (Some(_), Some(_)) => {
            let fix = "keep one of the two".to_owned();
            check.wrong_key(&at.key(file_key), format!("stands beside `{key}`"), fix);
            return None;
        }
        (Some(stated), None) => {
            let at = at.key(key);
            let text = check.expand(&at, stated)?;
            (at, text)
        }
        (None, Some(file)) => {
            let at = at.key(file_key);
            let file = check.file(&at, file);
            match read_text(&file, MAX_TOKEN_FILE) {
                Ok(text) => (at, text.trim().to_owned()),
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", file.display());
                    check.wrong(&at, what, format!("name a file that holds the {key} alone"));
                    return None;
                }
            }
        }
        (None, None) => return None,
    };
    secret(check, &at, text)
}

/// A secret that can stand in an `Authorization` header.
pub(super) fn secret(check: &mut Check<'_>, at: &Path, text: String) -> Option<Secret> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        let fix = "write visible ASCII characters without spaces".to_owned();
        check.wrong(at, "cannot be sent as a bearer token", fix);
        return None;
    }
    Some(Secret::new(text))
}

pub(super) fn workers(check: &mut Check<'_>, at: &Path, raw: Option<u32>) -> usize {
    match raw {
        Some(workers) => usize::try_from(check.within(at, workers, 1..=MAX_WORKERS)).unwrap_or(1),
        None => thread::available_parallelism().map_or(1, NonZero::get),
    }
}
