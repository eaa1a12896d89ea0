//! A WebSocket client of a running `cauce serve`.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use super::Server;

/// Longer than anything takes: a server that keeps silent fails its test rather than hang it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that listens; pings are answered while it is read.
pub(crate) struct Live(WebSocket<TcpStream>);

impl Live {
    /// Asks for an upgrade, which has to be granted.
    #[track_caller]
    pub(crate) fn connect(server: &Server, path: &str) -> Self {
        Self::try_connect(server, path).unwrap_or_else(|status| panic!("`{path}` is answered with {status}"))
    }

    /// Asks for an upgrade; the status of a refusal.
    pub(crate) fn try_connect(server: &Server, path: &str) -> Result<Self, u16> {
        let stream = TcpStream::connect(server.authority()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let request = format!("ws://{}{path}", server.authority()).into_client_request().unwrap();
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(refused))) => {
                Err(refused.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The next document.
    #[track_caller]
    pub(crate) fn document(&mut self) -> Value {
        self.next().unwrap_or_else(|end| panic!("{end}"))
    }

    /// The next document, or how the connection ended.
    pub(crate) fn next(&mut self) -> Result<Value, String> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(reason)) => return Err(format!("closed: {reason:?}")),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Listens until the service closes; the code that it gives.
    #[track_caller]
    pub(crate) fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.0.read() {
                Ok(Message::Close(reason)) => {
                    // Says goodbye in turn, and sees the connection end.
                    while self.0.read().is_ok() {}
                    return reason.map(|reason| reason.code.into());
                }
                Ok(_) => {}
                Err(error) => panic!("the connection ended without a close: {error}"),
            }
        }
    }

    /// Sends a ping and waits for its answer.
    pub(crate) fn ping(&mut self, payload: &'static [u8]) {
        self.0.send(Message::Ping(payload.into())).unwrap();
        while self.0.read().unwrap() != Message::Pong(payload.into()) {}
    }

    /// Sends a text.
    pub(crate) fn say(&mut self, text: String) {
        self.0.send(Message::text(text)).unwrap();
    }

    /// Says goodbye, and hears that it was understood.
    pub(crate) fn leave(mut self) {
        self.0.close(None).unwrap();
        while self.0.read().is_ok() {}
    }

    /// What is beneath, for frames that no client sends.
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }
}
