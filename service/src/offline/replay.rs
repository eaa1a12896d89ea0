//! `cauce replay`: the log applied again into a fresh state, by the functions that the service starts with, and the state's digest.
//!
//! With `--topic` it is the topics of Kafka that are worked off again: see [`TopicReplay`].
//!
//! A running service with the same log has the same digest as of the same instant (F1). With `--into` the state is kept: the service
//! takes it as its own when it is put in the place of `store.directory`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use cauce_features::plan::FeaturePlan;
use cauce_features::time::Timestamp;
use clap::Args;

use super::{plan_served, progress};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::admin::end_of_day;
use crate::ingest;
use crate::kafka::replay::{Replayed, TopicReplay};
use crate::log::embedded::ReadOnly;
use crate::log::{Position, ReadLog};
use crate::store::{Bounds, Embedded, Store};

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Replay {
    /// Where to begin: a position, or an instant (RFC 3339) from which on records arrived. Everything that is held, if not said.
    #[arg(long)]
    from: Option<String>,
    /// The instant that the digest is as of (RFC 3339); the end of this day (UTC), if not said.
    #[arg(long)]
    as_of: Option<String>,
    /// With Kafka, what to work off again: the events topic for the state, or the applications topic to score them all again.
    #[arg(long)]
    topic: Option<String>,
    /// The topic that scores are written to, keyed by the place of their application: another run replaces them.
    #[arg(long, value_name = "TOPIC", requires = "topic")]
    to: Option<String>,
    /// Keep the state in this directory, which must not be there yet.
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

impl Replay {
    /// Replays, and prints the digest.
    pub(crate) fn run(self, config: &Config) -> Result<ExitCode, Box<dyn Error>> {
        let plan = plan_served(config)?;
        let now = Clock::parse(&config.server.clock)?.now();
        let as_of = self.as_of.as_deref().map(Timestamp::parse).transpose()?.unwrap_or_else(|| end_of_day(now));
        if let Some(topic) = &self.topic {
            return self.replay_topic(config, topic, as_of, now);
        }
        if !config.kafka.brokers.is_empty() {
            return Err(format!("with `kafka.brokers`, say what to replay: `--topic {}`", config.kafka.events).into());
        }
        let log = ReadOnly::open(&config.log.directory, 0)?;
        if let Some(fault) = log.faults.first() {
            return Err(format!("the log is not whole: {fault}; `cauce verify` lists all").into());
        }
        let from = self.position(&log)?;
        if self.into.is_some() && from > log.range().start {
            return Err("`--into` keeps a whole state: leave `--from` out".into());
        }
        let place = Place::new(self.into.as_deref(), &config.store.directory)?;
        let store = Store::open(Arc::new(Embedded::open(place.path())?), Bounds::from(&config.store), &plan)?;
        let replayed = replay(&log, &store, &plan, from, now)?;
        println!(
            "digest {} as of {as_of}, {} people, {} records",
            store.digest(&plan, as_of)?,
            store.people(),
            replayed.records
        );
        if replayed.invalid > 0 {
            eprintln!("{} records are not valid under this specification and count nowhere", replayed.invalid);
        }
        if self.into.is_some() {
            store.checkpoint(&plan, log.range().end, now, || Ok(()))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn replay_topic(
        &self,
        config: &Config,
        topic: &str,
        as_of: Timestamp,
        now: Timestamp,
    ) -> Result<ExitCode, Box<dyn Error>> {
        let from = self.from.as_deref().map(Timestamp::parse).transpose();
        let from = from.map_err(|error| format!("with `--topic`, `--from` is an instant: {error}"))?;
        if self.into.is_some() && from.is_some() {
            return Err("`--into` keeps a whole state: leave `--from` out".into());
        }
        let place = Place::new(self.into.as_deref(), &config.store.directory)?;
        let (to, keep) = (self.to.as_deref(), self.into.is_some());
        let replay = TopicReplay { config, topic, from, to, place: place.path().to_owned(), keep, as_of, now };
        let Replayed { digest, people, records, scored, refused } = replay.run()?;
        match to {
            Some(to) => println!("{scored} applications scored again, written to {to}; {records} records"),
            None => println!("digest {digest} as of {as_of}, {people} people, {records} records"),
        }
        if refused > 0 {
            eprintln!("{refused} applications are dead letters under this specification and were not scored");
        }
        Ok(ExitCode::SUCCESS)
    }

    fn position(&self, log: &ReadOnly) -> Result<Position, Box<dyn Error>> {
        let Some(from) = &self.from else { return Ok(log.range().start) };
        if let Ok(position) = from.parse() {
            return Ok(Position(position).clamp(log.range().start, log.range().end));
        }
        let instant = Timestamp::parse(from)
            .map_err(|error| format!("`--from` is a position such as `1200`, or an instant: {error}"))?;
        Ok(log.position_at(instant)?)
    }
}

fn replay(
    log: &ReadOnly,
    store: &Store,
    plan: &FeaturePlan,
    from: Position,
    now: Timestamp,
) -> Result<ingest::Replayed, Box<dyn Error>> {
    let bar = progress::items("replay", log.range().end.0 - from.0);
    let replayed = ingest::replay(store, plan, log, from, now, |position| bar.set_position(position.0 - from.0))?;
    bar.finish_and_clear();
    Ok(replayed)
}

/// Where the fresh state lies: kept where that was asked for.
struct Place {
    path: PathBuf,
    keep: bool,
}

impl Place {
    fn new(into: Option<&Path>, state: &Path) -> Result<Self, Box<dyn Error>> {
        let path = match into {
            Some(into) if into.exists() => {
                return Err(format!("`{}` is there already: give a directory that is not", into.display()).into());
            }
            Some(into) => into.to_owned(),
            None => state.with_extension(format!("replay-{}", std::process::id())),
        };
        Ok(Self { path, keep: into.is_some() })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
