//! A run of events as packed rows of one width, sorted by (time, id): one contiguous allocation.
//!
//! A dependent load that misses the caches costs more than any arithmetic here, so a row holds just what features read:
//! time and id in 48 bits each, the event type, one bit for every stream the event belongs to (filters are evaluated once,
//! when the event is applied), and the fields that some feature aggregates, in as few bytes as their declared range needs.

use std::cmp::Ordering;

/// Bytes before the stream mask: time (6), id (6), event type (1).
pub(crate) const HEADER: usize = 13;
/// The widest row a specification can ask for: header, 64 stream bits, 64 fields of 8 bytes.
pub(crate) const MAX_STRIDE: usize = HEADER + 8 + 64 * 8;

/// Rows of most specifications are no wider.
pub(crate) const USUAL_STRIDE: usize = 64;

/// Where a row stands: time in milliseconds, then id.
pub(crate) type Key = (i64, u64);

/// How rows are laid out: the same for every person under one specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) stride: usize,
    pub(crate) mask_bytes: usize,
}

impl Layout {
    /// One bit for every stream that the row's event belongs to.
    #[inline(always)]
    pub(crate) fn mask(&self, row: &[u8]) -> u64 {
        (word(row, HEADER + self.mask_bytes)) >> (64 - 8 * self.mask_bytes)
    }

    pub(crate) fn set_mask(&self, row: &mut [u8], mask: u64) {
        row[HEADER..HEADER + self.mask_bytes].copy_from_slice(&mask.to_le_bytes()[..self.mask_bytes]);
    }
}

/// Where one field stands in the rows of its event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    /// One past its last byte. Reading the 8 bytes that end here never leaves the row, since the header has 13.
    pub(crate) end: usize,
    pub(crate) width: usize,
}

impl Column {
    /// The width in bytes that holds every value of `min..=max` and, as the lowest number of that width, "missing".
    pub(crate) fn width_for(min: i64, max: i64) -> usize {
        (1..8).find(|width| min > -(1_i64 << (8 * width - 1)) && max < 1_i64 << (8 * width - 1)).unwrap_or(8)
    }

    /// The raw value, or `None` where it was not given.
    #[inline(always)]
    pub(crate) fn load(&self, row: &[u8]) -> Option<i64> {
        let word = word(row, self.end) as i64;
        let shift = 64 - 8 * self.width as u32;
        // "Missing" is the lowest number of the width: the word's top byte 0x80 and the rest of the field zero.
        (word >> shift != i64::MIN >> shift).then_some(word >> shift)
    }

    pub(crate) fn store(&self, row: &mut [u8], value: Option<i64>) {
        let value = value.unwrap_or(i64::MIN >> (64 - 8 * self.width as u32));
        row[self.end - self.width..self.end].copy_from_slice(&value.to_le_bytes()[..self.width]);
    }

    /// Whether a decoded value could have been stored here.
    pub(crate) fn holds(&self, value: i64) -> bool {
        let shift = 64 - 8 * self.width as u32;
        (value << shift) >> shift == value && value != i64::MIN >> shift
    }
}

#[inline(always)]
fn word(row: &[u8], end: usize) -> u64 {
    u64::from_le_bytes(row[end - 8..end].try_into().expect("eight bytes"))
}

/// The row's instant in milliseconds.
#[inline(always)]
pub(crate) fn time(row: &[u8]) -> i64 {
    ((u64::from_le_bytes(row[..8].try_into().expect("eight bytes")) << 16) as i64) >> 16
}

#[inline(always)]
fn id(row: &[u8]) -> u64 {
    word(row, 12) >> 16
}

#[inline(always)]
pub(crate) fn key(row: &[u8]) -> Key {
    (time(row), id(row))
}

pub(crate) fn kind(row: &[u8]) -> usize {
    usize::from(row[12])
}

pub(crate) fn set_header(row: &mut [u8], (time, id): Key, kind: usize) {
    row[..6].copy_from_slice(&time.to_le_bytes()[..6]);
    row[6..12].copy_from_slice(&id.to_le_bytes()[..6]);
    row[12] = kind as u8;
}

/// Sorted rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
}

impl Rows {
    pub(crate) fn with_capacity(layout: &Layout, rows: usize) -> Self {
        Self { bytes: Vec::with_capacity(layout.stride * rows) }
    }

    /// The rows that these bytes are.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    pub(crate) fn len(&self, layout: &Layout) -> usize {
        // 32-bit division is several times cheaper, and a person's rows stay far below 4 GiB.
        (self.bytes.len() as u32 / layout.stride as u32) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline(always)]
    pub(crate) fn row(&self, layout: &Layout, index: usize) -> &[u8] {
        &self.bytes[index * layout.stride..(index + 1) * layout.stride]
    }

    /// The rows of a range, side by side.
    pub(crate) fn slice(&self, layout: &Layout, range: std::ops::Range<usize>) -> &[u8] {
        &self.bytes[range.start * layout.stride..range.end * layout.stride]
    }

    /// Where the rows later than `after_ms` begin among the first `end`: a scan, since few rows are passed over as a rule.
    pub(crate) fn start_after(&self, layout: &Layout, after_ms: i64, end: usize) -> usize {
        let rows = self.bytes[..end * layout.stride].rchunks_exact(layout.stride);
        end - rows.take_while(|row| time(row) > after_ms).count()
    }

    pub(crate) fn iter(&self, layout: &Layout) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.bytes.chunks_exact(layout.stride)
    }

    pub(crate) fn first(&self, layout: &Layout) -> Option<&[u8]> {
        self.bytes.get(..layout.stride)
    }

    pub(crate) fn last(&self, layout: &Layout) -> Option<&[u8]> {
        self.bytes.len().checked_sub(layout.stride).map(|start| &self.bytes[start..])
    }

    /// `Ok` where the key stands, `Err` where it would.
    pub(crate) fn find(&self, layout: &Layout, wanted: Key) -> Result<usize, usize> {
        match self.last(layout).map(|last| key(last).cmp(&wanted)) {
            None => Err(0),
            Some(Ordering::Less) => Err(self.len(layout)),
            Some(Ordering::Equal) => Ok(self.len(layout) - 1),
            Some(Ordering::Greater) => {
                let position = self.partition(layout, |row| key(row) < wanted);
                if key(self.row(layout, position)) == wanted { Ok(position) } else { Err(position) }
            }
        }
    }

    /// How many rows stand at or before `time`.
    pub(crate) fn count_through(&self, layout: &Layout, through_ms: i64) -> usize {
        match self.last(layout) {
            Some(last) if time(last) > through_ms => self.partition(layout, |row| time(row) <= through_ms),
            _ => self.len(layout),
        }
    }

    fn partition(&self, layout: &Layout, before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len(layout));
        while low < high {
            let middle = (low + high) / 2;
            if before(self.row(layout, middle)) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Puts a row in its place. Room grows by a fifth: memory per person counts for more than the odd copy.
    pub(crate) fn insert(&mut self, layout: &Layout, index: usize, row: &[u8]) {
        if self.bytes.capacity() - self.bytes.len() < layout.stride {
            self.bytes.reserve_exact(layout.stride * (self.len(layout) / 5).max(4));
        }
        let at = index * layout.stride;
        let behind = self.bytes.len() - at;
        self.bytes.extend_from_slice(row);
        if behind > 0 {
            self.bytes.copy_within(at..at + behind, at + layout.stride);
            self.bytes[at..at + layout.stride].copy_from_slice(row);
        }
    }

    pub(crate) fn replace(&mut self, layout: &Layout, index: usize, row: &[u8]) {
        self.bytes[index * layout.stride..(index + 1) * layout.stride].copy_from_slice(row);
    }

    /// Appends a row that is known to stand behind all others.
    pub(crate) fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
    }

    /// Takes the rows from `index` on away into a run of their own.
    pub(crate) fn split_off(&mut self, layout: &Layout, index: usize) -> Rows {
        let tail = Rows { bytes: self.bytes[index * layout.stride..].to_vec() };
        self.bytes.truncate(index * layout.stride);
        tail
    }

    pub(crate) fn drop_first(&mut self, layout: &Layout, rows: usize) {
        self.bytes.drain(..rows * layout.stride);
        self.bytes.shrink_to_fit();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}
