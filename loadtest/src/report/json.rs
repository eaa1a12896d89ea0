//! A run told to programs: keys that stay, units in their names, `null` for what could not be driven.

use std::time::Duration;

use serde_json::{Map, Value, json as value};

use super::figures::{Figures, PERCENTILES, Row, Times, Told, told};
use super::{Conclusion, Report};
use crate::machine::Machine;
use crate::outcome::Second;
use crate::search::Search;

/// Every key and what stands there; `[]` is each of a list, `*` stands for `p50`, `p90`, `p99`, `p999` and `max`.
pub const KEYS: [(&str, &str); 66] = [
    ("name", "of the scenario"),
    ("target", "where the load went"),
    ("command", "as it was typed"),
    ("scenario", "the file as it was read"),
    ("started_at", "RFC 3339, UTC"),
    ("machine.cpu", "its model"),
    ("machine.cores", "that the generator may run on"),
    ("machine.memory_bytes", "of the machine"),
    ("machine.kernel", "name and release"),
    ("duration_s", "how long load was offered, warm-up aside"),
    (
        "holds",
        "whether all limits hold, a rate was found and all that is watched is steady; `null` where the generator leaves nothing to be told",
    ),
    ("not_driven[]", "why figures are `null`"),
    ("due", "requests that were due"),
    ("sent", "with or without an answer"),
    ("answered", "whatever the answer"),
    ("good", "answered as meant"),
    ("refused", "for overload: 429 and 503"),
    ("failed", "answered in any other way"),
    ("unsent", "no connection became free in time"),
    ("skipped", "the generator was too late itself"),
    ("dropped", "the connection was closed before an answer"),
    ("unreadable", "the answer is no HTTP, or too long"),
    ("unanswered", "patience was at its end"),
    ("closed_connections", "by the service, after an answer or between two"),
    ("due_per_s", "as the schedule has it"),
    ("good_per_s", "while load was offered"),
    ("error_rate", "of what was due, that which was not answered as meant: from 0 to 1"),
    ("latency_ms_*", "of good answers, from when their requests were due"),
    ("from_sent_ms_*", "of good answers, from when their requests were sent: what a closed loop would see"),
    ("kinds[].kind", "of requests"),
    ("kinds[].good", "good answers"),
    ("kinds[].items", "events or applications in them"),
    ("kinds[].latency_ms_*", "as above"),
    ("kinds[].from_sent_ms_*", "as above"),
    ("answers[].kind", "of requests"),
    ("answers[].verdict", "`good`, `refused`, `failed`"),
    ("answers[].status", "of HTTP"),
    ("answers[].count", "answers"),
    ("answers[].items", "events or applications in their requests"),
    ("answers[].without_retry_after", "refusals that do not say when to ask again"),
    ("answers[].latency_ms_*", "of these answers, from when their requests were due"),
    ("answers[].from_sent_ms_*", "of these answers, from when their requests were sent"),
    ("generator.lag_ms_*", "from when a request was due to when the generator looked at it"),
    ("generator.cpu_s", "CPU time of its threads"),
    ("limits[].limit", "as it was stated"),
    ("limits[].measured", "beside it"),
    ("limits[].holds", "whether it does"),
    ("search.highest_per_s", "the highest rate that held"),
    ("search.limited_by_generator", "whether the generator gave way above it"),
    ("search.steps[].offered_per_s", "requests that were due"),
    ("search.steps[].good_per_s", "answered as meant"),
    ("search.steps[].latency_ms_*", "`p50` and `p99` alone"),
    ("search.steps[].error_rate", "from 0 to 1"),
    ("search.steps[].holds", "whether the limits hold"),
    ("search.steps[].not_driven", "why the figures are `null`"),
    ("watched[].name", "a figure of the service"),
    ("watched[].unit", "of its values"),
    ("watched[].points[]", "pairs of seconds after the begin and a value"),
    ("watched[].trend", "why the run fails by it"),
    ("seconds[].is_warm_up", "left out of all other figures"),
    ("seconds[].due", "in this second"),
    ("seconds[].good", "of those"),
    ("seconds[].refused", "of those"),
    ("seconds[].failed", "of those, answered or not"),
    ("seconds[].latency_ms_*", "`p50`, `p99` and `max`; `null` where not driven"),
    ("seconds[].lag_ms_*", "`p99` and `max`: how late the generator was"),
];

/// The report as [`KEYS`] describe it.
pub fn json(report: &Report) -> Value {
    let (outcome, figures) = (report.outcome, Figures::of(report));
    let mut all = value!({
        "name": report.name,
        "target": report.target,
        "command": report.command,
        "scenario": report.scenario,
        "started_at": report.date(),
        "machine": Machine::here(),
        "duration_s": outcome.duration.as_secs_f64(),
        "holds": match report.conclusion() {
            Conclusion::Holds => Some(true),
            Conclusion::Missed => Some(false),
            Conclusion::NotDriven(_) => None,
        },
        "not_driven": figures.reasons,
        "due": outcome.due,
        "sent": outcome.sent,
        "answered": figures.answered,
        "good": figures.good,
        "refused": figures.refused,
        "failed": figures.answered - figures.good - figures.refused,
        "unsent": outcome.unsent,
        "skipped": outcome.skipped,
        "dropped": outcome.dropped,
        "unreadable": outcome.unreadable,
        "unanswered": outcome.unanswered,
        "closed_connections": outcome.closed,
        "due_per_s": figures.due_rate,
        "good_per_s": figures.good_rate.as_ref().ok(),
        "error_rate": figures.error_rate.as_ref().ok(),
        "kinds": figures.rows[usize::from(figures.rows.len() > 1)..].iter().map(kind).collect::<Vec<_>>(),
        "answers": answers(report),
        "generator": generator(report),
        "limits": report.limits.iter().map(|limit| {
            value!({ "limit": limit.limit, "measured": limit.measured, "holds": limit.holds })
        }).collect::<Vec<_>>(),
        "search": report.search.map(search),
        "watched": report.watched.iter().map(|series| {
            value!({ "name": series.name, "unit": series.unit, "points": series.points, "trend": series.trend })
        }).collect::<Vec<_>>(),
        "seconds": outcome.seconds.iter().map(second).collect::<Vec<_>>(),
    });
    add_times(&mut all, figures.all());
    all
}

fn kind(row: &Row) -> Value {
    let mut kind = value!({ "kind": row.kind, "good": row.count, "items": row.items });
    add_times(&mut kind, row);
    kind
}

fn answers(report: &Report) -> Vec<Value> {
    let outcome = report.outcome;
    let rows = outcome.answered.iter().map(|((kind, verdict, status), answers)| {
        let kind = outcome.kinds.get(*kind).map_or("?", String::as_str);
        let row = Row::of(outcome, kind, answers);
        let mut object = value!({
            "kind": row.kind,
            "verdict": verdict.to_string(),
            "status": status,
            "count": row.count,
            "items": row.items,
            "without_retry_after": answers.without_retry_after,
        });
        add_times(&mut object, &row);
        object
    });
    rows.collect()
}

fn generator(report: &Report) -> Value {
    let lag = &report.outcome.lag;
    let mut generator = value!({ "cpu_s": report.outcome.generator_cpu.as_secs_f64() });
    if let Some(object) = generator.as_object_mut() {
        add(object, "lag_ms", PERCENTILES.map(|(key, _, percent)| (key, Ok(lag.percentile(percent)))));
    }
    generator
}

fn search(search: &Search) -> Value {
    let steps = search.steps.iter().map(|step| {
        value!({
            "offered_per_s": step.offered,
            "good_per_s": told(step, step.good).ok(),
            "latency_ms_p50": step.p50.as_ref().ok().copied().map(millis),
            "latency_ms_p99": step.p99.as_ref().ok().copied().map(millis),
            "error_rate": told(step, step.error_rate).ok(),
            "holds": step.holds,
            "not_driven": step.not_driven.as_ref().map(ToString::to_string),
        })
    });
    value!({
        "highest_per_s": search.highest,
        "limited_by_generator": search.limited_by_generator,
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn second(second: &Second) -> Value {
    let times = Times::of(second);
    value!({
        "is_warm_up": second.is_warm_up,
        "due": second.due,
        "good": second.good,
        "refused": second.refused,
        "failed": second.failed,
        "latency_ms_p50": times.p50.map(millis),
        "latency_ms_p99": times.p99.map(millis),
        "latency_ms_max": times.max.map(millis),
        "lag_ms_p99": millis(second.lag_p99),
        "lag_ms_max": millis(second.lag_max),
    })
}

fn add_times(object: &mut Value, row: &Row) {
    let Some(object) = object.as_object_mut() else { return };
    for (name, all) in [("latency_ms", &row.from_due), ("from_sent_ms", &row.from_sent)] {
        add(object, name, PERCENTILES.iter().zip(all).map(|((key, ..), told)| (*key, told.clone())));
    }
}

fn add<'a>(object: &mut Map<String, Value>, name: &str, times: impl IntoIterator<Item = (&'a str, Told<Duration>)>) {
    for (key, told) in times {
        object.insert(format!("{name}_{key}"), told.ok().map(millis).into());
    }
}

/// To the microsecond, which is what is measured.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::example::Example;
    use super::*;

    /// The keys of a value, as [`KEYS`] writes them.
    fn keys(at: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| {
                let times = ["latency_ms_", "from_sent_ms_", "lag_ms_"].into_iter().find(|name| key.starts_with(name));
                let key = times.map_or(key.clone(), |name| format!("{name}*"));
                keys(&if at.is_empty() { key } else { format!("{at}.{key}") }, value, found);
            }),
            Value::Array(all) if all.first().is_none_or(Value::is_array) => drop(found.insert(format!("{at}[]"))),
            Value::Array(all) => all.iter().for_each(|value| keys(&format!("{at}[]"), value, found)),
            _ => drop(found.insert(at.to_owned())),
        }
    }

    #[test]
    fn every_key_is_described_and_there() {
        let mut found = BTreeSet::new();
        keys("", &json(&Example::mixed().report()), &mut found);
        assert_eq!(found, KEYS.iter().map(|(key, _)| (*key).to_owned()).collect());
    }

    #[test]
    fn figures_are_in_their_units() {
        let json = json(&Example::mixed().report());
        let table = [
            ("/due", value!(3060)),
            ("/answered", value!(3057)),
            ("/good", value!(3000)),
            ("/refused", value!(50)),
            ("/failed", value!(7)),
            ("/unsent", value!(3)),
            ("/due_per_s", value!(306.0)),
            ("/good_per_s", value!(300.0)),
            ("/latency_ms_p50", value!(2.0)),
            // The upper end of its bucket.
            ("/latency_ms_p99", value!(6.003)),
            ("/kinds/0/kind", value!("score")),
            ("/kinds/1/good", value!(1000)),
            ("/answers/0/status", value!(200)),
            ("/generator/lag_ms_p99", value!(0.04)),
            ("/search/steps/4/good_per_s", Value::Null),
            ("/search/steps/3/latency_ms_p99", value!(6.0)),
            ("/seconds/7/latency_ms_p99", value!(90.0)),
            ("/holds", value!(false)),
        ];
        for (pointer, should) in table {
            assert_eq!(json.pointer(pointer), Some(&should), "{pointer}");
        }
    }

    #[test]
    fn what_was_not_driven_is_null() {
        let late = json(&Example::late().report());
        assert_eq!((&late["latency_ms_p50"], &late["latency_ms_p99"]), (&value!(2.0), &Value::Null));
        assert_eq!(late["not_driven"].as_array().map(Vec::len), Some(3));
        let behind = json(&Example::behind().report());
        assert_eq!((&behind["good_per_s"], &behind["latency_ms_p50"]), (&Value::Null, &Value::Null));
        let nothing = json(&Example::new(&["score"]).report());
        assert_eq!((&nothing["error_rate"], &nothing["latency_ms_p99"]), (&Value::Null, &Value::Null));
        assert_eq!(nothing["not_driven"], value!([]));
    }
}
