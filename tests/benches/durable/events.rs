//! Requests made of templates: a line is copied and its digits are filled in, which costs a tenth of formatting it.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::support::client::{Client, request};
use super::support::history::{DAY_MS, JSON, NOW_MS, instant};

/// Events of everybody in the load.
pub(super) const EACH: u64 = 20;

/// Everybody's histories, number by number of their events.
pub(super) struct Load {
    people: u64,
}

impl Load {
    pub(super) fn new(people: u64) -> Self {
        Self { people }
    }

    pub(super) fn people(&self) -> u64 {
        self.people
    }

    /// Posts these events of everybody in batches over several connections at once; all have to be new.
    pub(super) fn post(&self, authority: &str, numbers: Range<u64>, connections: u64, batch: u64) {
        let per_number = self.people / batch;
        let (next, end) = (AtomicU64::new(numbers.start * per_number), numbers.end * per_number);
        thread::scope(|scope| {
            for _ in 0..connections {
                scope.spawn(|| {
                    let mut client = Client::connect(authority).expect("the server listens");
                    let mut line = Line::new(numbers.start);
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= end {
                            return;
                        }
                        let (number, first) = (index / per_number, index % per_number * batch);
                        if number != line.number {
                            line = Line::new(number);
                        }
                        post(&mut client, &line.batch(first..first + batch), batch).expect("the server answers");
                    }
                });
            }
        });
    }
}

fn post(client: &mut Client, request: &[u8], events: u64) -> io::Result<()> {
    let reply = client.ask(request)?;
    let said = String::from_utf8_lossy(reply.body);
    let new = format!("\"new\":{events},");
    assert!(reply.status == 200 && said.contains(&new), "{}: {said}", reply.status);
    Ok(())
}

/// The line of one event of anybody, with the places of its digits.
struct Line {
    number: u64,
    text: Vec<u8>,
    person: usize,
    time: usize,
    amount: usize,
}

impl Line {
    fn new(number: u64) -> Self {
        // The last four days are left for what comes after the load.
        let day_ms = NOW_MS - (EACH + 4).saturating_sub(number) * 7 * DAY_MS / 2;
        let day = &instant(day_ms)[..10];
        let data = match number % 3 {
            0 => format!(r#""payment","data":{{"amount":00000.25,"days_past_due":{number}}}"#),
            1 => {
                r#""transaction","data":{"amount":00000.5,"direction":"out","channel":"card","counterparty":"shop-7"}"#
                    .to_owned()
            }
            _ => r#""statement","data":{"balance":00000,"credit_limit":2000,"minimum_due":50}"#.to_owned(),
        };
        let text = format!(
            "{{\"person_id\":\"p-0000000\",\"event_id\":\"{number}\",\"time\":\"{day}T00:00:00Z\",\"type\":{data}}}\n"
        );
        let after = |what: &str| text.find(what).expect("the line has it") + what.len();
        let (person, time) = (after("\"p-"), after("T"));
        let amount = after(if number % 3 == 2 { "balance\":" } else { "amount\":" });
        Self { number, text: text.into_bytes(), person, time, amount }
    }

    fn batch(&self, people: Range<u64>) -> Vec<u8> {
        let mut body = Vec::with_capacity((people.end - people.start) as usize * self.text.len());
        for person in people {
            let line = body.len();
            body.extend_from_slice(&self.text);
            let line = &mut body[line..];
            let mixed = (person * 31 + self.number * 17).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            write(&mut line[self.person..], 7, person);
            write(&mut line[self.time..], 2, mixed % 11);
            write(&mut line[self.time + 3..], 2, mixed / 16 % 60);
            write(&mut line[self.time + 6..], 2, mixed / 1_024 % 60);
            write(&mut line[self.amount..], 5, 10_000 + mixed / 65_536 % 90_000);
        }
        request("/v1/events/batch", "application/x-ndjson", &body)
    }
}

/// A number in so many digits.
fn write(at: &mut [u8], digits: usize, mut number: u64) {
    for digit in at[..digits].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// One payment of a person, new by its id.
pub(super) fn single(person: u64, id: u64) -> Vec<u8> {
    let time = instant(NOW_MS - id % 3_600_000);
    let body = format!(
        r#"{{"person_id":"p-{person:07}","event_id":"{id}","time":"{time}","type":"payment","data":{{"amount":120.5,"days_past_due":{}}}}}"#,
        id % 30
    );
    request("/v1/events", JSON, body.as_bytes())
}

/// One application of a person.
pub(super) fn score(person: u64, id: u64) -> Vec<u8> {
    let body = format!(
        concat!(
            r#"{{"person_id":"p-{:07}","application_id":"{}","application":{{"monthly_income":{}.50,"amount":{}.25,"#,
            r#""credit_score":{},"term_months":24,"purpose":"vehicle","employment":"salaried"}}}}"#
        ),
        person,
        id,
        900 + id % 4_000,
        1_000 + id % 20_000,
        400 + id % 400,
    );
    request("/v1/score", JSON, body.as_bytes())
}

/// A request that touches neither history nor disk.
pub(super) fn live() -> Vec<u8> {
    b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()
}
