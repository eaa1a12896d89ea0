//! Every event that was ever sent, and what became of it: acknowledged, settled by a look, or still unknown.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{HORIZON_MS, Report};
use crate::support::client::Client;
use crate::support::history::{JSON, LINES, MINUTE_MS, Random, instant};

/// Events of one request at most.
const BATCH: usize = 500;

/// What an event is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Payment,
    Transaction,
    Application,
}

/// An event; all that is in it follows from these.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posted {
    /// Given once in the whole run.
    pub(super) id: u64,
    pub(super) person: u64,
    pub(super) time_ms: u64,
    pub(super) kind: Kind,
    /// Where the log has it, if an answer has told.
    pub(super) position: Option<u64>,
}

/// What a writer knows of an event when its server is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) event: Posted,
    pub(super) acknowledged: bool,
    pub(super) position: Option<u64>,
}

/// Everything sent, by id.
#[derive(Default)]
pub(super) struct Ledger {
    entries: HashMap<u64, Entry>,
    /// Every id ever added, in that order: what was forgotten since is in no entry.
    ids: Vec<u64>,
    of_person: HashMap<u64, Vec<u64>>,
    by_position: HashMap<u64, u64>,
    /// How many ids there were when the newest were asked for.
    asked: usize,
}

struct Entry {
    event: Posted,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was sent, and no answer came.
    Unknown,
    /// It was acknowledged, or found by a look.
    Present,
    /// A look did not find it: it never comes again.
    Absent,
}

impl Posted {
    /// The event or application as it is posted.
    pub(super) fn json(&self) -> Value {
        let (id, person, time) = (self.text_id(), format!("p-{}", self.person), instant(self.time_ms));
        let amount = (self.id.wrapping_mul(0x9e37_79b9) >> 7) % 100_000;
        let (kind, data) = match self.kind {
            Kind::Payment => ("payment", json!({"amount": amount, "days_past_due": amount % 60})),
            Kind::Transaction => ("transaction", json!({"amount": amount, "direction": "out", "channel": "card"})),
            Kind::Application => {
                let fields = json!({"monthly_income": 1200, "amount": 1 + amount});
                return json!({"person_id": person, "application_id": id, "application": fields});
            }
        };
        json!({"person_id": person, "event_id": id, "type": kind, "time": time, "data": data})
    }

    /// One event in eight is sometimes sent with another content.
    pub(super) fn may_change(&self) -> bool {
        self.kind == Kind::Payment && self.id.is_multiple_of(8)
    }

    /// Numbers and text are stored in different ways.
    fn text_id(&self) -> String {
        if self.id.is_multiple_of(4) { format!("event {}", self.id) } else { self.id.to_string() }
    }

    fn parse_id(text: &str) -> Option<u64> {
        text.strip_prefix("event ").unwrap_or(text).parse().ok()
    }
}

impl Ledger {
    /// Takes over what a writer has sent; how much of it was acknowledged.
    pub(super) fn add(&mut self, sent: Vec<Sent>, faults: &mut Vec<String>) -> u64 {
        let mut acknowledged = 0;
        for Sent { event, acknowledged: answered, position } in sent {
            if let Some(position) = position
                && let Some(other) = self.by_position.insert(position, event.id)
            {
                faults.push(format!("position {position} is that of {} and {other}", event.id));
            }
            acknowledged += u64::from(answered);
            let fate = if answered { Fate::Present } else { Fate::Unknown };
            self.ids.push(event.id);
            self.of_person.entry(event.person).or_default().push(event.id);
            self.entries.insert(event.id, Entry { event: Posted { position, ..event }, fate });
        }
        acknowledged
    }

    /// Nothing of a person may be there any more, nor come back.
    pub(super) fn forget(&mut self, person: u64) {
        for id in self.of_person.remove(&person).unwrap_or_default() {
            self.entries.remove(&id);
        }
    }

    /// People of whom it is not known what is there.
    pub(super) fn unsettled_people(&self) -> Vec<u64> {
        self.entries.values().filter(|entry| entry.fate == Fate::Unknown).map(|entry| entry.event.person).collect()
    }

    /// Some acknowledged events that would be taken as of `now`.
    pub(super) fn sample(&self, random: &mut Random, count: usize, now_ms: u64) -> Vec<Posted> {
        let ids = self.ids.len() as u64;
        let drawn = (0..count as u64).take(self.ids.len()).map(|_| self.ids[random.below(ids) as usize]);
        self.repeatable(drawn, now_ms)
    }

    /// The same of all that was sent since this was asked last.
    pub(super) fn newest(&mut self, now_ms: u64) -> Vec<Posted> {
        let from = std::mem::replace(&mut self.asked, self.ids.len());
        self.repeatable(self.ids[from..].iter().copied(), now_ms)
    }

    /// Those that are known to be there and would be taken again.
    fn repeatable(&self, ids: impl Iterator<Item = u64>, now_ms: u64) -> Vec<Posted> {
        let entries = ids.filter_map(|id| self.entries.get(&id));
        let fresh_enough = |event: &Posted| event.time_ms + HORIZON_MS > now_ms + MINUTE_MS;
        let repeatable = entries.filter(|Entry { event, fate }| {
            *fate == Fate::Present && event.kind != Kind::Application && fresh_enough(event)
        });
        repeatable.map(|entry| entry.event).collect()
    }

    /// Sends acknowledged events once more: none of them may be new.
    pub(super) fn send_again(&self, events: &[Posted], client: &mut Client, report: &mut Report) {
        for events in events.chunks(BATCH) {
            let lines: String = events.iter().map(|event| format!("{}\n", event.json())).collect();
            let reply = client.post("/v1/events/batch", LINES, &lines).expect("nobody kills it now");
            let answer = reply.json();
            report.acknowledged_lost += answer["new"].as_u64().unwrap_or(0);
            if reply.status != 200 || answer["refused"] != json!(0) {
                report.faults.push(format!("acknowledged events sent again: {answer}"));
            }
        }
    }

    /// An acknowledged event is answered with the position that it was acknowledged with.
    pub(super) fn expect_positions(&self, events: &[Posted], client: &mut Client, report: &mut Report) {
        for event in events.iter().filter(|event| event.position.is_some() && !event.may_change()) {
            let reply = client.post("/v1/events", JSON, &event.json().to_string());
            let reply = reply.expect("nobody kills it now");
            let answer = reply.json();
            let same = answer["position"].as_u64() == event.position && answer["applied"] == "duplicate";
            if reply.status != 200 || !same {
                report.faults.push(format!("{event:?} sent again: {answer}"));
            }
        }
    }

    /// Reads all that the service has of a person: everything acknowledged once, and nothing that was never sent.
    pub(super) fn look_at(&mut self, person: u64, client: &mut Client, now_ms: u64, report: &mut Report) {
        let mut seen = timeline(person, client, report);
        let ids = self.of_person.get(&person).cloned().unwrap_or_default();
        for id in ids {
            let entry = self.entries.get_mut(&id).expect("it was added with its person");
            let times = seen.remove(&id).unwrap_or(0);
            report.applied_twice += times.saturating_sub(1);
            match (entry.fate, times) {
                (Fate::Unknown, 0) => entry.fate = Fate::Absent,
                (Fate::Unknown, _) => entry.fate = Fate::Present,
                (Fate::Present, 0) => report.acknowledged_lost += 1,
                (Fate::Absent, 1..) => report.faults.push(format!("{:?} came back", entry.event)),
                (Fate::Present | Fate::Absent, _) => {}
            }
        }
        report.faults.extend(seen.keys().map(|id| format!("person {person} has event {id}, which nobody sent")));
        self.count_payments(person, client, now_ms, report);
    }

    /// The state has each payment once, too.
    fn count_payments(&self, person: u64, client: &mut Client, now_ms: u64, report: &mut Report) {
        let ids = self.of_person.get(&person).map(Vec::as_slice).unwrap_or_default();
        let entries = ids.iter().map(|id| &self.entries[id]).filter(|entry| entry.fate == Fate::Present);
        let happened = |event: &Posted| event.kind == Kind::Payment && event.time_ms <= now_ms;
        let expected = entries.filter(|entry| happened(&entry.event)).count() as u64;
        let reply = client.get(&format!("/v1/people/p-{person}/features")).expect("nobody kills it now");
        let answer = reply.json();
        let features = answer["features"].as_array().map(Vec::as_slice).unwrap_or_default();
        let counted = features.iter().find(|feature| feature["name"] == "payments_lifetime");
        let counted = counted.and_then(|feature| feature["value"].as_f64()).unwrap_or(0.0) as u64;
        report.applied_twice += counted.saturating_sub(expected);
        report.acknowledged_lost += expected.saturating_sub(counted);
        if counted != expected {
            report.faults.push(format!("person {person}: {counted} payments counted, {expected} expected"));
        }
    }
}

/// How often each event stands in the timeline of a person, over all pages.
fn timeline(person: u64, client: &mut Client, report: &mut Report) -> HashMap<u64, u64> {
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/people/p-{person}/timeline?limit=10{cursor}");
        let reply = client.get(&path).expect("nobody kills it now");
        if reply.status == 404 {
            return seen;
        }
        let answer = reply.json();
        let Some(events) = answer["events"].as_array().filter(|_| reply.status == 200) else {
            report.faults.push(format!("a timeline was answered {}: {answer}", reply.status));
            return seen;
        };
        for event in events {
            match event["event_id"].as_str().and_then(Posted::parse_id) {
                Some(id) => *seen.entry(id).or_default() += 1,
                None => report.faults.push(format!("an event without an id that was given: {event}")),
            }
        }
        match answer["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}
