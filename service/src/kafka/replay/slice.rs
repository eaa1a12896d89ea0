//! The way of one slice through a replay: its three lanes are read side by side, and worked off as the service does it.

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cauce_model::bundle::Bundle;
use cauce_model::onnx::OnnxModel;
use indicatif::ProgressBar;
use rdkafka::producer::BaseRecord;

use super::{Replayed, TopicReplay};
use crate::kafka::reading::Reader;
use crate::kafka::worker::{reached, record_of};
use crate::kafka::writing::{Writer, headers_of};
use crate::kafka::{Cluster, header};
use crate::scoring::Batch;
use crate::store::{Bounds, Embedded, Store};
use crate::stream::output::{Output, To};
use crate::stream::{Lane, Slice};

/// What waits at most in one lane.
const LANE_RECORDS: usize = 5_000;
const LANE_BYTES: usize = 16 << 20;

/// What is read of a slice, by lane.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub partition: i32,
    pub from: [i64; 3],
    pub to: [i64; 3],
    /// Records before it make state, and nothing is written for them.
    pub state_only_before: [i64; 3],
}

/// What all workers share.
pub(super) struct Replaying<'a> {
    pub replay: &'a TopicReplay<'a>,
    pub cluster: &'a Cluster,
    pub bundle: Arc<Bundle>,
    pub bounds: Bounds,
    /// How many slices share the bounds.
    pub partitions: usize,
    pub writer: Option<&'a Writer>,
    pub bar: &'a ProgressBar,
}

/// Works off one slice after the other, on one thread.
pub(super) struct Worker<'a> {
    shared: &'a Replaying<'a>,
    topics: Arc<[String; 3]>,
    readers: [Reader; 3],
    batch: Batch,
}

impl Span {
    /// How many records it may be.
    pub(super) fn records(&self) -> u64 {
        self.to.iter().zip(self.from).map(|(to, from)| (to - from).max(0) as u64).sum()
    }
}

impl<'a> Replaying<'a> {
    /// A worker for one thread.
    pub(super) fn worker(&'a self) -> Result<Worker<'a>, Box<dyn Error>> {
        let topics = self.cluster.topics();
        let [events, applications, deferred] = &topics;
        let reader = |topic: &String| Reader::new(self.cluster, topic);
        let readers = [reader(events)?, reader(applications)?, reader(deferred)?];
        let batch = Batch::new(self.bundle.clone(), OnnxModel::new(&self.bundle)?);
        Ok(Worker { shared: self, topics: Arc::new(topics), readers, batch })
    }
}

impl Worker<'_> {
    /// Works off a slice from a fresh state.
    pub(super) fn slice(&mut self, span: &Span) -> Result<Replayed, Box<dyn Error>> {
        let Replaying { replay, bundle, bounds, partitions, .. } = self.shared;
        let (plan, partition) = (bundle.plan(), span.partition);
        let directory = replay.place.join(format!("partition-{partition}"));
        let state = Embedded::open_slice(&directory, *partitions, Embedded::BLOCK_CACHE)?;
        let store = Arc::new(Store::open(Arc::new(state), bounds.shared_by(*partitions), plan)?);
        let waited = self.waited(span)?;
        let replayed = self.work(Slice::new(partition, store.clone(), self.topics.clone(), span.from), span, waited)?;
        let digest = store.digest(plan, replay.as_of)?;
        if replay.keep {
            store.checkpoint(plan, reached(span.to), replay.now, || Ok(()))?;
        }
        Ok(Replayed { digest, people: store.people(), ..replayed })
    }

    fn work(&mut self, mut slice: Slice, span: &Span, mut waited: HashSet<Bytes>) -> Result<Replayed, Box<dyn Error>> {
        for lane in Lane::ALL {
            slice.queue(lane).state_only_before = span.state_only_before[lane as usize];
            self.readers[lane as usize].start(span.partition, span.from[lane as usize], span.to[lane as usize])?;
        }
        let (mut replayed, rules) = (Replayed::default(), self.shared.cluster.rules(false, usize::MAX));
        while !slice.is_idle() || self.readers.iter().any(|reader| !reader.is_at_end()) {
            for lane in Lane::ALL {
                self.fill(&mut slice, lane)?;
            }
            let worked = slice.work(&mut self.batch, &rules, &mut |_, _, _| ());
            if let Some(error) = worked.stuck {
                return Err(error.into());
            }
            self.make_room(&slice)?;
            replayed.records += worked.records;
            replayed.refused += worked.refused.iter().map(|(.., count)| count).sum::<u64>();
            for output in worked.outputs.iter().filter(|output| output.to == To::Scores) {
                if !waited.remove(id_of(output)) {
                    self.send(output)?;
                    replayed.scored += 1;
                }
            }
            self.shared.bar.inc(worked.records);
        }
        Ok(replayed)
    }

    /// Reads on in a lane until it has enough in hand, has at least one record while the others may wait for that, or is at its end.
    fn fill(&mut self, slice: &mut Slice, lane: Lane) -> Result<(), Box<dyn Error>> {
        let (reader, queue) = (&mut self.readers[lane as usize], slice.queue(lane));
        while !reader.is_at_end() {
            let (records, bytes) = queue.waiting();
            if records >= LANE_RECORDS || bytes >= LANE_BYTES {
                return Ok(());
            }
            let patience = if records == 0 { Duration::from_millis(100) } else { Duration::ZERO };
            match reader.poll(patience)? {
                Some(record) => queue.push(record_of(&record)),
                None if records > 0 => return Ok(()),
                None => {}
            }
        }
        queue.is_at_end = true;
        Ok(())
    }

    /// What does not fit into memory goes to disk.
    fn make_room(&self, slice: &Slice) -> Result<(), Box<dyn Error>> {
        if slice.store.is_over_budget() {
            let plan = self.shared.bundle.plan();
            slice.store.checkpoint(plan, reached(slice.next()), self.shared.replay.now, || Ok(()))?;
            slice.store.shrink(plan);
        }
        Ok(())
    }

    /// The ids of applications that were not scored where they stood first but had to wait: they are scored when their second turn comes.
    fn waited(&mut self, span: &Span) -> Result<HashSet<Bytes>, Box<dyn Error>> {
        let (mut waited, deferred) = (HashSet::new(), Lane::Deferred as usize);
        if self.shared.writer.is_none() {
            return Ok(waited);
        }
        let first_scored = span.state_only_before[Lane::Applications as usize];
        let reader = &mut self.readers[deferred];
        reader.start(span.partition, span.from[deferred], span.to[deferred])?;
        while !reader.is_at_end() {
            let Some(record) = reader.poll(Duration::from_millis(100))? else { continue };
            let record = record_of(&record);
            let place = [header::TOPIC, header::PARTITION, header::OFFSET].map(|name| record.header(name));
            if let [Some(topic), Some(partition), Some(offset)] = place
                && offset.parse::<i64>().is_ok_and(|offset| offset >= first_scored)
            {
                waited.insert(Bytes::from(format!("{topic}/{partition}/{offset}")));
            }
        }
        Ok(waited)
    }

    fn send(&self, score: &Output) -> Result<(), Box<dyn Error>> {
        let (Some(writer), Some(to)) = (self.shared.writer, self.shared.replay.to) else { return Ok(()) };
        let mut record = BaseRecord::to(to).headers(headers_of(score)).key(&id_of(score)[..]);
        record.payload = score.value.as_deref();
        Ok(writer.send(record)?)
    }
}

/// The place of the application that a score is of.
fn id_of(score: &Output) -> &Bytes {
    let id = score.headers.iter().find(|(name, _)| name == header::ID);
    &id.expect("every score has its id in a header").1
}
