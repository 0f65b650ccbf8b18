//! The end of a client's connection.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// How long an ended connection may take to go, in all.
const LINGER: Duration = Duration::from_secs(5);
/// A client silent for this long has nothing more to send.
const QUIET: Duration = Duration::from_millis(500);
/// Bytes thrown away at once.
const PIECE: usize = 16 * 1024;

/// Ends a connection so that its last response arrives: closed with bytes unread, the system would reset it, and a
/// client that is still sending a body would not learn why it was refused. Bounded, because the end of TLS waits
/// for clients that do not read.
///
/// # Errors
/// When the connection broke.
pub(super) async fn close<T>(mut stream: T) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let ending = async {
        stream.shutdown().await?;
        let mut piece = vec![0; PIECE];
        while let Ok(read) = timeout(QUIET, stream.read(&mut piece)).await {
            if read? == 0 {
                break;
            }
        }
        Ok(())
    };
    timeout(LINGER, ending).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio::{
        io::{ReadBuf, duplex},
        time::Instant,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_can_finish() {
        let (mut client, server) = duplex(1024);
        let body = vec![b'x'; 100 * PIECE];
        let sending = async move {
            client.write_all(&body).await?;
            client.shutdown().await
        };
        let (sent, closed) = tokio::join!(sending, close(server));
        assert!(sent.is_ok() && closed.is_ok(), "{sent:?} {closed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_not_waited_for() {
        let (_client, server) = duplex(1024);
        let began = Instant::now();
        close(server).await.unwrap();
        assert_eq!(began.elapsed(), QUIET);
    }

    /// TLS to a client that does not read: its end cannot be sent.
    struct Stuck;

    impl AsyncRead for Stuck {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_cannot_be_sent_is_given_up() {
        let began = Instant::now();
        close(Stuck).await.unwrap();
        assert_eq!(began.elapsed(), LINGER);
    }
}
