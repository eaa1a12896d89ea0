//! The segments of a log, oldest first, and everything that is read from them.

use std::io;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;

use cauce_features::time::Timestamp;
use parking_lot::RwLock;
use serde::Deserialize;

use super::manifest::Manifest;
use super::record::RecordRef;
use super::segment::Segment;
use super::{Erasures, Kind, Pending, Position, Record};

/// Records handed over at once.
const BATCH: usize = 4096;

/// A log as it is read.
pub(super) struct Segments {
    pub(super) directory: PathBuf,
    pub(super) manifest: Manifest,
    /// Never empty in a log that is served; the last one is being written.
    list: RwLock<Vec<Arc<Segment>>>,
    /// Erasures of which records may still be in a segment.
    erasures: RwLock<Vec<(Position, u128)>>,
}

impl Segments {
    pub(super) fn new(directory: PathBuf, manifest: Manifest, list: Vec<Arc<Segment>>) -> io::Result<Self> {
        let new = Self { directory, manifest, list: RwLock::new(list), erasures: RwLock::default() };
        for erasure in new.erasures_held() {
            for segment in new.all() {
                if new.concerns(&segment, &[erasure])? {
                    new.remember_erasure(erasure.0, erasure.1);
                    break;
                }
            }
        }
        Ok(new)
    }

    /// All segments as they are now.
    pub(super) fn all(&self) -> Vec<Arc<Segment>> {
        self.list.read().clone()
    }

    /// Adds the segment that is written from now on.
    pub(super) fn push(&self, segment: Arc<Segment>) {
        let mut list = self.list.write();
        // One that never got a durable record gives way to its successor of the same name.
        list.retain(|known| known.first != segment.first);
        list.push(segment);
    }

    /// Puts a segment in the place of the one that begins where it does.
    pub(super) fn replace(&self, segment: Arc<Segment>) {
        if let Some(place) = self.list.write().iter_mut().find(|known| known.first == segment.first) {
            *place = segment;
        }
    }

    /// Lets the oldest segments go.
    pub(super) fn drop_before(&self, first: Position) {
        self.list.write().retain(|segment| segment.first >= first);
    }

    /// The oldest position held, and the one behind the newest durable record.
    pub(super) fn range(&self) -> Range<Position> {
        let list = self.list.read();
        let first = list.first().map_or(self.manifest.first, |segment| segment.first);
        first..list.last().map_or(first, |segment| segment.end())
    }

    /// Remembers that what stands of a person before a position is to be taken out.
    pub(super) fn remember_erasure(&self, position: Position, hash: u128) {
        self.erasures.write().push((position, hash));
    }

    pub(super) fn erasures(&self) -> Vec<(Position, u128)> {
        self.erasures.read().clone()
    }

    /// Every erasure that the log holds, whether or not its records are gone.
    pub(super) fn erasures_of_all(&self) -> Erasures {
        let manifest = self.manifest.clone();
        Erasures::new(self.erasures_held(), Box::new(move |person| manifest.erasure_hash(person)))
    }

    fn erasures_held(&self) -> Vec<Pending> {
        self.all().iter().flat_map(|segment| segment.extent.read().erasures.clone()).collect()
    }

    /// Remembers those that stand at or behind a position.
    pub(super) fn remember_erasures_since(&self, position: Position) {
        let held = self.erasures_held();
        let mut pending = self.erasures.write();
        for erasure in held.into_iter().filter(|erasure| erasure.0 >= position) {
            if !pending.contains(&erasure) {
                pending.push(erasure);
            }
        }
    }

    /// Nothing of these is left in any segment.
    pub(super) fn forget_erasures(&self, done: &[(Position, u128)]) {
        self.erasures.write().retain(|erasure| !done.contains(erasure));
    }

    /// Hands over records from a position on, in order, in batches.
    pub(super) fn read(&self, from: Position, take: &mut dyn FnMut(Vec<Record>) -> ControlFlow<()>) -> io::Result<()> {
        for segment in self.all().into_iter().filter(|segment| segment.end() > from) {
            let (position, offset) = segment.mark_before(|mark| mark.position > from);
            let end = segment.extent.read().bytes;
            let (mut batch, mut stopped) = (Vec::with_capacity(BATCH), false);
            let scan = segment.scan(offset..end, position, &mut |record, _| {
                if record.position >= from {
                    batch.push(record.to_record());
                }
                if batch.len() == BATCH {
                    stopped = take(std::mem::take(&mut batch)).is_break();
                }
                Ok(!stopped)
            })?;
            if let Some(damage) = scan.damages.first().filter(|damage| damage.to.is_none_or(|to| to > from)) {
                return Err(segment.damaged(damage.offset));
            }
            if stopped || (!batch.is_empty() && take(batch).is_break()) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The position of the first record that arrived at or after an instant; the end if there is none.
    pub(super) fn position_at(&self, instant: Timestamp) -> io::Result<Position> {
        for segment in self.all() {
            if segment.extent.read().latest() < instant {
                continue;
            }
            let (position, offset) = segment.mark_before(|mark| mark.latest_ms >= instant.millis());
            let (end, mut found) = (segment.extent.read().bytes, None);
            segment.scan(offset..end, position, &mut |record, _| {
                found = (record.arrived_at >= instant).then_some(record.position);
                Ok(found.is_none())
            })?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Ok(self.range().end)
    }

    /// Hands over what is held of a person, oldest first, without what an erasure has yet to take out.
    pub(super) fn of_person(&self, person: &str, take: &mut dyn FnMut(Record) -> ControlFlow<()>) -> io::Result<()> {
        let (hash, erasure) = (self.manifest.person_hash(person), self.manifest.erasure_hash(person));
        let erased = self.erasures.read().iter().filter(|known| known.1 == erasure).map(|known| known.0).max();
        for segment in self.all() {
            for offset in segment.find(hash)? {
                let record = segment.at(offset, |record| is_of(record, person).then(|| record.to_record()))?;
                if let Some(record) = record.filter(|record| erased.is_none_or(|erased| record.position > erased))
                    && take(record).is_break()
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Whether a record is of a person. Others may share the hash.
pub(super) fn is_of(record: &RecordRef<'_>, person: &str) -> bool {
    with_person(record, |named| named == person)
}

/// Looks at whose record it is.
pub(super) fn with_person(record: &RecordRef<'_>, look: impl FnOnce(&str) -> bool) -> bool {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        person_id: Option<std::borrow::Cow<'a, str>>,
    }
    match record.kind {
        Kind::Event | Kind::Application => serde_json::from_slice::<Named<'_>>(record.body)
            .ok()
            .and_then(|named| named.person_id)
            .is_some_and(|person| look(&person)),
        Kind::Fields => look(record.person),
        Kind::Erasure | Kind::Erased | Kind::Lost => false,
    }
}
