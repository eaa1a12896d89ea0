//! A timeline as bytes and back: what a snapshot stores.
//!
//! Only the log and the tallies of what has left it are stored; summaries are made anew. Columns, not rows: times as
//! differences in the coarsest unit that fits, ids as differences when they are numbers, fields by their range. Decoding trusts
//! nothing: every count is bounded by the bytes that are there, every value by its field, and rows must be sorted.

use super::bits::{BitReader, BitWriter};
use super::rows::{self, Key, MAX_STRIDE, Rows};
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
        // Two rows differ in time or id, so each costs a bit at least: a short file cannot ask for much memory.
        let bound = MAX_EVENTS.min(reader.bits_left() + 1) as u128;
        let count = reader.read_number()?;
        if count > bound {
            return Err(DecodeError::Corrupt("more events than bytes"));
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
    for kind in 0..streams.kinds() {
        let mut masks = Vec::new();
        let mut columns = vec![Vec::new(); streams.columns(kind).len()];
        log.for_each(streams, |row| {
            if rows::kind(row) == kind {
                masks.push(pack_mask(streams.layout.mask(row), streams.possible_mask(kind)));
                for (values, column) in columns.iter_mut().zip(streams.columns(kind)) {
                    values.push(column.load(row));
                }
            }
        });
        writer.write_column(&masks);
        columns.iter().for_each(|values| write_optional(writer, values));
    }
}

fn read_rows(reader: &mut BitReader<'_>, streams: &Streams, count: usize) -> Result<Rows, DecodeError> {
    let layout = &streams.layout;
    let mut rows = Rows::with_capacity(layout, count);
    if count == 0 {
        return Ok(rows);
    }
    let keys = read_keys(reader, count)?;
    let kinds = reader.read_column(count)?;
    let mut fields = Vec::with_capacity(streams.kinds());
    for kind in 0..streams.kinds() {
        let mine = kinds.iter().filter(|&&other| other == kind as i64).count();
        let masks = reader.read_column(mine)?;
        let columns: Result<Vec<_>, _> = streams.columns(kind).map(|_| read_optional(reader, mine)).collect();
        fields.push((masks.into_iter(), columns?.into_iter().map(Vec::into_iter).collect::<Vec<_>>()));
    }
    let mut buffer = [0; MAX_STRIDE];
    for (key, kind) in keys.into_iter().zip(kinds) {
        let row = &mut buffer[..layout.stride];
        row.fill(0);
        let kind = usize::try_from(kind).map_err(|_| DecodeError::Corrupt("an event type"))?;
        let (masks, columns) = fields.get_mut(kind).ok_or(DecodeError::Corrupt("an event type"))?;
        rows::set_header(row, key, kind);
        let mask = masks.next().and_then(|packed| unpack_mask(packed, streams.possible_mask(kind)));
        layout.set_mask(row, mask.ok_or(DecodeError::Corrupt("an event's streams"))?);
        for (values, column) in columns.iter_mut().zip(streams.columns(kind)) {
            let value = values.next().flatten();
            if value.is_some_and(|value| !column.holds(value)) {
                return Err(DecodeError::Corrupt("a value is out of its field's range"));
            }
            column.store(row, value);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The bits of `mask` that stand under `possible`, side by side.
fn pack_mask(mask: u64, possible: u64) -> i64 {
    let bits = (0..64).filter(|bit| possible >> bit & 1 == 1);
    bits.enumerate().fold(0, |packed, (at, bit)| packed | (((mask >> bit) & 1) as i64) << at)
}

fn unpack_mask(packed: i64, possible: u64) -> Option<u64> {
    let bits = (0..64).filter(|bit| possible >> bit & 1 == 1);
    let mask = bits.enumerate().fold(0, |mask, (at, bit)| mask | ((packed as u64 >> at) & 1) << bit);
    (pack_mask(mask, possible) == packed).then_some(mask)
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

fn write_optional(writer: &mut BitWriter, values: &[Option<i64>]) {
    let all = values.iter().all(Option::is_some);
    writer.write(u64::from(all), 1);
    if !all {
        values.iter().for_each(|value| writer.write(u64::from(value.is_some()), 1));
    }
    writer.write_column(&values.iter().copied().flatten().collect::<Vec<_>>());
}

fn read_optional(reader: &mut BitReader<'_>, count: usize) -> Result<Vec<Option<i64>>, DecodeError> {
    let present: Vec<bool> = if reader.read(1)? == 1 {
        vec![true; count]
    } else {
        (0..count).map(|_| Ok(reader.read(1)? == 1)).collect::<Result<_, DecodeError>>()?
    };
    let mut values = reader.read_column(present.iter().filter(|&&given| given).count())?.into_iter();
    Ok(present.into_iter().map(|given| if given { values.next() } else { None }).collect())
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
