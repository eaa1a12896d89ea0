//! The body of an upgraded answer: WebSocket frames, made when actix asks for them, and the client's frames read meanwhile.
//!
//! Actix asks only while less than its buffer waits to be written; what is made then is one document, one ping, the pongs that the client
//! has asked for and a goodbye. What a client says has no meaning: it is thrown away, and whoever says much is sent away (S5). Codes of a
//! close are those of RFC 6455.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser, ProtocolError};
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::Payload;
use actix_web::rt::time::{Instant, Sleep, sleep};
use bytes::{Bytes, BytesMut};
use futures_core::Stream as _;
use tokio::sync::watch::Receiver;

use super::super::connection::{FAREWELL, Facts, Slow};
use super::super::edge::Edge;
use super::Seat;
use crate::kpi::Posted;

/// A client that hears nothing else is asked for a sign of life this often.
const QUIET: Duration = Duration::from_secs(20);

/// The longest message that a client may send, and what a frame has before its payload.
const MESSAGE_MOST: usize = 4 * 1024;
const HEAD_MOST: usize = 14;

/// What a client may send from one of our pings to the next, and what of it is read before others have their turn.
const HEARD_MOST: usize = 4 * MESSAGE_MOST;
const HEARD_AT_ONCE: usize = 64 * 1024;

/// What one client is sent.
pub(super) struct Stream {
    edge: Rc<Edge>,
    facts: Rc<Facts>,
    payload: Payload,
    write: fn(&Posted) -> Bytes,
    turn: Turn,
    /// When the turn is over.
    until: Pin<Box<Sleep>>,
    /// Ready once there is a newer snapshot.
    newer: Newer,
    has_news: bool,
    /// Pings so far: the last one's payload.
    pings: u64,
    /// Bytes that came since then.
    heard: usize,
    /// Of a message that is not complete: the bytes of its frames so far, and what was read of the next frame.
    message: Option<usize>,
    incoming: BytesMut,
    outgoing: BytesMut,
    _seat: Seat,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The client has everything that was sent.
    Ours,
    /// A ping is not answered yet.
    Theirs,
    /// It was told that this is the end. What cannot be understood any more is not listened to.
    Parting {
        is_deaf: bool,
    },
    Over,
}

type Newer = Pin<Box<dyn Future<Output = Receiver<Arc<Posted>>>>>;

impl Stream {
    /// A stream that begins with the newest snapshot.
    pub(super) fn new(
        edge: Rc<Edge>,
        facts: Rc<Facts>,
        payload: Payload,
        seat: Seat,
        write: fn(&Posted) -> Bytes,
    ) -> Self {
        let newer = newer(edge.shared.kpis.subscribe());
        Self {
            edge,
            facts,
            payload,
            write,
            turn: Turn::Ours,
            until: Box::pin(sleep(QUIET)),
            newer,
            has_news: true,
            pings: 0,
            heard: 0,
            message: None,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            _seat: seat,
        }
    }

    fn take_turn(&mut self, turn: Turn, most: Duration) {
        self.turn = turn;
        self.until.as_mut().reset(Instant::now() + most);
    }

    /// Reads what the client has sent.
    fn listen(&mut self, context: &mut Context<'_>) {
        let mut read = 0;
        while self.turn != Turn::Over {
            if read >= HEARD_AT_ONCE {
                return context.waker().wake_by_ref();
            }
            match Pin::new(&mut self.payload).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => {
                    read += bytes.len();
                    self.hear(&bytes);
                }
                Poll::Ready(_) => self.turn = Turn::Over,
                Poll::Pending => return,
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        if self.turn == (Turn::Parting { is_deaf: true }) {
            return;
        }
        self.heard += bytes.len();
        self.incoming.extend_from_slice(bytes);
        let understood = self.understand();
        let is_flood = self.heard > HEARD_MOST && self.turn != Turn::Over;
        if let Err(code) = understood.and(if is_flood { Err(CloseCode::Policy) } else { Ok(()) }) {
            self.part(code, true);
        }
    }

    fn understand(&mut self) -> Result<(), CloseCode> {
        let code = |error| code_of(&error);
        while let Some((is_last, kind, payload)) =
            Parser::parse(&mut self.incoming, true, MESSAGE_MOST).map_err(code)?
        {
            let payload = payload.unwrap_or_default();
            match kind {
                OpCode::Text | OpCode::Binary | OpCode::Continue => {
                    self.message = message_with(self.message, kind, is_last, payload.len())?;
                }
                _ if !is_last => return Err(CloseCode::Protocol),
                // Nothing follows a goodbye.
                OpCode::Ping if self.is_parting() => {}
                OpCode::Ping => self.send(OpCode::Pong, &payload),
                OpCode::Pong if self.turn == Turn::Theirs && *payload == self.pings.to_be_bytes() => {
                    self.take_turn(Turn::Ours, QUIET);
                }
                OpCode::Pong => {}
                OpCode::Close => {
                    let reason = Parser::try_parse_close_payload(&payload).map_err(code)?;
                    if !self.is_parting() {
                        self.close(reason.map_or(CloseCode::Normal, |reason| reason.code));
                    }
                    self.turn = Turn::Over;
                    return Ok(());
                }
                OpCode::Bad => return Err(CloseCode::Protocol),
            }
        }
        // A frame is parsed once it is there whole: one that is too large is not waited for.
        if self.incoming.len() > MESSAGE_MOST + HEAD_MOST { Err(CloseCode::Size) } else { Ok(()) }
    }

    /// Sends the newest snapshot if it is time.
    fn speak(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(posts) = self.newer.as_mut().poll(context) {
            self.newer = newer(posts);
            self.has_news = true;
        }
        if matches!(self.turn, Turn::Ours | Turn::Theirs) && self.edge.shared.is_stopping() {
            self.part(CloseCode::Away, false);
        }
        if self.turn == Turn::Ours && self.has_news {
            let newest = self.edge.shared.kpis.newest();
            self.has_news = false;
            // None before the first second.
            if !newest.json.is_empty() {
                self.send(OpCode::Text, &(self.write)(&newest));
                self.ping();
            }
        }
    }

    /// Does what is due once a turn took too long.
    fn mind_the_time(&mut self, context: &mut Context<'_>) {
        while self.turn != Turn::Over && self.until.as_mut().poll(context).is_ready() {
            match self.turn {
                Turn::Ours => self.ping(),
                Turn::Theirs => {
                    self.edge.metrics.slow(Slow::Write);
                    self.part(CloseCode::Policy, false);
                }
                Turn::Parting { .. } | Turn::Over => self.turn = Turn::Over,
            }
        }
    }

    fn ping(&mut self) {
        self.pings += 1;
        self.heard = 0;
        self.send(OpCode::Ping, &self.pings.to_be_bytes());
        self.take_turn(Turn::Theirs, self.edge.shared.server.write_timeout.get());
    }

    fn part(&mut self, code: CloseCode, is_deaf: bool) {
        if self.is_parting() {
            self.turn = Turn::Parting { is_deaf };
            return;
        }
        self.close(code);
        self.take_turn(Turn::Parting { is_deaf }, FAREWELL);
    }

    fn is_parting(&self) -> bool {
        matches!(self.turn, Turn::Parting { .. })
    }

    fn close(&mut self, code: CloseCode) {
        Parser::write_close(&mut self.outgoing, Some(CloseReason { code, description: None }), false);
    }

    fn send(&mut self, kind: OpCode, payload: &[u8]) {
        Parser::write_message(&mut self.outgoing, payload, kind, true, false);
    }
}

impl MessageBody for Stream {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let stream = self.get_mut();
        stream.listen(context);
        stream.speak(context);
        stream.mind_the_time(context);
        if !stream.outgoing.is_empty() {
            return Poll::Ready(Some(Ok(stream.outgoing.split().freeze())));
        }
        match stream.turn {
            Turn::Over => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.facts.hang_up();
    }
}

/// Waits for the next snapshot, of which there is none any more once the service has ended.
fn newer(mut posts: Receiver<Arc<Posted>>) -> Newer {
    Box::pin(async move {
        match posts.changed().await {
            Ok(()) => posts,
            Err(_) => pending().await,
        }
    })
}

/// The bytes of a message with one more of its frames, unless that was the last.
fn message_with(so_far: Option<usize>, kind: OpCode, is_last: bool, bytes: usize) -> Result<Option<usize>, CloseCode> {
    if so_far.is_some() != (kind == OpCode::Continue) {
        return Err(CloseCode::Protocol);
    }
    match so_far.unwrap_or_default() + bytes {
        bytes if bytes > MESSAGE_MOST => Err(CloseCode::Size),
        bytes => Ok((!is_last).then_some(bytes)),
    }
}

fn code_of(error: &ProtocolError) -> CloseCode {
    match error {
        ProtocolError::Overflow => CloseCode::Size,
        _ => CloseCode::Protocol,
    }
}
