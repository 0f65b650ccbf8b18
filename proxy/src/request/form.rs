//! The `model` field of a `multipart/form-data` body.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;

use crate::error::{ProxyError, Reason};

/// The model named in a form, and where its bytes stand.
#[derive(Debug, PartialEq, Eq)]
pub struct FormModel {
    /// The name.
    pub name: String,
    /// Its bytes in the body, where they can be told for certain.
    pub span: Option<Range<usize>>,
}

/// Finds the `model` field. The body stays as it is.
pub async fn model(content_type: &str, body: &Bytes) -> Result<Option<FormModel>, ProxyError> {
    let bad = |error: multer::Error| {
        ProxyError::new(Reason::BadRequest, format!("the form could not be read: {error}"))
    };
    let boundary = multer::parse_boundary(content_type).map_err(bad)?;
    let whole = http_body_util::BodyDataStream::new(http_body_util::Full::new(body.clone()));
    let mut form = multer::Multipart::new(whole, boundary);
    let mut found: Option<FormModel> = None;
    while let Some(field) = form.next_field().await.map_err(bad)? {
        if field.name() != Some("model") {
            continue;
        }
        if found.is_some() {
            return Err(ProxyError::new(Reason::BadRequest, "`model` is given twice").param("model"));
        }
        let name = field.text().await.map_err(bad)?;
        let span = locate(body, &name);
        found = Some(FormModel { name, span });
    }
    Ok(found)
}

/// Where the value stands. None where it cannot be told for certain: an upload may hold the same bytes.
fn locate(body: &[u8], value: &str) -> Option<Range<usize>> {
    const MARK: &[u8] = b"name=\"model\"";
    let head = memmem::find(body, MARK).filter(|at| memmem::rfind(body, MARK) == Some(*at))?;
    let start = head + memmem::find(&body[head..], b"\r\n\r\n")? + 4;
    let rest = body[start..].strip_prefix(value.as_bytes())?;
    rest.starts_with(b"\r\n--").then(|| start..start + value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=X";

    fn form(parts: &[(&str, &str)]) -> Bytes {
        let mut body = String::new();
        for (head, value) in parts {
            body += &format!("--X\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
        }
        (body + "--X--\r\n").into()
    }

    #[tokio::test]
    async fn the_model_is_found_among_the_parts() {
        let body = form(&[("name=\"file\"; filename=\"a.wav\"", "whisper"), ("name=\"model\"", "whisper")]);
        let found = model(TYPE, &body).await.unwrap().unwrap();
        assert_eq!(found.name, "whisper");
        let span = found.span.unwrap();
        assert_eq!(&body[span.clone()], b"whisper");
        assert!(span.start > 100, "the model's part, not the upload's");
    }

    #[tokio::test]
    async fn an_upload_that_looks_like_a_part_makes_the_place_uncertain() {
        let trap = ("name=\"file\"; filename=\"a\"", "name=\"model\"\r\n\r\nm");
        let found = model(TYPE, &form(&[trap, ("name=\"model\"", "m")])).await.unwrap().unwrap();
        assert_eq!(found, FormModel { name: "m".into(), span: None });
    }

    #[tokio::test]
    async fn a_form_without_model_or_with_two_or_cut_short() {
        assert_eq!(model(TYPE, &form(&[("name=\"x\"", "1")])).await.unwrap(), None);
        let twice = form(&[("name=\"model\"", "a"), ("name=\"model\"", "b")]);
        assert_eq!(model(TYPE, &twice).await.unwrap_err().reason, Reason::BadRequest);
        let whole = form(&[("name=\"model\"", "a")]);
        assert!(model(TYPE, &whole.slice(..whole.len() - 12)).await.is_err());
        assert!(model("multipart/form-data", &whole).await.is_err());
    }
}
