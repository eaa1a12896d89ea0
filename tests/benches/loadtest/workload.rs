//! What is offered: applications and events of one made-up bank, made from the number of their request.

use std::time::Duration;

use cauce_features::time::Timestamp;
use cauce_loadtest::simulate::Bank;
use cauce_loadtest::traffic::{Sent, Traffic, Verdict, write_request};

use crate::support::history::{JSON, LINES, NOW_MS};

/// People who have a history when the measuring begins, and events of each.
pub(crate) const PEOPLE: u64 = 10_000;
pub(crate) const EVENTS_EACH: u64 = 20;
/// Applications that were asked before, of as many people.
const KNOWN: u64 = 5_000;
const BATCH: u64 = 100;
/// Events in a request of the mixed load.
const EVENTS: u64 = 10;
/// What does not recur when numbers are spread over people: a prime that no number of people is a multiple of.
const SPREAD: u64 = 7_919;

/// What requests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Applications that were never asked.
    Cold,
    /// Of five applications four that were asked before, byte for byte: they are answered as before.
    Repeats,
    /// A hundred applications that were never asked.
    Batch,
    /// Of ten requests seven applications, and three of ten events each.
    Mixed,
}

impl Kind {
    pub(crate) const ALL: [(Self, &str); 4] =
        [(Self::Cold, "cold"), (Self::Repeats, "repeats"), (Self::Batch, "batch"), (Self::Mixed, "mixed")];
}

/// Requests of a kind.
pub(crate) struct Workload<'a> {
    pub(crate) kind: Kind,
    pub(crate) bank: &'a Bank,
    /// Sets apart what is new in this run from what was new in another.
    pub(crate) run: u64,
}

const SCORES: usize = 0;
const POSTS: usize = 1;

impl Traffic for Workload<'_> {
    fn kinds(&self) -> Vec<String> {
        ["scores", "events"].map(str::to_owned).into()
    }

    fn write(&self, number: u64, out: &mut Vec<u8>) -> Sent {
        let sent = |kind, items| Sent { number, kind, items, is_invalid: false };
        let mut body = Vec::with_capacity(512);
        let (path, content_type, sent) = match self.kind {
            Kind::Repeats if !number.is_multiple_of(5) => {
                write_known(self.bank, number * SPREAD % KNOWN, &mut body);
                ("/v1/score", JSON, sent(SCORES, 1))
            }
            Kind::Batch => {
                for place in 0..BATCH {
                    self.write_new(number * BATCH + place, &mut body);
                    body.push(b'\n');
                }
                ("/v1/score/batch", LINES, sent(SCORES, BATCH as u32))
            }
            Kind::Mixed if number % 10 < 3 => {
                (0..EVENTS).for_each(|place| self.write_event(number * EVENTS + place, &mut body));
                ("/v1/events/batch", LINES, sent(POSTS, EVENTS as u32))
            }
            _ => {
                self.write_new(number, &mut body);
                ("/v1/score", JSON, sent(SCORES, 1))
            }
        };
        write_request("POST", path, "x", content_type, &body, out);
        sent
    }

    /// A score counts if the model gave it on the person's history: an answer of a lower rung is cheaper.
    fn judge(&self, sent: Sent, status: u16, body: &[u8]) -> Verdict {
        let count = |mark: &[u8]| body.windows(mark.len()).filter(|bytes| *bytes == mark).count();
        match Verdict::of_status(status) {
            Verdict::Good if sent.kind == SCORES && count(br#""mode":"full""#) != sent.items as usize => {
                Verdict::Failed
            }
            Verdict::Good if sent.kind == POSTS && count(br#""refused":0"#) != 1 => Verdict::Failed,
            verdict => verdict,
        }
    }
}

impl Workload<'_> {
    fn write_new(&self, number: u64, out: &mut Vec<u8>) {
        let id = format!("{}-{number}", self.run);
        write_application(self.bank, number * SPREAD % PEOPLE, self.run << 32 | number, &id, out);
    }

    fn write_event(&self, number: u64, out: &mut Vec<u8>) {
        let time = Timestamp::from_millis((NOW_MS - number % 3_600_000) as i64);
        self.bank.person(number * SPREAD % PEOPLE).write_event(self.run << 32 | number, time, out);
        out.push(b'\n');
    }
}

/// A request for each application that counts as asked before.
pub(crate) fn known(bank: &Bank) -> Vec<Vec<u8>> {
    let request = |number| {
        let (mut body, mut request) = (Vec::new(), Vec::new());
        write_known(bank, number, &mut body);
        write_request("POST", "/v1/score", "x", JSON, &body, &mut request);
        request
    };
    (0..KNOWN).map(request).collect()
}

/// Requests with the history of everyone, spread evenly over the time before now.
pub(crate) fn histories(bank: &Bank) -> impl Iterator<Item = Vec<u8>> {
    let pause = Duration::from_secs(80 * 86_400).as_millis() as u64 / EVENTS_EACH;
    let people: Vec<u64> = (0..PEOPLE).collect();
    let chunks: Vec<Vec<u64>> = people.chunks(50).map(<[u64]>::to_vec).collect();
    chunks.into_iter().map(move |people| {
        let (mut body, mut request) = (Vec::new(), Vec::new());
        for (person, event) in people.iter().flat_map(|person| (0..EVENTS_EACH).map(move |event| (*person, event))) {
            // Not all at one time of the day.
            let before = pause * event + person * SPREAD % pause;
            let time = Timestamp::from_millis((NOW_MS - before) as i64);
            bank.person(person).write_event(event, time, &mut body);
            body.push(b'\n');
        }
        write_request("POST", "/v1/events/batch", "x", LINES, &body, &mut request);
        request
    })
}

fn write_known(bank: &Bank, number: u64, out: &mut Vec<u8>) {
    write_application(bank, number, number, &format!("known-{number}"), out);
}

fn write_application(bank: &Bank, person: u64, index: u64, id: &str, out: &mut Vec<u8>) {
    let person = bank.person(person);
    out.extend_from_slice(b"{\"person_id\":\"");
    person.write_id(out);
    out.extend_from_slice(format!("\",\"application_id\":\"{id}\",\"application\":").as_bytes());
    person.write_application(index, out);
    out.push(b'}');
}
