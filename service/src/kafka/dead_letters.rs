//! `cauce dead-letters`: what was refused and why, and sending it again once the reason is mended.
//!
//! A record is sent again as it was, bytes, key and headers, to the topic that it came from, and with the place where it stood first: an
//! application then has the score that it would have had there. That it was sent is written beside it: a record without a value
//! in the topic of dead letters, in the same transaction, whose header names the place there. So the topic itself says what is
//! still to be sent, and a second `replay`, or one after a crash, sends nothing twice. Never a key or a value is printed: they are
//! personal data.

mod letter;
mod resend;

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;

use cauce_features::time::Timestamp;
use clap::{Args, ValueEnum};

use super::partitions::{At, Partitions};
use super::reading::Range;
use super::{Cluster, ClusterError};
use crate::config::Config;
use letter::{Letter, Place, Read, read};
use resend::Resend;

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct DeadLetters {
    what: What,
    /// Only those with this reason; may be given several times.
    #[arg(long)]
    reason: Vec<String>,
    /// Only those that came from this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Only those that became dead letters at this instant (RFC 3339) or later.
    #[arg(long, value_parser = Timestamp::parse)]
    since: Option<Timestamp>,
    /// Only those that became dead letters before this instant (RFC 3339).
    #[arg(long, value_parser = Timestamp::parse)]
    until: Option<Timestamp>,
    /// List each one: its place, where it came from, its reason and the wrong fields.
    #[arg(long)]
    records: bool,
    /// Say what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Send those again too that were sent again before.
    #[arg(long)]
    again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Count them by reason.
    List,
    /// Send them to the topics that they came from, once.
    Replay,
}

impl DeadLetters {
    /// Lists or sends, and prints.
    pub(crate) fn run(self, config: &Config) -> Result<ExitCode, Box<dyn Error>> {
        let cluster = Cluster::of(&config.kafka)?;
        let topic = &cluster.settings.dead_letters;
        // First of all: it ends a transaction that another replay has left open, so that what is read next is the last word.
        let resend = match self.what {
            What::Replay if !self.dry_run => Some(Resend::new(&cluster)?),
            _ => None,
        };
        let range = Range::new(&cluster, topic, self.since.map_or(At::Beginning, At::Instant))?;
        let found = self.find(&range)?;
        if found.foreign > 0 {
            eprintln!("{} records of `{topic}` are no dead letters of Cauce and are left out", found.foreign);
        }
        match self.what {
            What::List => self.list(topic, &found),
            What::Replay => self.replay(&cluster, resend, &range, &found)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Reads all of the range, and keeps what was asked for.
    fn find(&self, range: &Range<'_>) -> Result<Found, Box<dyn Error>> {
        let mut found = Found::default();
        let mut reasons: BTreeMap<Rc<str>, usize> = BTreeMap::new();
        range.read(|record| {
            match read(record) {
                Read::Letter(letter) if self.until.is_none_or(|until| letter.at < until) => {
                    *reasons.entry(letter.reason.clone()).or_default() += 1;
                    if self.wants(&letter) {
                        let errors = if self.records { letter.errors } else { String::new() };
                        found.letters.push(Letter { errors, ..letter });
                    }
                }
                Read::Letter(_) => {}
                Read::Replayed(place) => _ = found.replayed.insert(place),
                Read::Foreign => found.foreign += 1,
            }
            Ok(())
        })?;
        for reason in &self.reason {
            if !reasons.contains_key(reason.as_str()) {
                let there: Vec<String> = reasons.keys().map(|reason| format!("`{reason}`")).collect();
                let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
                return Err(format!("no dead letter has the reason `{reason}`; those that are there: {there}").into());
            }
        }
        Ok(found)
    }

    fn wants(&self, letter: &Letter) -> bool {
        let is_one_of = self.reason.is_empty() || self.reason.iter().any(|reason| **reason == *letter.reason);
        is_one_of && self.topic.as_ref().is_none_or(|topic| **topic == *letter.topic)
    }

    fn list(&self, topic: &str, found: &Found) {
        if self.records {
            for letter in &found.letters {
                let replayed = if found.was_replayed(letter) { "  replayed" } else { "" };
                let Letter { place, at, reason, from, errors, .. } = letter;
                println!("{topic}/{place}  {at}  {}/{from}  {reason}  {errors}{replayed}", letter.topic);
            }
        }
        let mut counts: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
        for letter in &found.letters {
            let (all, replayed) = counts.entry((&letter.reason, &letter.topic)).or_default();
            *all += 1;
            *replayed += u64::from(found.was_replayed(letter));
        }
        println!("{:<18}  {:<24}  {:>10}  {:>10}", "reason", "topic", "records", "replayed");
        let (mut all_total, mut replayed_total) = (0, 0);
        for ((reason, topic), (all, replayed)) in counts {
            println!("{reason:<18}  {topic:<24}  {all:>10}  {replayed:>10}");
            (all_total, replayed_total) = (all_total + all, replayed_total + replayed);
        }
        println!("{:<18}  {:<24}  {all_total:>10}  {replayed_total:>10}", "total", "");
    }

    fn replay(
        &self,
        cluster: &Cluster,
        resend: Option<Resend<'_>>,
        range: &Range<'_>,
        found: &Found,
    ) -> Result<(), Box<dyn Error>> {
        let is_due = |letter: &&Letter| self.again || !found.was_replayed(letter);
        let due: HashSet<Place> = found.letters.iter().filter(is_due).map(|letter| letter.place).collect();
        let before = found.letters.len() - due.len();
        if before > 0 {
            println!("{before} were replayed before and are left out (`--again` sends them too)");
        }
        let Some(mut resend) = resend.filter(|_| !due.is_empty()) else {
            println!("{} to replay{}", due.len(), if self.dry_run { ", none sent (`--dry-run`)" } else { "" });
            return Ok(());
        };
        require_topics(cluster, found)?;
        let sent = range.read(|record| match due.contains(&Place::of(record)) {
            true => resend.add(record.detach()),
            false => Ok(()),
        });
        match sent.and_then(|()| resend.finish()) {
            Ok(()) => println!("{}", resend.sent),
            Err(error) => return Err(format!("{error}; before that: {}", resend.sent).into()),
        }
        // A transaction is seen a moment after it is committed, and before a successor is let in.
        drop(Resend::new(cluster)?);
        Ok(())
    }
}

/// What is there of what was asked for.
#[derive(Default)]
struct Found {
    letters: Vec<Letter>,
    replayed: HashSet<Place>,
    foreign: u64,
}

impl Found {
    fn was_replayed(&self, letter: &Letter) -> bool {
        self.replayed.contains(&letter.place)
    }
}

/// Everything can be sent, or nothing is.
fn require_topics(cluster: &Cluster, found: &Found) -> Result<(), ClusterError> {
    let asking = Partitions::of_reader(cluster, "dead-letters")?;
    let topics: HashSet<&str> = found.letters.iter().map(|letter| &*letter.topic).collect();
    topics.into_iter().try_for_each(|topic| asking.of_topic(topic).map(drop))
}
