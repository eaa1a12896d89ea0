//! Looks at the configured directory from time to time, where `model.watch` says so: a change that has held for one interval is tried,
//! once.
//!
//! Looking needs no more than one small file and the times of seven: a kernel's notices would miss network disks and mounted secrets.
//! All files count, since whoever copies a bundle may write `bundle.json` before the model: what was refused half copied is tried
//! again once another file has come. A bundle that was rolled back from is not taken up again while its files lie there unchanged.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use cauce_model::bundle::{Bundle, FILES, Limits};

/// What a directory held when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Of the bundle as a whole.
    hash: String,
    /// Length and time of each of its files that is there.
    files: [Option<(u64, SystemTime)>; FILES.len()],
}

/// What was seen last, and what was tried last.
pub struct Watch {
    seen: Option<Stamp>,
    tried: Option<Stamp>,
}

impl Stamp {
    /// Nothing while there is no whole directory to look at, as between two renames.
    pub fn of(directory: &Path) -> Option<Self> {
        let hash = Bundle::hash_at(directory, &Limits::default()).ok()?;
        let files = FILES.map(|file| {
            let metadata = fs::metadata(directory.join(file)).ok()?;
            Some((metadata.len(), metadata.modified().ok()?))
        });
        Some(Self { hash, files })
    }
}

impl Watch {
    /// Begins with the bundle that was loaded from there: what is there by now may be another one already.
    pub fn new(loaded: &Bundle, now: Option<Stamp>) -> Self {
        Self { seen: None, tried: now.filter(|stamp| stamp.hash == loaded.hash()) }
    }

    /// Whether what is there now is to be tried.
    pub fn is_due(&mut self, now: Option<Stamp>) -> bool {
        let holds = now.is_some() && now == self.seen;
        let is_due = holds && now != self.tried;
        if is_due {
            self.tried.clone_from(&now);
        }
        self.seen = now;
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::tests::bundle;

    fn stamp(hash: &str, length: u64) -> Option<Stamp> {
        Some(Stamp { hash: hash.to_owned(), files: [Some((length, SystemTime::UNIX_EPOCH)); FILES.len()] })
    }

    fn watch() -> Watch {
        Watch { seen: None, tried: stamp("a", 1) }
    }

    #[test]
    fn a_change_is_due_once_it_has_held_for_an_interval() {
        let mut watch = watch();
        let looks = [("a", 1), ("a", 1), ("b", 1), ("b", 2), ("b", 2), ("b", 2), ("b", 2)];
        let due = looks.map(|(hash, length)| watch.is_due(stamp(hash, length)));
        assert_eq!(due, [false, false, false, false, true, false, false]);
    }

    #[test]
    fn a_directory_that_is_being_replaced_is_not_tried() {
        let mut watch = watch();
        let looks = [stamp("b", 1), None, None, stamp("b", 1), stamp("b", 1)];
        assert_eq!(looks.map(|now| watch.is_due(now)), [false, false, false, false, true]);
    }

    #[test]
    fn what_was_refused_is_tried_again_only_when_a_file_changes() {
        let mut watch = watch();
        let looks = [("b", 1), ("b", 1), ("b", 1), ("b", 2), ("b", 2), ("a", 1), ("a", 1)];
        let due = looks.map(|(hash, length)| watch.is_due(stamp(hash, length)));
        assert_eq!(due, [false, true, false, false, true, false, true]);
    }

    #[test]
    fn a_bundle_that_changed_between_its_load_and_the_first_look_is_due() {
        let loaded = bundle("ahorro-valle");
        let mut same = Watch::new(&loaded, stamp(loaded.hash(), 1));
        assert!(![0, 1].map(|_| same.is_due(stamp(loaded.hash(), 1))).contains(&true));
        let mut other = Watch::new(&loaded, stamp("b", 1));
        assert_eq!([0, 1].map(|_| other.is_due(stamp("b", 1))), [false, true]);
    }
}
