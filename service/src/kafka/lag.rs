//! `cauce lag`: how far the group is behind, partition by partition, how fast it works, and what that looks like.
//!
//! Asked twice, some seconds apart, for rates. What is made of the answers, [`estimate`], is pure.

mod estimate;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::Cluster;
use super::partitions::{At, Partition, Partitions};
use crate::config::{self, Config};
use estimate::{CatchUp, Seen, Work, hint, total};

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Lag {
    /// How long to watch for the rates.
    #[arg(long, default_value = "2s", value_parser = duration)]
    interval: config::Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<config::Duration, String> {
    config::Duration::try_from(text.to_owned())
}

impl Lag {
    /// Asks twice, and prints; ends with 1 where the group does not get ahead.
    pub(crate) fn run(self, config: &Config) -> Result<ExitCode, Box<dyn Error>> {
        let cluster = Cluster::of(&config.kafka)?;
        let (group, ends) = (Partitions::of_group(&cluster)?, Partitions::of_reader(&cluster, "lag")?);
        let settings = &cluster.settings;
        let mut partitions: Vec<Partition> = Vec::new();
        for topic in [&settings.events, &settings.applications, &settings.deferred] {
            partitions.extend(ends.of_topic(topic)?);
        }
        let (first, since) = (look(&group, &ends, &partitions)?, Instant::now());
        thread::sleep(self.interval.get());
        let (second, starts) = (look(&group, &ends, &partitions)?, ends.offsets(&partitions, At::Beginning)?);
        let seconds = since.elapsed().as_secs_f64();
        let work: Vec<Work> = (0..partitions.len())
            .map(|index| Seen {
                partition: partitions[index].number,
                start: starts[index],
                committed: [first.committed[index], second.committed[index]],
                end: [first.ends[index], second.ends[index]],
            })
            .map(|seen| Work::of(&seen, seconds))
            .collect();
        let members = group.members(&settings.group).ok();
        let hint = hint(&work, members);
        match self.json {
            true => println!("{:#}", as_json(settings, &partitions, &work, seconds, members, &hint)),
            false => print(&partitions, &work, &format!("{hint}")),
        }
        Ok(if hint.is_wrong() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// What the brokers say at one time.
struct Look {
    committed: Vec<Option<i64>>,
    ends: Vec<i64>,
}

/// What is committed first: an offset that is committed later than the end was asked for could lie behind it.
fn look(group: &Partitions, ends: &Partitions, partitions: &[Partition]) -> Result<Look, Box<dyn Error>> {
    Ok(Look { committed: group.committed(partitions)?, ends: ends.offsets(partitions, At::End)? })
}

fn print(partitions: &[Partition], work: &[Work], hint: &str) {
    let width = partitions.iter().map(|partition| partition.topic.len()).max().unwrap_or(0).max("topic".len());
    let columns = ["partition", "committed", "end", "lag", "committed/s", "produced/s", "caught up in"];
    print!("{:<width$}", "topic");
    columns.iter().for_each(|column| print!("  {column:>12}"));
    println!();
    for (partition, work) in partitions.iter().zip(work) {
        let committed = work.committed.map_or("-".to_owned(), |offset| offset.to_string());
        row(&partition.topic, width, &partition.number.to_string(), &committed, &work.end.to_string(), work);
    }
    row("total", width, "", "", "", &total(work));
    println!("\n{hint}");
}

fn row(topic: &str, width: usize, partition: &str, committed: &str, end: &str, work: &Work) {
    println!(
        "{topic:<width$}  {partition:>12}  {committed:>12}  {end:>12}  {:>12}  {:>12.1}  {:>12.1}  {:>12}",
        work.lag,
        work.committed_per_s,
        work.produced_per_s,
        work.catch_up().to_string()
    );
}

fn as_json(
    settings: &config::Kafka,
    partitions: &[Partition],
    work: &[Work],
    seconds: f64,
    members: Option<usize>,
    hint: &estimate::Hint,
) -> Value {
    let rates = |work: &Work| {
        let caught_up = match work.catch_up() {
            CatchUp::In(seconds) => json!(seconds),
            CatchUp::Never => Value::Null,
        };
        json!({
            "lag": work.lag,
            "committed_per_s": work.committed_per_s,
            "produced_per_s": work.produced_per_s,
            "caught_up_in_s": caught_up,
        })
    };
    let one = |(partition, work): (&Partition, &Work)| {
        let mut one = rates(work);
        one["topic"] = json!(partition.topic);
        one["partition"] = json!(partition.number);
        one["committed"] = json!(work.committed);
        one["end"] = json!(work.end);
        one
    };
    json!({
        "group": settings.group,
        "members": members,
        "watched_s": seconds,
        "partitions": partitions.iter().zip(work).map(one).collect::<Vec<_>>(),
        "total": rates(&total(work)),
        "hint": { "code": hint.code(), "text": hint.to_string(), "is_wrong": hint.is_wrong() },
    })
}
