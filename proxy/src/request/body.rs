//! Reading a request body: whole, within limits of size, time and memory.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::{
    admission::{Admission, BufferGuard},
    error::{ProxyError, Reason},
};

/// How large and how slow a body may be.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Largest body, bytes.
    pub max_bytes: usize,
    /// Between two pieces.
    pub idle: Duration,
    /// For all of it.
    pub total: Duration,
}

/// A whole body, and its share of the memory that bodies may take together.
#[derive(Debug)]
pub struct Buffered {
    /// The bytes as they came.
    pub bytes: Bytes,
    /// Gives the memory back when dropped.
    pub guard: BufferGuard,
}

/// Reads a body to its end.
pub async fn read<B>(body: B, limits: BodyLimits, admission: &Arc<Admission>) -> Result<Buffered, ProxyError>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut body = pin!(body);
    let announced = body.size_hint().lower();
    if announced > limits.max_bytes as u64 {
        return Err(too_large(limits.max_bytes));
    }
    let mut guard = admission.buffer();
    let deadline = Instant::now() + limits.total;
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    loop {
        let until = deadline.min(Instant::now() + limits.idle);
        let Ok(frame) = timeout_at(until, body.frame()).await else { return Err(too_slow()) };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            ProxyError::new(Reason::BodyIncomplete, format!("the request body broke off: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len() + rest.as_ref().map_or(0, BytesMut::len) + data.len();
        if length > limits.max_bytes {
            return Err(too_large(limits.max_bytes));
        }
        guard.grow_to(length)?;
        match &mut rest {
            // Most bodies come in one piece, which is passed on as it is.
            None if first.is_empty() => first = data,
            None => rest = Some(gather(&first, &data, announced)),
            Some(rest) => rest.extend_from_slice(&data),
        }
        if rest.is_some() {
            first = Bytes::new();
        }
    }
    Ok(Buffered { bytes: rest.map_or(first, BytesMut::freeze), guard })
}

fn gather(first: &[u8], second: &[u8], announced: u64) -> BytesMut {
    let known = usize::try_from(announced).unwrap_or(0);
    let mut all = BytesMut::with_capacity(known.max(first.len() + second.len()));
    all.extend_from_slice(first);
    all.extend_from_slice(second);
    all
}

fn too_large(limit: usize) -> ProxyError {
    ProxyError::new(
        Reason::BodyTooLarge,
        format!("the request body is larger than the limit of {limit} bytes"),
    )
}

fn too_slow() -> ProxyError {
    ProxyError::new(Reason::BodyTimeout, "the request body did not arrive in time")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    const LIMITS: BodyLimits =
        BodyLimits { max_bytes: 10, idle: Duration::from_secs(1), total: Duration::from_secs(3) };

    fn pieces(parts: &'static [&'static str]) -> impl Body<Data = Bytes, Error = Infallible> {
        StreamBody::new(stream::iter(
            parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))),
        ))
    }

    async fn reason(body: impl Body<Data = Bytes, Error = Infallible>) -> Reason {
        read(body, LIMITS, &Admission::new()).await.unwrap_err().reason
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_become_one_body_and_the_limit_holds_without_a_length() {
        let admission = Admission::new();
        let whole = read(pieces(&["abc", "de", "", "f"]), LIMITS, &admission).await.unwrap();
        assert_eq!(whole.bytes, "abcdef");
        assert_eq!(admission.buffered(), 6);
        drop(whole);
        assert_eq!(admission.buffered(), 0);
        assert_eq!(reason(pieces(&["abcdef", "ghijkl"])).await, Reason::BodyTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn an_announced_length_over_the_limit_is_refused_unread() {
        assert_eq!(reason(Full::new(Bytes::from(vec![0; 11]))).await, Reason::BodyTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_sender_times_out() {
        let silent = stream::pending::<Result<Frame<Bytes>, Infallible>>();
        assert_eq!(reason(StreamBody::new(silent)).await, Reason::BodyTimeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_does_not_outlast_the_total() {
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        assert_eq!(reason(StreamBody::new(drip)).await, Reason::BodyTimeout);
    }
}
