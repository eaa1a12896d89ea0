//! A timeline as bytes and back: what a snapshot stores.
//!
//! Only the log and the tallies of what has left it are stored; summaries are made anew. Columns, not rows: times as
//! differences in the coarsest unit that fits, ids as differences when they are numbers, fields by their range. Decoding trusts
//! nothing: every count is bounded by the bytes that are there, every value by its field, and rows must be sorted.

use super::bits::{BitReader, BitWriter};
use super::rows::{self, Column, Key, Rows};
use super::{Log, ORDINARY_EVENTS, Past, Timeline, busy::Busy};
use crate::aggregate::{Moments, StreamTally, Summary, Tally};
use crate::plan::FeaturePlan;
use crate::streams::Streams;

/// The version of the layout below.
const VERSION: u8 = 1;
/// The most events that one timeline may hold.
pub const MAX_EVENTS: usize = 1 << 22;
/// Units in which times may be whole: a day, an hour, a minute, a second, a millisecond.
const QUANTA_MS: [i64; 5] = [86_400_000, 3_600_000, 60_000, 1_000, 1];
/// One past the largest id.
const IDS: u64 = 1 << 48;

/// Why bytes are no timeline of this specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end early.
    #[error("the timeline's bytes end early")]
    Truncated,
    /// Written by another version of this program.
    #[error("the timeline has layout version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// Written under another specification: it has to be rebuilt from the log.
    #[error("the timeline was written under another specification; rebuild it from the log")]
    Specification,
    /// A value that the writer never writes.
    #[error("the timeline is corrupt: {0}")]
    Corrupt(&'static str),
}

impl Timeline {
    /// The timeline as bytes: equal timelines give equal bytes.
    pub fn encode(&self, plan: &FeaturePlan) -> Vec<u8> {
        let streams = &plan.streams;
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&streams.fingerprint.to_le_bytes());
        let mut writer = BitWriter::starting_with(bytes);
        writer.write_number(self.len(plan) as u128);
        writer.write(u64::from(self.frontier_ms != i64::MIN), 1);
        if self.frontier_ms != i64::MIN {
            writer.write_signed(i128::from(self.frontier_ms));
        }
        writer.write(u64::from(self.past.is_some()), 1);
        if let Some(past) = &self.past {
            write_past(&mut writer, past);
        }
        write_rows(&mut writer, streams, &self.log);
        writer.finish()
    }

    /// The timeline that was encoded.
    pub fn decode(plan: &FeaturePlan, bytes: &[u8]) -> Result<Self, DecodeError> {
        let streams = &plan.streams;
        let (&version, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let (fingerprint, rest) = rest.split_at_checked(4).ok_or(DecodeError::Truncated)?;
        if fingerprint != streams.fingerprint.to_le_bytes() {
            return Err(DecodeError::Specification);
        }
        let mut reader = BitReader::new(rest);
        // Rows in even steps cost no bit each, so only the bound on a person says how many there may be.
        let count = reader.read_number()?;
        if count > MAX_EVENTS as u128 {
            return Err(DecodeError::Corrupt("more events than a person may have"));
        }
        let frontier = if reader.read(1)? == 1 { reader.read_signed()? } else { i128::from(i64::MIN) };
        let frontier_ms = i64::try_from(frontier).map_err(|_| DecodeError::Corrupt("the frontier"))?;
        let past = if reader.read(1)? == 1 { Some(Box::new(read_past(&mut reader, streams)?)) } else { None };
        let rows = read_rows(&mut reader, streams, count as usize)?;
        if rows.first(&streams.layout).is_some_and(|row| rows::time(row) <= frontier_ms) {
            return Err(DecodeError::Corrupt("an event before the frontier"));
        }
        let log = if rows.len(&streams.layout) > ORDINARY_EVENTS {
            Log::Busy(Box::new(Busy::from_rows(streams, rows.iter(&streams.layout))))
        } else {
            Log::Ordinary(rows)
        };
        Ok(Self { log, frontier_ms, past })
    }
}

fn write_rows(writer: &mut BitWriter, streams: &Streams, log: &Log) {
    let (mut keys, mut kinds) = (Vec::new(), Vec::new());
    log.for_each(streams, |row| {
        keys.push(rows::key(row));
        kinds.push(rows::kind(row) as i64);
    });
    if keys.is_empty() {
        return;
    }
    write_keys(writer, &keys);
    writer.write_column(&kinds);
    let (mut values, mut given) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
    for kind in 0..streams.kinds() {
        let each = |take: &mut dyn FnMut(&[u8])| {
            log.for_each(streams, |row| {
                if rows::kind(row) == kind {
                    take(row);
                }
            });
        };
        values.clear();
        each(&mut |row| values.push(pack_mask(streams.layout.mask(row), streams.possible_mask(kind))));
        writer.write_column(&values);
        for column in streams.columns(kind) {
            values.clear();
            given.clear();
            each(&mut |row| {
                let value = column.load(row);
                given.push(value.is_some());
                values.extend(value);
            });
            write_optional(writer, &given, &values);
        }
    }
}

fn read_rows(reader: &mut BitReader<'_>, streams: &Streams, count: usize) -> Result<Rows, DecodeError> {
    let layout = &streams.layout;
    if count == 0 {
        return Ok(Rows::default());
    }
    let keys = read_keys(reader, count)?;
    let mut bytes = vec![0; layout.stride * count];
    let mut keys = keys.into_iter();
    let mut rows_of = vec![Vec::new(); streams.kinds()];
    let mut row = 0..count;
    let mut known = true;
    reader.read_each(count, |kind| {
        let (Some(key), Some(row)) = (keys.next(), row.next()) else { return };
        match usize::try_from(kind).ok().and_then(|kind| Some((kind, rows_of.get_mut(kind)?))) {
            Some((kind, mine)) => {
                rows::set_header(&mut bytes[row * layout.stride..], key, kind);
                mine.push(row * layout.stride);
            }
            None => known = false,
        }
    })?;
    if !known {
        return Err(DecodeError::Corrupt("an event type"));
    }
    for (kind, mine) in rows_of.iter().enumerate() {
        let (mut places, mut fits) = (mine.iter(), true);
        reader.read_each(mine.len(), |packed| {
            if let Some(&place) = places.next() {
                let mask = unpack_mask(packed, streams.possible_mask(kind));
                fits &= mask.is_some();
                layout.set_mask(&mut bytes[place..place + layout.stride], mask.unwrap_or(0));
            }
        })?;
        if !fits {
            return Err(DecodeError::Corrupt("an event's streams"));
        }
        for column in streams.columns(kind) {
            read_optional(reader, column, mine, &mut bytes)?;
        }
    }
    Ok(Rows::of(bytes))
}

/// The bits of `mask` that stand under `possible`, side by side.
fn pack_mask(mask: u64, mut possible: u64) -> i64 {
    let (mut packed, mut at) = (0, 0);
    while possible != 0 {
        packed |= (mask >> possible.trailing_zeros() & 1) << at;
        possible &= possible - 1;
        at += 1;
    }
    packed as i64
}

fn unpack_mask(packed: i64, mut possible: u64) -> Option<u64> {
    let (mut mask, mut packed) = (0, packed as u64);
    while possible != 0 {
        mask |= (packed & 1) << possible.trailing_zeros();
        possible &= possible - 1;
        packed >>= 1;
    }
    (packed == 0).then_some(mask)
}

fn write_keys(writer: &mut BitWriter, keys: &[Key]) {
    let whole = |quantum: &i64| keys.iter().all(|(time, _)| time % quantum == 0);
    let quantum = QUANTA_MS.iter().position(whole).unwrap_or(QUANTA_MS.len() - 1);
    writer.write(quantum as u64, 3);
    let times: Vec<i64> = keys.iter().map(|(time, _)| time / QUANTA_MS[quantum]).collect();
    writer.write_signed(i128::from(times[0]));
    writer.write_column(&times.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>());
    // Numbers given by one counter differ little; hashes differ as much as they can and are better written whole.
    let numbers = keys.iter().all(|(_, id)| *id < IDS / 2);
    writer.write(u64::from(numbers), 1);
    let ids = keys.iter().map(|(_, id)| *id as i64);
    if numbers {
        let mut before = 0;
        let differences: Vec<i64> = ids.map(|id| zigzag(id - std::mem::replace(&mut before, id))).collect();
        writer.write_number(differences[0] as u128);
        writer.write_column(&differences[1..]);
    } else {
        writer.write_column(&ids.collect::<Vec<_>>());
    }
}

fn read_keys(reader: &mut BitReader<'_>, count: usize) -> Result<Vec<Key>, DecodeError> {
    let quantum = *QUANTA_MS.get(reader.read(3)? as usize).ok_or(DecodeError::Corrupt("the unit of time"))?;
    let first = i64::try_from(reader.read_signed()?).map_err(|_| DecodeError::Corrupt("a time"))?;
    let gaps = reader.read_column(count - 1)?;
    let ids = if reader.read(1)? == 1 {
        let first = i64::try_from(reader.read_number()?).map_err(|_| DecodeError::Corrupt("an id"))?;
        let mut id = 0_i64;
        let differences = std::iter::once(first).chain(reader.read_column(count - 1)?);
        differences
            .map(|difference| {
                id = id.wrapping_add(unzigzag(difference));
                id
            })
            .collect()
    } else {
        reader.read_column(count)?
    };
    let mut keys: Vec<Key> = Vec::with_capacity(count);
    let mut time = first;
    for (index, id) in ids.into_iter().enumerate() {
        if index > 0 {
            time = time.checked_add(gaps[index - 1]).ok_or(DecodeError::Corrupt("a time"))?;
        }
        let millis = time.checked_mul(quantum).filter(|millis| millis.unsigned_abs() < 1 << 47);
        let key = (millis.ok_or(DecodeError::Corrupt("a time"))?, id as u64);
        if key.1 >= IDS || keys.last().is_some_and(|last| *last >= key) {
            return Err(DecodeError::Corrupt("the events are not in order"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn zigzag(value: i64) -> i64 {
    (value << 1) ^ (value >> 63)
}

fn unzigzag(value: i64) -> i64 {
    (value as u64 >> 1) as i64 ^ -(value & 1)
}

/// A column that may be given or not row by row, and the values that are.
fn write_optional(writer: &mut BitWriter, given: &[bool], values: &[i64]) {
    let all = given.len() == values.len();
    writer.write(u64::from(all), 1);
    if !all {
        given.iter().for_each(|&given| writer.write(u64::from(given), 1));
    }
    writer.write_column(values);
}

/// Reads a column into the rows that begin at these places.
fn read_optional(
    reader: &mut BitReader<'_>,
    column: &Column,
    places: &[usize],
    bytes: &mut [u8],
) -> Result<(), DecodeError> {
    let mut given = Vec::new();
    let places = if reader.read(1)? == 1 {
        places
    } else {
        for &place in places {
            column.store(&mut bytes[place..], None);
            if reader.read(1)? == 1 {
                given.push(place);
            }
        }
        &given
    };
    let (mut each, mut holds) = (places.iter(), true);
    reader.read_each(places.len(), |value| {
        if let Some(&place) = each.next() {
            holds &= column.holds(value);
            column.store(&mut bytes[place..], Some(value));
        }
    })?;
    if holds { Ok(()) } else { Err(DecodeError::Corrupt("a value is out of its field's range")) }
}

fn write_past(writer: &mut BitWriter, past: &Past) {
    writer.write_number(u128::from(past.coarsened));
    writer.write_number(past.coarse.len() as u128);
    std::iter::once(&past.lifetime).chain(&past.coarse).for_each(|summary| write_summary(writer, summary));
}

fn read_past(reader: &mut BitReader<'_>, streams: &Streams) -> Result<Past, DecodeError> {
    let coarsened = u64::try_from(reader.read_number()?).map_err(|_| DecodeError::Corrupt("a count"))?;
    let hours = reader.read_number()?;
    if hours > reader.bits_left() as u128 {
        return Err(DecodeError::Corrupt("more hours than bytes"));
    }
    let lifetime = read_summary(reader, streams)?;
    let coarse = (0..hours).map(|_| read_summary(reader, streams)).collect::<Result<_, _>>()?;
    Ok(Past { lifetime, coarse, coarsened })
}

fn write_summary(writer: &mut BitWriter, summary: &Summary) {
    write_values(writer, [summary.first_ms, summary.last_ms]);
    for stream in &summary.streams {
        writer.write_number(u128::from(stream.count));
        if stream.count > 0 {
            write_values(writer, [stream.first_ms, stream.last_ms, stream.widest_gap_ms]);
        }
    }
    for tally in &summary.tallies {
        writer.write_number(u128::from(tally.count));
        if tally.count > 0 {
            writer.write_signed(tally.sum);
            write_values(writer, [tally.min, tally.max, tally.first, tally.last, tally.first_ms]);
        }
    }
    for moments in &summary.moments {
        write_values(writer, [moments.squares, moments.t, moments.tt, moments.tx]);
    }
}

fn read_summary(reader: &mut BitReader<'_>, streams: &Streams) -> Result<Summary, DecodeError> {
    let mut summary = Summary::empty(streams);
    [summary.first_ms, summary.last_ms] = read_values(reader)?;
    for stream in &mut summary.streams {
        let count = read_count(reader)?;
        if count > 0 {
            let [first_ms, last_ms, widest_gap_ms] = read_values(reader)?;
            *stream = StreamTally { count, first_ms, last_ms, widest_gap_ms };
        }
    }
    for tally in &mut summary.tallies {
        let count = read_count(reader)?;
        if count > 0 {
            let sum = reader.read_signed()?;
            let [min, max, first, last, first_ms] = read_values(reader)?;
            *tally = Tally { count, sum, min, max, first, last, first_ms };
        }
    }
    for moments in &mut summary.moments {
        let [squares, t, tt, tx] = [(); 4].map(|()| reader.read_signed());
        *moments = Moments { squares: squares?, t: t?, tt: tt?, tx: tx? };
    }
    Ok(summary)
}

fn write_values<const N: usize>(writer: &mut BitWriter, values: [impl Into<i128>; N]) {
    values.into_iter().for_each(|value| writer.write_signed(value.into()));
}

fn read_count(reader: &mut BitReader<'_>) -> Result<u64, DecodeError> {
    // Far above any person's events and far below where sums of counts could overflow.
    let count = reader.read_number()?;
    if count < 1 << 48 { Ok(count as u64) } else { Err(DecodeError::Corrupt("a count")) }
}

fn read_values<const N: usize>(reader: &mut BitReader<'_>) -> Result<[i64; N], DecodeError> {
    let mut values = [0; N];
    for value in &mut values {
        *value = i64::try_from(reader.read_signed()?).map_err(|_| DecodeError::Corrupt("a value"))?;
    }
    Ok(values)
}
