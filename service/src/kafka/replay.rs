//! `cauce replay --topic`: what the topics hold, worked off again from an instant on, in the order in which the service works it off.
//!
//! Of the events topic the state is made anew, and its digest printed: that of a service which owns all partitions and has come as far. Of
//! the applications topic every application is scored again, against the history as it stood then, into another topic. Its records
//! are keyed by the place of the application and are byte for byte what the service writes, so another run replaces them.
//!
//! One slice of people after the other, on each core one: [`slice`] is the way of a slice, and the service's own.

mod slice;

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cauce_features::time::Timestamp;
use cauce_model::bundle::{Bundle, Limits};

use super::partitions::{At, Partition, Partitions};
use super::writing::Writer;
use super::{Cluster, ClusterError};
use crate::config::Config;
use crate::offline::progress;
use crate::store::{Bounds, StateDigest};
use crate::stream::Lane;
use slice::{Replaying, Span};

/// How long the brokers may take to acknowledge what was sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is worked off again.
pub(crate) struct TopicReplay<'a> {
    pub config: &'a Config,
    /// That of the events or that of the applications.
    pub topic: &'a str,
    /// Everything that is there, if not said.
    pub from: Option<Timestamp>,
    /// Where scores go.
    pub to: Option<&'a str>,
    /// Where the states of the slices lie meanwhile, and for good with `keep`.
    pub place: PathBuf,
    pub keep: bool,
    /// The instant that the digest is as of.
    pub as_of: Timestamp,
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub digest: StateDigest,
    pub people: usize,
    pub records: u64,
    pub scored: u64,
    /// Records that are no valid ones, or come at the wrong time.
    pub refused: u64,
}

impl TopicReplay<'_> {
    /// Works everything off, and returns once what was sent is acknowledged.
    pub(crate) fn run(&self) -> Result<Replayed, Box<dyn Error>> {
        let cluster = Cluster::of(&self.config.kafka)?;
        let rescores = self.check(&cluster)?;
        let bundle = Arc::new(Bundle::load(&self.config.model.bundle, &Limits::default())?);
        let spans = self.spans(&cluster, rescores)?;
        let writer = match rescores {
            true => Some(Writer::new(&cluster.producer("replay"), PATIENCE)?),
            false => None,
        };
        let bar = progress::items("replay", spans.iter().map(Span::records).sum());
        let replaying = Replaying {
            replay: self,
            cluster: &cluster,
            bundle,
            bounds: Bounds::from(&self.config.store),
            partitions: spans.len(),
            writer: writer.as_ref(),
            bar: &bar,
        };
        let replayed = on_all_cores(&replaying, &spans)?;
        if let Some(writer) = &writer {
            writer.acknowledged()?;
        }
        bar.finish_and_clear();
        Ok(replayed)
    }

    /// Whether applications are scored again.
    fn check(&self, cluster: &Cluster) -> Result<bool, Box<dyn Error>> {
        let settings = &cluster.settings;
        match (self.topic, self.to) {
            (topic, None) if topic == settings.events => Ok(false),
            (topic, Some(_)) if topic == settings.events => Err("`--to` goes with the applications topic".into()),
            (topic, _) if topic == settings.applications && self.keep => {
                Err("`--into` goes with the events topic".into())
            }
            (topic, None) if topic == settings.applications => {
                Err("`--to` names the topic that the scores are written to: it is needed with the applications topic"
                    .into())
            }
            (topic, Some(to)) if topic == settings.applications => {
                let own = [
                    &settings.events,
                    &settings.applications,
                    &settings.scores,
                    &settings.dead_letters,
                    &settings.deferred,
                ];
                if own.into_iter().any(|name| name == to) {
                    return Err(format!("`--to {to}` is a topic of the running service: name another one").into());
                }
                match Partitions::of_reader(cluster, "replay")?.of_topic(to) {
                    Err(ClusterError::NoTopic(_)) => {
                        Err(format!("the topic `{to}` is not there: create it, compacted if you like").into())
                    }
                    there => Ok(there.map(|_| true)?),
                }
            }
            (topic, _) => {
                let (events, applications) = (&settings.events, &settings.applications);
                Err(format!("`--topic` is `{events}` or `{applications}`, not `{topic}`").into())
            }
        }
    }

    /// What is read of each slice.
    fn spans(&self, cluster: &Cluster, rescores: bool) -> Result<Vec<Span>, Box<dyn Error>> {
        let (asking, group) = (Partitions::of_reader(cluster, "replay")?, Partitions::of_group(cluster)?);
        let topics = cluster.topics();
        let mut spans = vec![Span::default(); asking.of_topic(&topics[0])?.len()];
        for (lane, topic) in Lane::ALL.into_iter().zip(&topics) {
            let lane = lane as usize;
            let partitions: Vec<Partition> = asking.of_topic(topic)?;
            if partitions.len() != spans.len() {
                return Err(ClusterError::Uneven.into());
            }
            let ends = asking.offsets(&partitions, At::End)?;
            let starts = asking.offsets(&partitions, At::Beginning)?;
            let instants = match self.from {
                Some(instant) => asking.offsets(&partitions, At::Instant(instant))?,
                None => starts.clone(),
            };
            // A state that goes further than the group has committed is none that a service takes.
            let committed = if self.keep { group.committed(&partitions)? } else { vec![None; partitions.len()] };
            for (number, span) in spans.iter_mut().enumerate() {
                span.partition = number as i32;
                // To score as it was then takes all the history that there is.
                span.from[lane] = if rescores { starts[number] } else { instants[number] };
                span.to[lane] = committed[number].map_or(ends[number], |offset| offset.min(ends[number]));
                let is_scored = rescores && lane != Lane::Events as usize;
                span.state_only_before[lane] = if is_scored { instants[number] } else { i64::MAX };
            }
        }
        Ok(spans)
    }
}

/// Each core takes the next slice until there is none.
fn on_all_cores(replaying: &Replaying<'_>, spans: &[Span]) -> Result<Replayed, Box<dyn Error>> {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), String> {
        let mut worker = replaying.worker().map_err(|error| error.to_string())?;
        while let Some(span) = spans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let replayed = worker.slice(span).map_err(|error| {
                // Nobody begins another one.
                next.store(spans.len(), Ordering::Relaxed);
                format!("partition {}: {error}", span.partition)
            })?;
            all.lock().unwrap_or_else(PoisonError::into_inner).push(replayed);
        }
        Ok(())
    };
    let cores = thread::available_parallelism().map_or(1, usize::from).min(spans.len());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a replay does not panic"))
    })?;
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Replayed {
        digest: all.iter().map(|one| one.digest).sum(),
        people: all.iter().map(|one| one.people).sum(),
        records: all.iter().map(|one| one.records).sum(),
        scored: all.iter().map(|one| one.scored).sum(),
        refused: all.iter().map(|one| one.refused).sum(),
    })
}
