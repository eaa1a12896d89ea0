//! What a writer does until its server is gone: events singly and in batches, new, late and again; applications in between.

use std::io;

use serde_json::{Value, json};

use super::PEOPLE;
use super::ledger::{Kind, Posted, Sent};
use crate::support::client::{Client, Reply};
use crate::support::history::{DAY_MS, JSON, LINES, MINUTE_MS, Random};

/// One client of the service, and what it has seen.
pub(super) struct Writer {
    pub(super) random: Random,
    pub(super) now_ms: u64,
    /// Nobody else gives ids from here on.
    pub(super) first_id: u64,
    /// Whether an answer to an application says that it is in the log.
    pub(super) durable_applications: bool,
    /// Whether people leave memory all the time.
    pub(super) little_memory: bool,
    /// Acknowledged in earlier rounds.
    pub(super) earlier: Vec<Posted>,
    pub(super) sent: Vec<Sent>,
    pub(super) faults: Vec<String>,
}

impl Writer {
    /// Writes until nobody answers any more.
    pub(super) fn write(mut self, authority: &str) -> Self {
        if let Ok(mut client) = Client::connect(authority) {
            while self.step(&mut client).is_ok() {}
        }
        self
    }

    fn step(&mut self, client: &mut Client) -> io::Result<()> {
        match self.random.below(10) {
            0..=3 => self.one(client),
            4..=6 => self.batch(client),
            7 => self.again(client),
            8 => self.other_content(client),
            _ => self.score(client),
        }
    }

    /// One new event.
    fn one(&mut self, client: &mut Client) -> io::Result<()> {
        let event = self.fresh();
        let at = self.send(event);
        let reply = client.post("/v1/events", JSON, &event.json().to_string())?;
        if let Some(answer) = expect(&mut self.faults, &reply, 201, &[("applied", json!("new"))]) {
            self.sent[at].acknowledged = true;
            self.sent[at].position = answer["position"].as_u64();
            self.complain_unless(answer["position"].is_u64() && answer["durable"] == true, &answer);
        }
        Ok(())
    }

    /// New events among earlier ones, some twice, in no order.
    fn batch(&mut self, client: &mut Client) -> io::Result<()> {
        let fresh: Vec<Posted> = (0..=self.random.below(40)).map(|_| self.fresh()).collect();
        let places: Vec<usize> = fresh.iter().map(|event| self.send(*event)).collect();
        let mut events = fresh.clone();
        events.extend(fresh.iter().filter(|_| self.random.one_in(8)));
        let earlier = self.random.below(20);
        events.extend((0..earlier).filter_map(|_| self.known()));
        self.random.shuffle(&mut events);
        let lines: String = events.iter().map(|event| format!("{}\n", event.json())).collect();
        let reply = client.post("/v1/events/batch", LINES, &lines)?;
        let counts = [("new", json!(fresh.len())), ("refused", json!(0)), ("durable", json!(true))];
        if let Some(answer) = expect(&mut self.faults, &reply, 200, &counts) {
            places.iter().for_each(|place| self.sent[*place].acknowledged = true);
            let known = answer["duplicate"].as_u64().unwrap_or(0) + answer["conflict"].as_u64().unwrap_or(0);
            self.complain_unless(known as usize == events.len() - fresh.len(), &answer);
        }
        Ok(())
    }

    /// An event that was acknowledged before.
    fn again(&mut self, client: &mut Client) -> io::Result<()> {
        let Some(event) = self.known() else { return Ok(()) };
        let reply = client.post("/v1/events", JSON, &event.json().to_string())?;
        let answer = expect(&mut self.faults, &reply, 200, &[]);
        if let (Some(answer), Some(position), false) = (answer, event.position, event.may_change()) {
            self.complain_unless(answer["position"] == json!(position), &answer);
        }
        Ok(())
    }

    /// Another event under the identity of one that was acknowledged: one of the two stands from now on.
    fn other_content(&mut self, client: &mut Client) -> io::Result<()> {
        let Some(event) = self.known().filter(|event| event.may_change()) else { return Ok(()) };
        let mut other = event.json();
        other["data"]["amount"] = json!(self.random.below(1_000));
        let reply = client.post("/v1/events", JSON, &other.to_string())?;
        expect(&mut self.faults, &reply, 200, &[]);
        Ok(())
    }

    /// An application; it becomes part of the history, and in durable rounds the answer vouches for that. Who was read may have left a
    /// small memory before the application is recorded: then it is not, as the answer says.
    fn score(&mut self, client: &mut Client) -> io::Result<()> {
        let application = Posted { kind: Kind::Application, time_ms: self.now_ms, ..self.fresh() };
        let at = self.send(application);
        let reply = client.post("/v1/score", JSON, &application.json().to_string())?;
        if let Some(answer) = expect(&mut self.faults, &reply, 200, &[]) {
            let is_recorded = answer["recorded"] == true;
            self.complain_unless(is_recorded || self.little_memory, &answer);
            self.sent[at].acknowledged = is_recorded && self.durable_applications;
        }
        Ok(())
    }

    /// Mostly of the last hour, sometimes days late, now and then a little ahead of the clock.
    fn fresh(&mut self) -> Posted {
        let now = self.now_ms;
        let time_ms = match self.random.below(10) {
            0..=5 => now - self.random.below(60 * MINUTE_MS),
            6..=8 => now - self.random.below(89 * DAY_MS),
            _ => now + self.random.below(5 * MINUTE_MS),
        };
        let kind = if self.random.one_in(3) { Kind::Transaction } else { Kind::Payment };
        let id = self.first_id;
        self.first_id += 1;
        Posted { id, person: self.random.below(PEOPLE), time_ms, kind, position: None }
    }

    /// Notes an event before it leaves: from then on it may be in the log.
    fn send(&mut self, event: Posted) -> usize {
        self.sent.push(Sent { event, acknowledged: false, position: None });
        self.sent.len() - 1
    }

    /// An event that was acknowledged, in this round or before.
    fn known(&mut self) -> Option<Posted> {
        let own = self.sent.len() as u64;
        if own > 0 && self.random.one_in(2) {
            let sent = self.sent[self.random.below(own) as usize];
            let known = sent.acknowledged && sent.event.kind != Kind::Application;
            return known.then_some(Posted { position: sent.position, ..sent.event });
        }
        let earlier = self.earlier.len() as u64;
        (earlier > 0).then(|| self.earlier[self.random.below(earlier) as usize])
    }

    fn complain_unless(&mut self, holds: bool, answer: &Value) {
        if !holds {
            self.faults.push(format!("unexpected: {answer}"));
        }
    }
}

/// The document of an answer of this status, with these values; anything but a refusal for a while is otherwise a fault.
fn expect(faults: &mut Vec<String>, reply: &Reply<'_>, status: u16, values: &[(&str, Value)]) -> Option<Value> {
    let answer = reply.json();
    if reply.status == 503 {
        return None;
    }
    let as_expected = reply.status == status && values.iter().all(|(name, value)| answer[name] == *value);
    if !as_expected {
        faults.push(format!("{} instead of {status} with {values:?}: {answer}", reply.status));
    }
    as_expected.then_some(answer)
}
