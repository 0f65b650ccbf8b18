//! A running Gearshift, asked about its bundles and told which to use.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, Uri, body::Bytes, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::Error;

/// How long it may take: it loads and tries a bundle before it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where Gearshift listens for operators.
#[derive(Debug, Clone)]
pub struct Admin {
    /// `http://HOST:PORT`.
    pub url: String,
    /// Its token, where it asks for one.
    pub token: Option<String>,
}

/// How a bundle stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It decides.
    Active,
    /// It is tried beside the one that decides.
    Shadow,
    /// It is there, and another one decides.
    Available,
    /// It was refused, or dropped while it decided.
    Refused(String),
    /// It is not there.
    Gone,
    /// Nobody can be asked.
    Unknown,
}

impl Admin {
    /// What `/bundles` says.
    ///
    /// # Errors
    /// Where it cannot be reached, or refuses.
    pub fn bundles(&self) -> Result<Value, Error> {
        self.ask(&Method::GET, "/bundles")
    }

    /// This bundle and no other.
    ///
    /// # Errors
    /// As [`Self::bundles`]; where it cannot be used.
    pub fn activate(&self, bundle: &str) -> Result<(), Error> {
        self.ask(&Method::POST, &format!("/bundles/{bundle}/activate")).map(drop)
    }

    /// The newest, from now on.
    ///
    /// # Errors
    /// As [`Self::bundles`].
    pub fn newest(&self) -> Result<(), Error> {
        self.ask(&Method::POST, "/bundles/newest").map(drop)
    }

    fn ask(&self, method: &Method, path: &str) -> Result<Value, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Failed(error.to_string()))?;
        let asked = async { tokio::time::timeout(PATIENCE, self.exchange(method, path)).await };
        let answer = runtime.block_on(asked).unwrap_or_else(|_| Err("does not answer".to_owned()));
        answer.map_err(|problem| Error::Failed(format!("{}{path}: {problem}", self.url)))
    }

    async fn exchange(&self, method: &Method, path: &str) -> Result<Value, String> {
        let wrong = |error: &dyn std::fmt::Display| error.to_string();
        let base: Uri = self.url.parse().map_err(|error| wrong(&error))?;
        let authority = base.authority().filter(|_| base.scheme_str() == Some("http"));
        let authority = authority.ok_or("write an address such as http://127.0.0.1:9090")?;
        let place = (authority.host(), authority.port_u16().unwrap_or(80));
        let stream = TcpStream::connect(place).await.map_err(|error| wrong(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| wrong(&error))?;
        let mut request =
            Request::builder().method(method).uri(path).header(header::HOST, authority.as_str());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| wrong(&error))?;
        let answered = async move {
            let response = sender.send_request(request).await.map_err(|error| wrong(&error))?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| wrong(&error))?.to_bytes();
            let text = String::from_utf8_lossy(&body).trim().to_owned();
            let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            if status.is_success() {
                return Ok(value);
            }
            Err(value["error"].as_str().map_or_else(|| format!("{status}: {text}"), str::to_owned))
        };
        // The connection carries the exchange, and ends with it: the sender goes.
        tokio::join!(answered, connection).0
    }
}

/// How a bundle stands at all of these together: active where it is at all, refused where it is at one.
pub fn standing(views: &[Value], bundle: &str) -> Standing {
    let all: Vec<Standing> = views.iter().map(|view| stands(view, bundle)).collect();
    if let Some(refused) = all.iter().find(|one| matches!(one, Standing::Refused(_))) {
        return refused.clone();
    }
    let least = [Standing::Gone, Standing::Available, Standing::Shadow, Standing::Active];
    least.into_iter().find(|kind| all.contains(kind)).unwrap_or(Standing::Unknown)
}

fn stands(view: &Value, bundle: &str) -> Standing {
    let named = |part: &str| view[part]["id"].as_str() == Some(bundle);
    if named("active") {
        return Standing::Active;
    }
    if named("shadow") {
        return Standing::Shadow;
    }
    let listed = view["bundles"].as_array().into_iter().flatten();
    match listed.into_iter().find(|one| one["id"].as_str() == Some(bundle)) {
        None => Standing::Gone,
        Some(one) if one["status"] == "refused" => {
            Standing::Refused(one["reason"].as_str().unwrap_or("no reason given").to_owned())
        }
        Some(_) => Standing::Available,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Answers one request each with what is given; gives the requests' first lines and tokens.
    fn answering(
        answers: &'static [(&'static str, &'static str)],
    ) -> (String, std::thread::JoinHandle<Vec<String>>) {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = move || {
            let mut seen = Vec::new();
            for (status, body) in answers {
                let stream = listener.accept().unwrap().0;
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let first = lines.next().unwrap();
                let token =
                    lines.take_while(|line| !line.is_empty()).find(|line| line.starts_with("authorization"));
                seen.push(format!("{first} {}", token.unwrap_or_default()));
                let length = body.len();
                write!(
                    &stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                )
                .unwrap();
            }
            seen
        };
        (url, std::thread::spawn(serve))
    }

    #[test]
    fn gearshift_is_asked_and_told_with_its_token() {
        let (url, served) = answering(&[
            ("200 OK", "{\"active\": {\"id\": \"old\"}}"),
            ("409 Conflict", "{\"error\": \"it was refused\"}"),
            ("200 OK", "{}"),
        ]);
        let admin = Admin { url, token: Some("secret".into()) };
        assert_eq!(admin.bundles().unwrap()["active"]["id"], "old");
        let refused = admin.activate("live-1").unwrap_err().to_string();
        assert!(refused.ends_with("/bundles/live-1/activate: it was refused"), "{refused}");
        admin.newest().unwrap();
        let seen = served.join().unwrap();
        assert_eq!(seen[0], "GET /bundles HTTP/1.1 authorization: Bearer secret");
        assert!(
            seen[1].starts_with("POST /bundles/live-1/activate ")
                && seen[2].starts_with("POST /bundles/newest ")
        );
        let nowhere = Admin { url: "https://127.0.0.1:1".into(), token: None };
        assert!(nowhere.bundles().unwrap_err().to_string().contains("write an address"));
    }

    #[test]
    fn the_least_standing_counts_and_a_refusal_most() {
        let active =
            json!({"active": {"id": "new"}, "shadow": null, "bundles": [{"id": "new", "status": "active"}]});
        let shadow = json!({"active": {"id": "old"}, "shadow": {"id": "new"}, "bundles": [{"id": "new", "status": "available"}]});
        let refused = json!({"active": null, "shadow": null, "bundles": [{"id": "new", "status": "refused", "reason": "NaN"}]});
        let gone = json!({"active": {"id": "old"}, "shadow": null, "bundles": []});
        let of =
            |views: &[&Value]| standing(&views.iter().map(|&view| view.clone()).collect::<Vec<_>>(), "new");
        assert_eq!(of(&[&active, &active]), Standing::Active);
        assert_eq!(of(&[&active, &shadow]), Standing::Shadow);
        assert_eq!(of(&[&active, &refused]), Standing::Refused("NaN".into()));
        assert_eq!(of(&[&gone, &shadow]), Standing::Gone);
        assert_eq!(of(&[]), Standing::Unknown);
    }
}
