//! What is known of a connection, over a stream in memory.

use tokio::io::{DuplexStream, duplex};

use std::task::Waker;

use super::facts::BYTES_A_SECOND;
use super::*;

const PATIENCE: Patience = Patience {
    head: Duration::from_secs(5),
    body: Duration::from_secs(4),
    write: Duration::from_secs(3),
    keep_alive: Duration::from_secs(75),
};

struct Test {
    connection: Connection<DuplexStream>,
    client: DuplexStream,
    opened: Instant,
}

fn open() -> Test {
    let (client, stream) = duplex(64);
    let opened = Instant::now();
    Test { connection: Connection::new(stream, &Connections::new(PATIENCE, Arc::default()), opened), client, opened }
}

fn write<T: AsyncWrite + Unpin>(to: &mut T, bytes: &[u8]) -> Poll<io::Result<usize>> {
    Pin::new(to).poll_write(&mut Context::from_waker(Waker::noop()), bytes)
}

/// What one read gives: `None` while there is nothing.
fn read<T: AsyncRead + Unpin>(from: &mut T) -> Option<io::Result<Vec<u8>>> {
    let mut bytes = [0; 64];
    let mut buffer = ReadBuf::new(&mut bytes);
    match Pin::new(from).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
        Poll::Ready(read) => Some(read.map(|()| buffer.filled().to_vec())),
        Poll::Pending => None,
    }
}

impl Test {
    fn receive(&mut self, bytes: &[u8]) {
        assert!(write(&mut self.client, bytes).is_ready());
        assert_eq!(read(&mut self.connection).unwrap().unwrap(), bytes);
    }

    fn facts(&self) -> Rc<Facts> {
        self.connection.facts().clone()
    }

    /// What is said of it, so many seconds from now.
    fn due_after(&self, seconds: f64) -> End {
        self.facts().due(Instant::now() + Duration::from_secs_f64(seconds), &PATIENCE)
    }

    /// Looks over all connections, so many seconds from now; who was slow.
    fn look_over_after(&self, seconds: f64) -> Vec<Slow> {
        let slow = RefCell::new(Vec::new());
        let now = Instant::now() + Duration::from_secs_f64(seconds);
        self.connection.connections.look_over(now, |kind| slow.borrow_mut().push(kind));
        slow.into_inner()
    }
}

#[test]
fn a_request_starts_with_its_first_byte_and_one_behind_another_with_the_last_that_was_read() {
    let mut test = open();
    test.receive(b"GE");
    let first = Instant::now();
    test.receive(b"T");
    let started = test.facts().taken();
    assert!(started >= test.opened && started <= first);
    // A body does not start the next request.
    test.receive(b"body");
    test.facts().answered(Instant::now(), false);
    let between = Instant::now();
    test.receive(b"GET");
    assert!(test.facts().taken() >= between);
    test.facts().answered(Instant::now(), false);
    // Nothing was read since: it came with the one before.
    assert!(test.facts().taken() >= between);
}

#[test]
fn every_wait_for_a_client_has_its_own_bound_and_trickling_does_not_move_it() {
    let mut test = open();
    let overdue = |kind| End::Overdue(kind);
    assert_eq!((test.due_after(4.0), test.due_after(5.1)), (End::No, overdue(Slow::Head)), "no byte at all");
    test.receive(b"G");
    test.receive(b"E");
    assert_eq!((test.due_after(4.0), test.due_after(5.1)), (End::No, overdue(Slow::Head)), "half a head");
    test.facts().taken();
    assert_eq!(test.due_after(1000.0), End::No, "the handler bounds what it does");
    test.facts().discards_body(Instant::now());
    assert_eq!((test.due_after(3.0), test.due_after(4.1)), (End::No, overdue(Slow::Body)), "a body that nobody wants");
    test.facts().answered(Instant::now(), true);
    assert_eq!((test.due_after(4.0), test.due_after(5.1)), (End::No, overdue(Slow::Body)), "a chunked body goes on");
    test.facts().taken();
    test.facts().body_was_read();
    test.facts().answered(Instant::now(), true);
    assert_eq!((test.due_after(74.0), test.due_after(75.1)), (End::No, End::Idle), "between two requests");
    test.receive(b"G");
    assert_eq!((test.due_after(4.0), test.due_after(5.1)), (End::No, overdue(Slow::Head)), "half a second head");
}

#[test]
fn an_answer_that_is_not_read_has_a_bound_that_reading_a_little_does_not_move() {
    let mut test = open();
    assert!(write(&mut test.connection, &[0; 64]).is_ready());
    assert_eq!(test.due_after(1000.0), End::Overdue(Slow::Head), "nothing is left unread yet");
    assert!(write(&mut test.connection, &[0; 64]).is_pending());
    assert_eq!((test.due_after(2.0), test.due_after(3.1)), (End::No, End::Overdue(Slow::Write)));
    read(&mut test.client).unwrap().unwrap();
    assert!(write(&mut test.connection, &[0; 64]).is_ready());
    assert_eq!(test.due_after(3.1), End::Overdue(Slow::Write), "64 bytes buy no second");
    test.facts().written.set(3 * BYTES_A_SECOND);
    assert_eq!((test.due_after(5.9), test.due_after(6.1)), (End::No, End::Overdue(Slow::Write)));
    assert!(Pin::new(&mut test.connection).poll_flush(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_ne!(test.due_after(3.1), End::Overdue(Slow::Write));
}

#[test]
fn who_is_overdue_is_told_so_and_let_go() {
    let mut test = open();
    test.receive(b"G");
    assert_eq!(test.look_over_after(4.0), []);
    assert_eq!(test.look_over_after(5.1), [Slow::Head]);
    assert_eq!(test.look_over_after(6.0), [], "it is counted once");
    assert_eq!(read(&mut test.connection).unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(read(&mut test.client).unwrap().unwrap().starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn a_stop_ends_what_is_idle_and_not_what_is_under_way() {
    let (mut idle, mut busy) = (open(), open());
    busy.receive(b"GET");
    for test in [&idle, &busy] {
        test.connection.connections.close_idle();
    }
    assert_eq!(read(&mut idle.connection).unwrap().unwrap(), b"", "the end of the stream");
    assert!(read(&mut busy.connection).is_none());
    busy.facts().taken();
    assert!(read(&mut busy.connection).is_none());
    busy.facts().answered(Instant::now(), false);
    assert_eq!(read(&mut busy.connection).unwrap().unwrap(), b"");
}

#[test]
fn a_request_that_came_before_the_end_is_still_read() {
    let mut test = open();
    test.facts().taken();
    test.facts().answered(Instant::now(), false);
    assert_eq!(test.look_over_after(76.0), []);
    test.receive(b"GET");
    test.facts().taken();
    test.facts().answered(Instant::now(), false);
    assert!(read(&mut test.connection).is_none(), "and the wait for the next one begins anew");
}

#[test]
fn a_paused_connection_is_not_read_until_its_time() {
    let mut test = open();
    let (connections, now) = (test.connection.connections.clone(), Instant::now());
    connections.pause(&test.facts(), now + Duration::from_millis(50));
    assert!(write(&mut test.client, b"GET").is_ready());
    connections.resume(Some(now + Duration::from_millis(49)));
    assert!(read(&mut test.connection).is_none() && connections.has_paused());
    connections.resume(Some(now + Duration::from_millis(50)));
    assert_eq!(read(&mut test.connection).unwrap().unwrap(), b"GET");
    assert!(!connections.has_paused());
}

#[test]
fn closed_connections_leave_their_place_to_others() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let open = || Connection::new(duplex(1).1, &connections, Instant::now());
    let mut all: Vec<_> = (0..5).map(|_| open()).collect();
    for at in [1, 0, 2, 0, 0] {
        drop(all.remove(at));
        assert_eq!((connections.len(), connections.all.load(Ordering::Relaxed)), (all.len(), all.len()));
    }
}

#[test]
fn live_stream_is_idle_by_nature_and_only_timed_for_what_is_not_read() {
    let mut test = open();
    let facts = test.facts();
    test.receive(b"GET");
    facts.taken();
    facts.goes_live();
    facts.answered(Instant::now(), false);
    test.receive(b"ping");
    assert_eq!(test.due_after(1000.0), End::No, "neither a head nor the next request is waited for");
    test.connection.connections.close_idle();
    assert!(read(&mut test.connection).is_none(), "it says goodbye itself");
    while write(&mut test.connection, &[0; 64]).is_ready() {}
    assert_eq!(test.due_after(2.0), End::No);
    assert_eq!(test.due_after(4.0), End::Overdue(Slow::Write));
    test.connection.connections.part();
    assert_eq!(test.look_over_after(1.5), [Slow::Write], "less is waited for once the service stops");
}

#[test]
fn live_stream_that_is_over_is_closed_whether_its_last_word_is_read_or_not() {
    for is_read in [true, false] {
        let mut test = open();
        test.facts().goes_live();
        if !is_read {
            while write(&mut test.connection, &[0; 64]).is_ready() {}
        }
        test.facts().hang_up();
        assert_eq!(test.due_after(0.0), if is_read { End::Idle } else { End::Overdue(Slow::Write) });
        assert_eq!(read(&mut test.connection).unwrap().unwrap(), b"", "nothing more is read");
    }
}
