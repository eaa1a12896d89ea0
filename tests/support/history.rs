//! Seeded histories of people, of the default bundle: the same seed gives the same events.

use serde_json::{Value, json};

pub(crate) const BUNDLE: &str = "model/artifacts/ahorro-valle";
pub(crate) const JSON: &str = "application/json";
pub(crate) const LINES: &str = "application/x-ndjson";
/// The instant at which the clocks of the tests stand still, and the same in milliseconds since 1970.
pub(crate) const NOW: &str = "2026-06-20T12:00:00Z";
pub(crate) const NOW_MS: u64 = 1_781_956_800_000;
pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const DAY_MS: u64 = 1_440 * MINUTE_MS;

pub(crate) fn payment(person: &str, id: &str, time: &str, days_past_due: u32) -> Value {
    let data = json!({"amount": 120.5, "days_past_due": days_past_due});
    json!({"person_id": person, "event_id": id, "type": "payment", "time": time, "data": data})
}

pub(crate) fn application(person: &str, id: &str) -> Value {
    json!({"person_id": person, "application_id": id, "application": {"monthly_income": 1200.5, "amount": 5000}})
}

pub(crate) fn lines<'a>(records: impl IntoIterator<Item = &'a Value>) -> String {
    records.into_iter().map(|record| format!("{record}\n")).collect()
}

/// Events of so many people with repetitions and conflicts among them, in no order.
pub(crate) fn events(people: u64, seed: u64) -> Vec<Value> {
    let mut random = Random(seed);
    let mut events = Vec::new();
    for person in 0..people {
        for id in 0..random.below(40) {
            let event = event(&mut random, person, id);
            if random.one_in(20) {
                events.push(event.clone());
            }
            if random.one_in(20) && event["type"] == "payment" {
                let mut other = event.clone();
                other["data"]["amount"] = json!(random.cents(100_000));
                events.push(other);
            }
            events.push(event);
        }
    }
    random.shuffle(&mut events);
    events
}

/// One application of each person.
pub(crate) fn applications(people: u64) -> Vec<Value> {
    let mut random = Random(7);
    (0..people).map(|person| application_of(&mut random, person, "a")).collect()
}

/// An application of a person, half of the optional fields given.
pub(crate) fn application_of(random: &mut Random, person: u64, id: &str) -> Value {
    let mut fields = json!({"monthly_income": random.cents(1_000_000), "amount": 1 + random.below(50_000)});
    for (name, value) in [
        ("credit_score", json!(300 + random.below(551))),
        ("term_months", json!(1 + random.below(360))),
        ("purpose", json!(random.pick(&["home", "vehicle", "other"]))),
        ("employment", json!(random.pick(&["salaried", "informal"]))),
    ] {
        if random.one_in(2) {
            fields[name] = value;
        }
    }
    json!({"person_id": format!("c-{person}"), "application_id": id, "application": fields})
}

/// A small generator with a period that is long enough (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn cents(&mut self, bound: u64) -> f64 {
        self.below(bound) as f64 / 100.0
    }

    /// An instant within the horizon, mostly anywhere; sometimes in a burst now, on the edge of a window, or a little ahead of the clock.
    fn time_ms(&mut self) -> u64 {
        match self.below(10) {
            0 | 1 => NOW_MS - self.below(90) * MINUTE_MS,
            2 => NOW_MS - [7, 30, 31, 89][self.below(4) as usize] * DAY_MS + self.below(3),
            3 => NOW_MS + self.below(5 * MINUTE_MS),
            _ => NOW_MS - self.below(90 * DAY_MS),
        }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Milliseconds since 1970 as RFC 3339 text (Howard Hinnant's `civil_from_days`, for this century).
pub(crate) fn instant(ms: u64) -> String {
    let (days, rest) = (ms / DAY_MS + 719_468, ms % DAY_MS);
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = days / 146_097 * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, seconds) = (rest / 3_600_000, rest / MINUTE_MS % 60, rest % MINUTE_MS);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", seconds / 1_000, seconds % 1_000)
}

/// The milliseconds since 1970 of RFC 3339 text in UTC, to the second.
pub(crate) fn instant_ms(text: &str) -> u64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<u64>().expect("digits");
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * shifted + 2) / 5 + day - 1 - 719_468;
    days * DAY_MS + (number(11..13) * 3_600 + number(14..16) * 60 + number(17..19)) * 1_000
}

/// An event of a person, of any kind.
pub(crate) fn event(random: &mut Random, person: u64, id: u64) -> Value {
    let (kind, data) = match random.below(6) {
        0 | 1 => {
            ("payment", json!({"amount": random.cents(100_000), "days_past_due": random.below(4) * random.below(30)}))
        }
        2 => {
            let (balance, limit) = ((random.below(1_000_000) as f64 - 50_000.0) / 100.0, random.cents(2_000_000));
            ("statement", json!({"balance": balance, "credit_limit": limit, "minimum_due": random.cents(10_000)}))
        }
        _ => {
            let counterparty = (!random.one_in(4)).then(|| format!("shop {}", random.below(9)));
            let (direction, channel) = (random.pick(&["in", "out"]), random.pick(&["card", "transfer", "cash"]));
            let amount = random.cents(5_000_000);
            (
                "transaction",
                json!({"amount": amount, "direction": direction, "channel": channel, "counterparty": counterparty}),
            )
        }
    };
    let time = instant(random.time_ms());
    json!({"person_id": format!("c-{person}"), "event_id": id.to_string(), "type": kind, "time": time, "data": data})
}

#[test]
fn instants_of_the_generator_are_those_of_the_clock() {
    assert_eq!(instant(NOW_MS), "2026-06-20T12:00:00.000Z");
    assert_eq!(instant(NOW_MS - 90 * DAY_MS - 1), "2026-03-22T11:59:59.999Z");
    for ms in [0, 951_782_399_000, 1_127_000_000_000, NOW_MS] {
        assert_eq!(instant_ms(&instant(ms)), ms);
    }
}
