//! Records as JSON, straight into bytes: a tree or a formatter for each of millions of lines would take longer than making them up.

use std::io::Write;

use cauce_features::time::Timestamp;

use super::{Content, Counterparty, DAY_MS, Form, Person, Record};

impl Person {
    /// Their id: `av-17`.
    pub fn write_id(&self, out: &mut Vec<u8>) {
        person_id(self.number, out);
    }

    /// The fields of their application number `index` as a JSON object: always the same for the same index.
    pub fn write_application(&self, index: u64, out: &mut Vec<u8>) {
        form(&self.request(index).form, out);
    }

    /// Something that they do, as a line that `/v1/events` takes, without its end: event `index` at that time.
    pub fn write_event(&self, index: u64, time: Timestamp, out: &mut Vec<u8>) {
        let content = self.some_event(index, time);
        let record = Record { time, arrived_at: time, person: self.number, number: index, content };
        Lines::new(false).event(&record, out);
    }

    /// What nobody sees of them, as a line of `people.ndjson`.
    pub(super) fn write_truth(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"person_id":""#);
        self.write_id(out);
        let (name, discipline, propensity) = (self.employment.name, self.discipline, self.propensity());
        let (age, is_new) = (self.age, self.is_new);
        // Writing to memory cannot fail, here and below.
        let _ = write!(
            out,
            r#"","age":{age},"employment":"{name}","discipline":{discipline:.4},"propensity":{propensity:.4},"monthly_income":"#
        );
        money((self.income * 100.0).round() as i64, out);
        let _ = write!(out, r#","has_history":{},"shock_at":"#, !is_new);
        let _ = match self.shock_day.filter(|day| *day < self.days.into()) {
            Some(day) => write!(out, r#""{}""#, self.at(day)),
            None => write!(out, "null"),
        };
        out.extend_from_slice(b"}\n");
    }
}

/// Writes lines, each without its end.
pub(super) struct Lines {
    /// Whether they are of a history: with `arrived_at` and `label`, which the past alone knows.
    is_history: bool,
    date: Date,
}

impl Lines {
    pub(super) fn new(is_history: bool) -> Self {
        Self { is_history, date: Date { day: i64::MIN, text: [0; 11] } }
    }

    /// An event or an application.
    pub(super) fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        match &record.content {
            Content::Application { form, defaulted, .. } => self.application(record, form, *defaulted, out),
            _ => self.event(record, out),
        }
    }

    fn application(&mut self, record: &Record, fields: &Form, defaulted: bool, out: &mut Vec<u8>) {
        self.ids(record, out);
        out.extend_from_slice(br#"","application":"#);
        form(fields, out);
        out.extend_from_slice(br#","as_of":""#);
        self.date.instant(record.time, out);
        match (self.is_history, defaulted) {
            (false, _) => out.extend_from_slice(br#""}"#),
            (true, false) => out.extend_from_slice(br#"","label":0}"#),
            (true, true) => out.extend_from_slice(br#"","label":1}"#),
        }
    }

    /// What nobody sees of an application, and how it ended.
    pub(super) fn truth(&mut self, record: &Record, out: &mut Vec<u8>) {
        let Content::Application { propensity, defaulted, .. } = record.content else { return };
        self.ids(record, out);
        out.extend_from_slice(br#"","as_of":""#);
        self.date.instant(record.time, out);
        let _ = write!(out, r#"","propensity":{propensity:.4},"label":{}}}"#, u8::from(defaulted));
    }

    fn ids(&self, record: &Record, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"person_id":""#);
        person_id(record.person, out);
        out.extend_from_slice(br#"","application_id":""#);
        number(record.number, out);
    }

    fn event(&mut self, record: &Record, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"person_id":""#);
        person_id(record.person, out);
        out.extend_from_slice(br#"","event_id":""#);
        number(record.number, out);
        out.extend_from_slice(br#"","type":""#);
        out.extend_from_slice(record.content.kind().as_bytes());
        out.extend_from_slice(br#"","time":""#);
        self.date.instant(record.time, out);
        out.extend_from_slice(br#"","data":{"#);
        data(&record.content, out);
        if self.is_history && record.arrived_at > record.time {
            out.extend_from_slice(br#"},"arrived_at":""#);
            self.date.instant(record.arrived_at, out);
            out.extend_from_slice(br#""}"#);
        } else {
            out.extend_from_slice(b"}}");
        }
    }
}

impl Content {
    /// As the specification calls it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Transaction { .. } => "transaction",
            Self::Payment { .. } => "payment",
            Self::Statement { .. } => "statement",
            Self::Application { .. } => "application",
        }
    }
}

/// The members of `data`.
fn data(content: &Content, out: &mut Vec<u8>) {
    match content {
        Content::Transaction { amount, is_income, channel, counterparty } => {
            amount_of(br#""amount":"#, *amount, out);
            out.extend_from_slice(if *is_income {
                br#","direction":"in","channel":""#
            } else {
                br#","direction":"out","channel":""#
            });
            out.extend_from_slice(channel.as_bytes());
            out.push(b'"');
            write_counterparty(*counterparty, out);
        }
        Content::Payment { amount, days_past_due } => {
            amount_of(br#""amount":"#, *amount, out);
            out.extend_from_slice(br#","days_past_due":"#);
            number(u64::from(*days_past_due), out);
        }
        Content::Statement { balance, limit, minimum_due } => {
            amount_of(br#""balance":"#, *balance, out);
            amount_of(br#","credit_limit":"#, *limit, out);
            amount_of(br#","minimum_due":"#, *minimum_due, out);
        }
        // It is no event until it is scored.
        Content::Application { .. } => {}
    }
}

fn write_counterparty(counterparty: Counterparty, out: &mut Vec<u8>) {
    match counterparty {
        Counterparty::None => {}
        Counterparty::Employer => out.extend_from_slice(br#","counterparty":"employer""#),
        Counterparty::OwnAccount => out.extend_from_slice(br#","counterparty":"own-account""#),
        Counterparty::Merchant(id) => {
            out.extend_from_slice(br#","counterparty":"m-"#);
            number(id, out);
            out.push(b'"');
        }
    }
}

/// The fields of an application, in the order in which the specification declares them: so they are read fastest.
fn form(form: &Form, out: &mut Vec<u8>) {
    amount_of(br#"{"monthly_income":"#, form.monthly_income, out);
    amount_of(br#","amount":"#, form.amount, out);
    if let Some(score) = form.credit_score {
        out.extend_from_slice(br#","credit_score":"#);
        number(score.into(), out);
    }
    if let Some(details) = form.details {
        out.extend_from_slice(br#","term_months":"#);
        number(details.term_months.into(), out);
        out.extend_from_slice(br#","purpose":""#);
        out.extend_from_slice(details.purpose.as_bytes());
        out.extend_from_slice(br#"","employment":""#);
        out.extend_from_slice(details.employment.as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(br#","age":"#);
    number(form.age.into(), out);
    out.push(b'}');
}

pub(super) fn person_id(person: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"av-");
    number(person, out);
}

fn amount_of(key: &[u8], cents: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    money(cents, out);
}

fn money(cents: i64, out: &mut Vec<u8>) {
    if cents < 0 {
        out.push(b'-');
    }
    number(cents.unsigned_abs() / 100, out);
    let [tens, ones] = two_digits((cents.unsigned_abs() % 100) as i64);
    out.extend_from_slice(&[b'.', tens, ones]);
}

pub(crate) fn number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn two_digits(value: i64) -> [u8; 2] {
    [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]
}

/// The text of the last day that was written: neighbours in a file are mostly of one day.
struct Date {
    day: i64,
    /// `2026-01-15T`
    text: [u8; 11],
}

impl Date {
    fn instant(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        let (day, of_day) = (time.millis().div_euclid(DAY_MS), time.millis().rem_euclid(DAY_MS));
        if day != self.day {
            self.day = day;
            self.text.copy_from_slice(&Timestamp::from_millis(day * DAY_MS).to_string().as_bytes()[..11]);
        }
        out.extend_from_slice(&self.text);
        let seconds = of_day / 1_000;
        let [h, i] = two_digits(seconds / 3_600);
        let [m, n] = two_digits(seconds / 60 % 60);
        let [s, t] = two_digits(seconds % 60);
        out.extend_from_slice(&[h, i, b':', m, n, b':', s, t]);
        if of_day % 1_000 != 0 {
            let millis = of_day % 1_000;
            let [tens, ones] = two_digits(millis % 100);
            out.extend_from_slice(&[b'.', b'0' + (millis / 100) as u8, tens, ones]);
        }
        out.push(b'Z');
    }
}
