//! Where a person's records lie in one segment: (keyed 32-bit hash of the person, offset), sorted.
//!
//! Derived from the segment, so never a source of truth: what is found is checked against the record itself. While a segment is
//! written the pairs are kept in sorted runs that double in size; a sealed segment has them in a file beside it, of which only a
//! table of 256 starts stays in memory, so that a look-up is one read of a few kilobytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Pairs that are kept unsorted before they become a run.
const TAIL: usize = 1024;

/// Bytes of a pair in a file.
pub(super) const PAIR: usize = 8;

/// The pairs of the segment that is being written.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Sorted, each at least twice as long as the next.
    runs: Vec<Vec<(u32, u32)>>,
    tail: Vec<(u32, u32)>,
}

/// The pairs of a sealed segment.
#[derive(Debug)]
pub(super) struct Sealed {
    file: File,
    /// Where the pairs begin in the file.
    begin: u64,
    /// `starts[b]` pairs have a hash whose top byte is below `b`.
    starts: Box<[u32]>,
}

impl Runs {
    pub(super) fn push(&mut self, hash: u32, offset: u32) {
        self.tail.push((hash, offset));
        if self.tail.len() < TAIL {
            return;
        }
        let mut run = std::mem::take(&mut self.tail);
        while self.runs.last().is_some_and(|last| last.len() < run.len() * 2) {
            run.append(&mut self.runs.pop().unwrap_or_default());
        }
        run.sort_unstable();
        self.runs.push(run);
    }

    /// Offsets of a hash, in no order.
    pub(super) fn find(&self, hash: u32) -> Vec<u32> {
        let in_tail = self.tail.iter().filter(|pair| pair.0 == hash);
        let in_runs = self.runs.iter().flat_map(|run| {
            let from = run.partition_point(|pair| pair.0 < hash);
            run[from..].iter().take_while(move |pair| pair.0 == hash)
        });
        in_tail.chain(in_runs).map(|pair| pair.1).collect()
    }

    /// All pairs, sorted.
    pub(super) fn sorted(&self) -> Vec<(u32, u32)> {
        let mut pairs: Vec<_> = self.runs.iter().flatten().chain(&self.tail).copied().collect();
        pairs.sort_unstable();
        pairs
    }
}

impl Sealed {
    /// The pairs that stand in `file` from `begin` on. `starts` are 257 counts.
    pub(super) fn new(file: File, begin: u64, starts: Box<[u32]>) -> Self {
        Self { file, begin, starts }
    }

    /// The table of starts for sorted pairs.
    pub(super) fn starts(pairs: &[(u32, u32)]) -> Box<[u32]> {
        (0..=256_u64).map(|top| pairs.partition_point(|pair| u64::from(pair.0 >> 24) < top) as u32).collect()
    }

    /// Offsets of a hash, ascending.
    pub(super) fn find(&self, hash: u32) -> io::Result<Vec<u32>> {
        let top = (hash >> 24) as usize;
        let (from, to) = (self.starts[top] as usize, self.starts[top + 1] as usize);
        let mut bytes = vec![0; (to - from) * PAIR];
        self.file.read_exact_at(&mut bytes, self.begin + (from * PAIR) as u64)?;
        let pairs = bytes.chunks_exact(PAIR).map(|pair| (word(&pair[..4]), word(&pair[4..])));
        Ok(pairs.filter(|pair| pair.0 == hash).map(|pair| pair.1).collect())
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_find_every_offset_of_a_hash_and_no_other() {
        let mut runs = Runs::default();
        // Hashes far apart and close together; each stands 100 times among 50,000.
        let hash = |i: u32| (i % 500).wrapping_mul(0x9E37_79B9);
        (0..50_000).for_each(|i| runs.push(hash(i), i));
        for wanted in [0, 1, 499] {
            let mut found = runs.find(hash(wanted));
            found.sort_unstable();
            assert_eq!(found, (0..100).map(|n| n * 500 + wanted).collect::<Vec<_>>());
        }
        assert!(runs.find(12345).is_empty());
        assert!(runs.runs.len() < 10, "{} runs", runs.runs.len());
        assert!(runs.sorted().is_sorted() && runs.sorted().len() == 50_000);
    }

    #[test]
    fn starts_count_what_stands_before_each_top_byte() {
        let pairs = [(0, 1), (0x00ff_ffff, 2), (0x0100_0000, 3), (0xffff_ffff, 4)];
        let starts = Sealed::starts(&pairs);
        assert_eq!((starts.len(), starts[0], starts[1], starts[2], starts[255], starts[256]), (257, 0, 2, 3, 3, 4));
    }
}
