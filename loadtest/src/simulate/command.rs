//! `cauce-loadtest simulate`: a made-up bank into files, a pipe or Kafka.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use cauce_features::time::Timestamp;
use clap::{ArgGroup, Args};
use indicatif::{ProgressBar, ProgressStyle};

use super::counts::Counts;
use super::error::{DAYS_MOST, Error};
use super::faults::Faults;
use super::kafka::{self, Producing, Target};
use super::live::{self, Pipe};
use super::run::{Order, PERSON_DAYS_AT_ONCE, Run};
use super::{Bank, files};
use crate::cli::share;

/// Make up a bank: people with a hidden propensity to default, their events and applications, as files, a stream or records of Kafka.
///
/// The same seed gives the same bytes. A directory gets `events.ndjson` and `applications.ndjson`, which `cauce backfill` reads, and
/// `people.ndjson` and `labels.ndjson` with what nobody sees.
///
/// A service whose clock is today's refuses what is older than its horizon, and what is yet to come: for one that takes the stream, from
/// `--out -` or by `--kafka`, let `--from` and `--to` give a history that ends about now.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("destination").args(["out", "kafka"]).required(true)))]
pub struct Simulate {
    /// How many people there are. A day of all of them is held in memory.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=PERSON_DAYS_AT_ONCE))]
    people: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first instant of the history: a date (its begin in UTC), or a time with its offset.
    #[arg(long, default_value = "2025-10-01", value_parser = instant)]
    from: Timestamp,
    /// The instant at which the history ends.
    #[arg(long, default_value = "2026-07-01", value_parser = instant)]
    to: Timestamp,
    /// A directory for the files; or `-` for events on standard output, in the order of their arrival, as `/v1/events/batch` takes them.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Brokers (`host:port,…`) to send everything to, in the order of its arrival and keyed by person.
    #[arg(long, value_name = "BROKERS")]
    kafka: Option<String>,
    /// The topic of events.
    #[arg(long, default_value = "cauce.events", requires = "kafka")]
    topic: String,
    /// The topic of applications.
    #[arg(long, default_value = "cauce.applications", requires = "kafka")]
    applications_topic: String,
    /// A file of further properties of librdkafka, as the service's `kafka.properties`: lines like `security.protocol=SSL`.
    #[arg(long, value_name = "FILE", requires = "kafka")]
    kafka_properties: Option<PathBuf>,
    /// At most so many records a second, to standard output or to Kafka; as fast as it goes without.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// No applications.
    #[arg(long)]
    events_only: bool,
    /// Share of transactions that arrive up to a day and a half late, from 0 to 1.
    #[arg(long, default_value_t = 0.05, value_parser = share)]
    late_share: f64,
    /// Share of records that come once more.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    duplicate_share: f64,
    /// Share of records behind which a copy comes that nobody can use.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    invalid_share: f64,
}

impl Simulate {
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let begin = Instant::now();
        let run = self.as_run()?;
        let style = ProgressStyle::with_template("{msg:12} {wide_bar} {percent} % {eta}")?;
        // Where nobody watches it draws nothing.
        let bar = ProgressBar::new(run.slices().into()).with_style(style).with_message("simulating");
        let made = self.make(&run, || bar.inc(1));
        bar.finish_and_clear();
        match made {
            Ok(counts) => eprintln!("{}", counts.told(self.people, begin.elapsed())),
            Err(Error::NobodyReads) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn as_run(&self) -> Result<Run, Error> {
        let bank = Bank { seed: self.seed, start: self.from, end: self.to };
        match bank.days() {
            0 => return Err(Error::Days),
            days if days > DAYS_MOST => return Err(Error::TooManyDays(days)),
            _ => {}
        }
        let is_live = self.kafka.is_some() || self.is_pipe();
        if self.rate.is_some() && !is_live {
            return Err(Error::Rate);
        }
        Ok(Run {
            bank,
            people: self.people,
            late_share: self.late_share,
            order: if is_live { Order::Arrival } else { Order::Time },
            threads: thread::available_parallelism().map_or(1, usize::from),
        })
    }

    fn is_pipe(&self) -> bool {
        self.out.as_deref() == Some(Path::new("-"))
    }

    fn make(&self, run: &Run, progress: impl FnMut()) -> Result<Counts, Error> {
        let faults =
            Faults { seed: self.seed, duplicate_share: self.duplicate_share, invalid_share: self.invalid_share };
        match (&self.kafka, &self.out) {
            (Some(brokers), _) => {
                let mut producing = Producing::new(Target {
                    brokers: brokers.clone(),
                    events: self.topic.clone(),
                    applications: (!self.events_only).then(|| self.applications_topic.clone()),
                    properties: self
                        .kafka_properties
                        .as_deref()
                        .map(kafka::properties)
                        .transpose()?
                        .unwrap_or_default(),
                })?;
                live::send(run, &faults, self.events_only, self.rate, &mut producing, progress)
            }
            (None, Some(directory)) if !self.is_pipe() => {
                files::write(run, &faults, self.events_only, directory, progress)
            }
            // One stream of lines has one kind of them.
            _ => {
                let mut pipe = Pipe(BufWriter::with_capacity(1 << 16, io::stdout().lock()));
                live::send(run, &faults, true, self.rate, &mut pipe, progress)
            }
        }
    }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time =
        Timestamp::parse(&whole).map_err(|error| format!("{error}; a date alone, as `2026-01-15`, is its begin"))?;
    // Records are in whole seconds.
    if time.millis() % 1_000 == 0 { Ok(time) } else { Err("a history begins and ends with a whole second".to_owned()) }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e9).contains(rate));
    rate.ok_or_else(|| "a rate is a number of records a second from 0.001 to 1000000000, as `500`".to_owned())
}
