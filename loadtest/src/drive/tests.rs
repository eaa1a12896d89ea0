//! Runs against a small server that answers as a case wants it. The machine may be busy: times are bounded generously.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::outcome::NotDriven;
use crate::schedule::{Pace, Phase};
use crate::traffic::{Prepared, Verdict, write_request};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// Answers each request, by its number from 0 on, on the connection that it came on; with `false` the connection is closed.
fn serve(answer: impl Fn(u64, &mut TcpStream) -> bool + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let (answer, count) = (Arc::new(answer), Arc::new(AtomicU64::new(0)));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                stream.set_nodelay(true).unwrap();
                while read_request(&mut reader) && answer(count.fetch_add(1, Ordering::Relaxed), &mut stream) {}
                let _ = stream.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    target
}

fn read_request(reader: &mut impl BufRead) -> bool {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if !matches!(reader.read_line(&mut line), Ok(1..)) {
            return false;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            return reader.read_exact(&mut vec![0; length]).is_ok();
        }
    }
}

fn say(stream: &mut TcpStream, text: &str) -> bool {
    stream.write_all(text.as_bytes()).is_ok()
}

fn requests(body: &[u8]) -> Prepared {
    let mut request = Vec::new();
    write_request("POST", "/", "x", "application/json", body, &mut request);
    Prepared { kind: "score".to_owned(), requests: vec![request] }
}

fn steady(rate: f64, millis: u64) -> Schedule {
    Schedule { phases: vec![Phase::steady(rate, Duration::from_millis(millis))], pace: Pace::Constant, seed: 1 }
}

/// A run whose settings are changed from those of most cases.
fn run(target: SocketAddr, schedule: &Schedule, change: impl FnOnce(&mut Drive<'_>)) -> Outcome {
    let traffic = requests(b"{}");
    let mut drive = Drive { connections: 8, patience: Duration::from_secs(5), ..Drive::to(target, &traffic, schedule) };
    change(&mut drive);
    drive.run().unwrap()
}

fn lost(outcome: &Outcome) -> [u64; 5] {
    [outcome.unsent, outcome.dropped, outcome.unanswered, outcome.unreadable, outcome.skipped]
}

fn good(outcome: &Outcome) -> u64 {
    outcome.good().from_due.count()
}

#[test]
fn everything_due_is_sent_and_answered_whatever_the_number_of_threads() {
    let target = serve(|_, stream| say(stream, OK));
    for threads in [1, 2, 3] {
        let outcome = run(target, &steady(500.0, 1000), |drive| drive.threads = threads);
        assert_eq!((outcome.due, outcome.sent, good(&outcome), lost(&outcome)), (500, 500, 500, [0; 5]), "{threads}");
        assert_eq!((outcome.error_rate(), outcome.closed), (0.0, 0));
        assert_eq!(outcome.seconds.iter().map(|second| (second.due, second.good)).collect::<Vec<_>>(), [(500, 500)]);
        assert!(outcome.generator_cpu > Duration::ZERO && outcome.seconds[0].p99 >= outcome.seconds[0].p50);
    }
}

/// Coordinated omission: one pause of 300 ms is in the latency of all that were due in it, of which a client that waits for its answers would have
/// sent few.
#[test]
fn pause_of_the_service_is_in_the_latency_of_all_that_were_due_in_it() {
    let pause = Duration::from_millis(300);
    let stalled = Arc::new(parking_lot::Mutex::new(()));
    let target = serve(move |number, stream| {
        let guard = stalled.lock();
        if number == 500 {
            thread::sleep(pause);
        }
        drop(guard);
        say(stream, OK)
    });
    let outcome = run(target, &steady(1000.0, 2000), |drive| drive.connections = 4);
    let answers = outcome.good();
    let (due, sent) = (answers.from_due.percentile(90.0), answers.from_sent.percentile(90.0));
    assert_eq!(good(&outcome), 2000);
    assert!(due > Duration::from_millis(50), "a tenth of a run of 2 s waited, {due:?}");
    assert!(sent < due / 2, "only the four that were on their way: {sent:?}");
    assert!(outcome.seconds[0].max >= Duration::from_millis(250), "{:?}", outcome.seconds);
}

#[test]
fn warm_up_is_sent_and_left_out_of_the_figures() {
    let target = serve(|_, stream| say(stream, OK));
    let warm_up = Phase { is_warm_up: true, ..Phase::steady(300.0, Duration::from_secs(1)) };
    let mut schedule = steady(200.0, 1000);
    schedule.phases.insert(0, warm_up);
    let outcome = run(target, &schedule, |_| {});
    assert_eq!((outcome.due, outcome.sent, good(&outcome)), (200, 200, 200));
    assert_eq!(outcome.duration, Duration::from_secs(1));
    assert!((150..=250).contains(&outcome.good_meanwhile), "{}", outcome.good_meanwhile);
    let seconds: Vec<_> = outcome.seconds.iter().map(|second| (second.is_warm_up, second.due)).collect();
    assert_eq!(seconds, [(true, 300), (false, 200)]);
}

#[test]
fn rate_is_of_what_was_answered_while_load_was_offered_not_of_what_came_from_the_queue_after() {
    // One connection, 10 ms an answer: 100 a second, of 200 that are offered.
    let target = serve(|_, stream| {
        thread::sleep(Duration::from_millis(10));
        say(stream, OK)
    });
    let outcome = run(target, &steady(200.0, 1000), |drive| drive.connections = 1);
    assert_eq!(good(&outcome), 200);
    assert!(outcome.rate() < 110.0, "{}", outcome.rate());
}

#[test]
fn each_way_to_lose_a_request_is_counted_as_what_it_is() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{";
    // What every fourth request gets, and the counts of unsent, dropped, unanswered and unreadable requests.
    let cases: [(&str, bool, [u64; 5]); 5] = [
        ("", false, [0, 25, 0, 0, 0]),
        (half, false, [0, 25, 0, 0, 0]),
        ("nonsense\r\n\r\n", true, [0, 0, 0, 25, 0]),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", true, [0, 0, 0, 25, 0]),
        ("", true, [0, 0, 25, 0, 0]),
    ];
    for (text, is_kept, expected) in cases {
        let target = serve(move |number, stream| match number % 4 {
            3 => say(stream, text) && is_kept,
            _ => say(stream, OK),
        });
        let outcome = run(target, &steady(100.0, 1000), |drive| {
            (drive.connections, drive.patience) = (30, Duration::from_secs(1));
        });
        assert_eq!((lost(&outcome), good(&outcome), outcome.due), (expected, 75, 100), "{text}");
        assert_eq!(outcome.seconds.iter().map(|second| second.failed).sum::<u64>(), 25, "{text}");
        assert!((outcome.error_rate() - 0.25).abs() < 1e-9);
    }
}

#[test]
fn answers_of_any_form_are_understood_and_closed_connections_opened_again() {
    // The answer, whether the connection is kept, how many are closed.
    let cases = [
        (vec!["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"], false, 100),
        (vec!["HTTP/1.0 200 OK\r\n\r\n", "{}"], false, 100),
        (vec!["HTTP/1.1 200 OK\r\n", "transfer-encoding: chunked\r\n\r\n1\r\n{", "\r\n1\r\n}\r\n0\r\n\r\n"], true, 0),
        (vec!["HTTP/1.1 1", "00 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r", "\n{}"], true, 0),
    ];
    for (pieces, is_kept, closed) in cases {
        let said = pieces.clone();
        let target = serve(move |_, stream| {
            for piece in &pieces {
                say(stream, piece);
                thread::sleep(Duration::from_millis(2));
            }
            is_kept
        });
        let outcome = run(target, &steady(100.0, 1000), |_| {});
        assert_eq!((good(&outcome), lost(&outcome), outcome.closed), (100, [0; 5], closed), "{said:?}");
    }
}

#[test]
fn refusals_are_told_apart_and_whether_they_say_when_to_ask_again() {
    let target = serve(|number, stream| match number % 4 {
        0 => say(stream, "HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"),
        1 => say(stream, "HTTP/1.1 429 No\r\ncontent-length: 0\r\n\r\n"),
        2 => say(stream, "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
        _ => say(stream, OK),
    });
    let outcome = run(target, &steady(100.0, 400), |_| {});
    let refused = outcome.of(None, Some(Verdict::Refused));
    assert_eq!((refused.from_due.count(), refused.without_retry_after), (20, 10));
    assert_eq!(outcome.answered[&(0, Verdict::Failed, 500)].from_due.count(), 10);
    assert_eq!((good(&outcome), outcome.seconds[0].refused, outcome.seconds[0].failed), (10, 20, 10));
}

#[test]
fn what_is_due_while_no_connection_is_free_waits_or_where_none_may_wait_is_not_sent() {
    let target = serve(|_, stream| {
        thread::sleep(Duration::from_millis(50));
        say(stream, OK)
    });
    let schedule = steady(100.0, 500);
    let outcome = run(target, &schedule, |drive| (drive.connections, drive.waiting) = (1, 0));
    assert!((3..=12).contains(&good(&outcome)), "{outcome}");
    assert_eq!(outcome.unsent + good(&outcome), 50);
    let outcome = run(target, &schedule, |drive| drive.connections = 1);
    assert_eq!((good(&outcome), outcome.unsent), (50, 0));
    let answers = outcome.good();
    assert!(answers.from_due.max() > Duration::from_secs(1) && answers.from_sent.max() < Duration::from_millis(500));
}

#[test]
fn service_that_hangs_neither_hangs_the_run_nor_holds_the_pool() {
    // Hangs on the first ten, whatever their connection.
    let target = serve(|number, stream| if number < 10 { true } else { say(stream, OK) });
    let begin = Instant::now();
    let outcome = run(target, &steady(50.0, 2000), |drive| {
        (drive.connections, drive.patience) = (2, Duration::from_millis(100));
    });
    assert!(outcome.unanswered >= 10, "{outcome}");
    assert!(outcome.unsent + outcome.skipped > 0 && good(&outcome) > 0, "{outcome}");
    // Longer than patience allows an answer to take: the first second was settled while the run went on.
    let of_seconds = |count: fn(&crate::outcome::Second) -> u64| outcome.seconds.iter().map(count).sum::<u64>();
    assert_eq!((of_seconds(|second| second.due), of_seconds(|second| second.good)), (100, good(&outcome)));
    assert_eq!(of_seconds(|second| second.failed), lost(&outcome).iter().sum::<u64>());
    assert!(begin.elapsed() < Duration::from_secs(20));
}

/// Sends prepared requests, of which one takes the generator's own time, or its life.
struct Troubled(Prepared, fn(u64));

impl Traffic for Troubled {
    fn kinds(&self) -> Vec<String> {
        self.0.kinds()
    }
    fn write(&self, number: u64, out: &mut Vec<u8>) -> crate::traffic::Sent {
        self.1(number);
        self.0.write(number, out)
    }
    fn judge(&self, sent: crate::traffic::Sent, status: u16, body: &[u8]) -> Verdict {
        self.0.judge(sent, status, body)
    }
}

#[test]
fn pause_of_the_generator_takes_no_request_out_of_the_seconds() {
    let pause = |number| thread::sleep(Duration::from_millis(if number == 10 { 1500 } else { 0 }));
    let (traffic, schedule) = (Troubled(requests(b"{}"), pause), steady(50.0, 3000));
    let target = serve(|_, stream| say(stream, OK));
    let patience = Duration::from_millis(100);
    let outcome = Drive { patience, ..Drive::to(target, &traffic, &schedule) }.run().unwrap();
    assert_eq!(outcome.seconds.iter().map(|second| second.due).collect::<Vec<_>>(), [50, 50, 50]);
    assert!(outcome.skipped > 0, "{outcome}");
}

#[test]
fn thread_that_fails_ends_the_run() {
    let panic = |number| assert!(number != 20, "a defect, as the test wants it");
    let (traffic, schedule) = (Troubled(requests(b"{}"), panic), steady(50.0, 120_000));
    let begin = Instant::now();
    let error = Drive { threads: 2, ..Drive::to(serve(|_, stream| say(stream, OK)), &traffic, &schedule) }.run();
    assert_eq!(error.unwrap_err().to_string(), "a thread of the generator has failed");
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn request_larger_than_the_buffers_of_a_socket_is_written_in_parts() {
    let target = serve(|_, stream| {
        thread::sleep(Duration::from_millis(5));
        say(stream, OK)
    });
    let (traffic, schedule) = (requests(&vec![b'x'; 8 << 20]), steady(10.0, 1000));
    let outcome = Drive { connections: 2, ..Drive::to(target, &traffic, &schedule) }.run().unwrap();
    assert_eq!((good(&outcome), lost(&outcome)), (10, [0; 5]));
}

#[test]
fn target_that_goes_away_is_asked_again_from_time_to_time_and_used_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    thread::spawn(move || {
        // Takes the connections and is gone; then answers again at the same place.
        let taken: Vec<_> = (0..4).map(|_| listener.accept().unwrap()).collect();
        drop((taken, listener));
        thread::sleep(Duration::from_millis(700));
        let listener = TcpListener::bind(target).unwrap();
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                while read_request(&mut reader) && say(&mut stream, OK) {}
            });
        }
    });
    let outcome = run(target, &steady(100.0, 2000), |drive| {
        (drive.connections, drive.patience) = (4, Duration::from_millis(200));
    });
    assert!(served.load(Ordering::Relaxed) > 0 && good(&outcome) > 0, "{outcome}");
    assert_eq!(lost(&outcome).iter().sum::<u64>() + good(&outcome), 200);
}

#[test]
fn target_that_takes_no_connection_is_an_error_that_names_it() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (traffic, schedule) = (requests(b"{}"), steady(1.0, 1));
    let error = Drive::to(target, &traffic, &schedule).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().starts_with(&format!("`{target}` does not take 64 connections: ")), "{error}");
    let error = Drive { threads: 9, connections: 8, ..Drive::to(target, &traffic, &schedule) }.run().unwrap_err();
    assert_eq!(error.to_string(), "`connections` must be at least `threads`, and that at least 1: 8 and 9");
}

#[test]
fn load_that_the_generator_cannot_offer_is_told_as_not_driven() {
    let target = serve(|_, stream| say(stream, OK));
    let (traffic, schedule) =
        (Troubled(requests(b"{}"), |_| thread::sleep(Duration::from_millis(20))), steady(500.0, 500));
    let drive = Drive { patience: Duration::from_millis(1500), ..Drive::to(target, &traffic, &schedule) };
    let begin = Instant::now();
    let outcome = drive.run().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(4), "what is late beyond patience is skipped");
    assert!(outcome.skipped > 100, "{outcome}");
    assert!(matches!(outcome.driven(), Err(NotDriven::Behind { due: 250, .. })));
    assert!(outcome.trusted(&outcome.good().from_due, 99.0).is_err());
}

#[test]
fn progress_is_told_while_a_run_goes_on_and_a_run_can_be_stopped() {
    let target = serve(|_, stream| say(stream, OK));
    let (told, stop) = (parking_lot::Mutex::new(Vec::new()), AtomicBool::new(false));
    let tell = |progress: Progress| {
        stop.store(progress.elapsed > Duration::from_millis(1200), Ordering::Relaxed);
        told.lock().push(progress);
    };
    let (traffic, schedule) = (requests(b"{}"), steady(200.0, 60_000));
    let drive =
        Drive { threads: 2, progress: Some(&tell), stop: Some(&stop), ..Drive::to(target, &traffic, &schedule) };
    let outcome = drive.run().unwrap();
    let told = told.into_inner();
    let last = told.last().unwrap();
    assert!((3..20).contains(&told.len()) && told.is_sorted_by_key(|progress| progress.due), "{told:?}");
    assert_eq!((last.total, last.phase, last.is_warm_up, last.failed), (Duration::from_secs(60), 0, false, 0));
    assert!(last.good > 150 && last.latency_p99 > Duration::ZERO, "{last:?}");
    assert!(outcome.duration > Duration::from_secs(1) && outcome.duration < Duration::from_secs(3), "{outcome}");
    assert!((outcome.rate() - 200.0).abs() < 60.0, "{}", outcome.rate());
    assert_eq!(outcome.seconds.len(), outcome.duration.as_secs_f64().ceil() as usize);
}

#[test]
fn every_thread_takes_its_own_arrivals_and_together_they_take_all_of_them_once() {
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    struct Noted(Arc<parking_lot::Mutex<Vec<u64>>>);
    impl Traffic for Noted {
        fn kinds(&self) -> Vec<String> {
            vec!["noted".to_owned()]
        }
        fn write(&self, number: u64, out: &mut Vec<u8>) -> crate::traffic::Sent {
            self.0.lock().push(number);
            requests(b"{}").write(number, out)
        }
        fn judge(&self, _: crate::traffic::Sent, status: u16, _: &[u8]) -> Verdict {
            Verdict::of_status(status)
        }
    }
    let target = serve(|_, stream| say(stream, OK));
    let (traffic, schedule) = (Noted(Arc::clone(&seen)), Schedule { pace: Pace::Poisson, ..steady(300.0, 500) });
    Drive { threads: 3, ..Drive::to(target, &traffic, &schedule) }.run().unwrap();
    let mut numbers = seen.lock().clone();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..schedule.arrivals().count() as u64).collect::<Vec<_>>());
}
