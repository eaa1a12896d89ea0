//! A scenario: what is offered to whom, at which times, as a TOML file says it.
//!
//! ```toml
//! name = "mixed"
//! target = "http://127.0.0.1:8080"
//! seed = 7
//! connections = 64        # kept open; a request that is due while none is free waits for one
//! arrivals = "poisson"    # or "constant"
//!
//! [load]
//! shape = "steady"        # or "ramp", "steps", "burst", "soak"
//! rate = 2000             # requests a second
//! duration = "30s"
//! warm_up = "5s"          # before it, and in no figure
//!
//! [people]
//! count = 10000
//! zipf = 1.0              # 0 = all alike
//!
//! [[traffic]]
//! kind = "score"          # or "batch", "events", "replay"
//! weight = 8
//! repeated = 0.2
//!
//! [[traffic]]
//! kind = "events"
//! weight = 2
//! size = 20
//! late = 0.05
//!
//! [limits]                # what a run is held to: exit status 1 beyond
//! p99 = "5ms"
//! error_rate = 0
//! ```
//!
//! The files in `loadtest/scenarios` show every key. All that is wrong with a file is said at once, each where it stands.

mod kinds;
mod load;
mod read;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use cauce_features::spec::SpecErrors;
use cauce_features::spec::source::Section;
use cauce_features::time::Timestamp;
use serde::Deserialize;

pub use kinds::{Applications, Events, Kind, Replay, What};
pub use load::Load;

use crate::limits::Limits;
use crate::schedule::{Pace, Schedule};
use crate::watch::Watch;
use read::Reader;

/// A scenario that holds together.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    pub name: String,
    /// The file as it was read, but for the values of headers, which may be secrets.
    pub text: String,
    /// What the files that it names count from.
    pub directory: PathBuf,
    pub target: Target,
    pub seed: u64,
    pub arrivals: Pace,
    pub connections: usize,
    pub threads: usize,
    /// Requests that may wait for a connection.
    pub waiting: usize,
    /// How long an answer, or a connection, is waited for.
    pub patience: Duration,
    /// Where the service's own clock stands still.
    pub clock: Option<Timestamp>,
    pub load: Load,
    pub people: People,
    pub traffic: Vec<Kind>,
    pub limits: Limits,
    /// What is looked at meanwhile; in a soak also without its section.
    pub watch: Option<Watch>,
}

/// Where the load goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host and port: what stands in `Host`.
    pub authority: String,
}

/// Whose applications and events they are.
#[derive(Debug, Clone, PartialEq)]
pub struct People {
    pub count: u64,
    /// The exponent of Zipf's law: person n is met in proportion to n^-zipf.
    pub zipf: f64,
    /// Makes the people; those of `cauce-loadtest simulate` with the same seed.
    pub seed: u64,
}

/// The scenarios that the command brings: their names and texts.
pub const BUILT_IN: [(&str, &str); 9] = [
    ("score", include_str!("../scenarios/score.toml")),
    ("repeats", include_str!("../scenarios/repeats.toml")),
    ("batch", include_str!("../scenarios/batch.toml")),
    ("events", include_str!("../scenarios/events.toml")),
    ("mixed", include_str!("../scenarios/mixed.toml")),
    ("burst", include_str!("../scenarios/burst.toml")),
    ("steps", include_str!("../scenarios/steps.toml")),
    ("soak", include_str!("../scenarios/soak.toml")),
    ("other-scorer", include_str!("../scenarios/other-scorer.toml")),
];

const KEYS: [&str; 14] = [
    "name",
    "target",
    "seed",
    "arrivals",
    "connections",
    "threads",
    "waiting",
    "patience",
    "clock",
    "load",
    "people",
    "traffic",
    "limits",
    "watch",
];

/// The largest scenario, in bytes.
const TEXT_MOST: usize = 1 << 20;

const PACES: [(&str, Pace); 2] = [("poisson", Pace::Poisson), ("constant", Pace::Constant)];

impl Scenario {
    /// Reads a scenario; `origin` is what errors call it, `directory` where the files that it names are looked for.
    pub fn parse(origin: &str, text: &str, directory: impl Into<PathBuf>) -> Result<Self, SpecErrors> {
        let mut reader = Reader::new(text);
        if text.len() > TEXT_MOST {
            reader.refuse(0, "a scenario is at most 1 MiB long");
            return Err(reader.source.into_errors(origin));
        }
        let document = reader.source.document();
        if !reader.source.is_right() {
            return Err(reader.source.into_errors(origin));
        }
        match read(&mut reader, Section { table: &document, at: 0 }, directory.into()) {
            Some(scenario) if reader.source.is_right() => Ok(scenario),
            _ => Err(reader.source.into_errors(origin)),
        }
    }

    /// When requests are due. `requests` ends it, where a file is sent once.
    pub fn schedule(&self, requests: Option<u64>) -> Schedule {
        match (&self.load, requests) {
            (Load::Steady { rate, .. }, Some(requests)) => Load::exactly(requests, *rate, self.arrivals, self.seed),
            (load, _) => load.schedule(self.arrivals, self.seed),
        }
    }
}

impl Target {
    /// Reads `http://host:port`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("a target is `http://HOST:PORT`, without a path and without TLS, not `{text}`");
        let authority = text.strip_prefix("http://").ok_or_else(wrong)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, 80_u16),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if host.is_empty() || port == 0 || !host.bytes().all(is_host) {
            return Err(wrong());
        }
        Ok(Self { authority: format!("{host}:{port}") })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// What could be read; whatever is missing in it has been noted as wrong.
fn read(reader: &mut Reader<'_>, file: Section<'_>, directory: PathBuf) -> Option<Scenario> {
    reader.source.only(file, &KEYS);
    reader.require(file, "name");
    let name = reader.text(file, "name", |text| Ok(text.to_owned()));
    let target = reader.text(file, "target", Target::parse);
    let seed = reader.count(file, "seed", 0..=u64::MAX).unwrap_or(1);
    let connections = reader.count(file, "connections", 1..=20_000).unwrap_or(64) as usize;
    let threads = reader.count(file, "threads", 1..=256).unwrap_or(1) as usize;
    let clock = reader.text(file, "clock", |text| Timestamp::parse(text).map_err(|error| error.to_string()));
    let traffic = kinds::read(reader, file);
    let is_once = |kind: &Kind| matches!(&kind.what, What::Replay(replay) if replay.once);
    let load = load::read(reader, file, traffic.iter().any(is_once));
    let scenario = Scenario {
        name: name?,
        text: reader.told(),
        directory,
        target: target.unwrap_or_else(|| Target { authority: "127.0.0.1:8080".to_owned() }),
        seed,
        arrivals: reader.word(file, "arrivals", &PACES).unwrap_or_default(),
        connections,
        threads,
        waiting: reader.count(file, "waiting", 0..=10_000_000).unwrap_or(100_000) as usize,
        patience: reader.duration(file, "patience").unwrap_or(Duration::from_secs(10)),
        clock,
        load: load?,
        people: people(reader, file, seed),
        traffic,
        limits: limits(reader, file),
        watch: watch(reader, file),
    };
    if scenario.threads > scenario.connections {
        reader.refuse(file.at, "each of the `threads` needs one of the `connections`");
    }
    Some(scenario)
}

fn people(reader: &mut Reader<'_>, file: Section<'_>, seed: u64) -> People {
    let default = People { count: 10_000, zipf: 0.0, seed };
    let Some(section) = reader.source.section(file, "people") else { return default };
    reader.source.only(section, &["count", "zipf", "seed"]);
    People {
        count: reader.count(section, "count", 1..=1_000_000_000).unwrap_or(default.count),
        zipf: reader.number(section, "zipf", 0.0..=10.0).unwrap_or(default.zipf),
        seed: reader.count(section, "seed", 0..=u64::MAX).unwrap_or(seed),
    }
}

fn limits(reader: &mut Reader<'_>, file: Section<'_>) -> Limits {
    let Some(section) = reader.source.section(file, "limits") else { return Limits::default() };
    reader.source.only(section, &["p50", "p99", "p999", "error_rate", "rate"]);
    Limits {
        p50: reader.duration(section, "p50"),
        p99: reader.duration(section, "p99"),
        p999: reader.duration(section, "p999"),
        error_rate: reader.share(section, "error_rate"),
        rate: reader.number(section, "rate", 0.0..=1e9),
    }
}

fn watch(reader: &mut Reader<'_>, file: Section<'_>) -> Option<Watch> {
    #[derive(Deserialize)]
    struct Only {
        watch: Watch,
    }
    let Some(section) = reader.source.section(file, "watch") else { return load::is_soak(file).then(Watch::default) };
    reader.source.only(section, &["page", "every", "settle", "p99_tolerance", "series"]);
    for series in reader.source.tables(section, "series") {
        reader.source.only(series, &["name", "metric", "per", "unit", "tolerance"]);
    }
    match toml::from_str::<Only>(reader.source.text) {
        Ok(only) => Some(only.watch),
        // An unknown key has been noted, with the word that was probably meant.
        Err(error) if error.message().contains("unknown field") => None,
        Err(error) => {
            let at = error.span().map_or(section.at, |span| span.start);
            reader.refuse(at, error.message().trim_end());
            None
        }
    }
}
