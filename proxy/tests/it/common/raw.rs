//! Bytes over TCP, for what no HTTP library would send.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::within;

/// A connection for bytes of any kind.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Writes; a proxy that has closed already is no failure here.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("the proxy to read", self.0.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Ends the client's half.
    pub(crate) async fn end(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// All that comes until the proxy closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut got = Vec::new();
        // What came before a reset counts.
        let _ = within("the proxy to close", self.0.read_to_end(&mut got)).await;
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Reads until `text` has come, and gives all of it.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut got = Vec::new();
        let reading = async {
            while !String::from_utf8_lossy(&got).contains(text) {
                let mut piece = [0; 4096];
                match self.0.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(length) => got.extend_from_slice(&piece[..length]),
                }
            }
        };
        within(text, reading).await;
        String::from_utf8_lossy(&got).into_owned()
    }
}

/// Status and body of a raw response; status 0 where there was none.
pub(crate) fn read_answer(raw: &str) -> (u16, &str) {
    let status = raw.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, raw.split_once("\r\n\r\n").map_or("", |(_, body)| body))
}
