//! Columns of integers in few bits: each column is written at one fixed width or Golomb–Rice coded, whichever is shorter.
//!
//! Gaps between events are close to exponentially distributed, and for those Rice codes (R. F. Rice, "Some practical
//! universal noiseless coding techniques", 1979) stay within half a bit of the entropy. That is what brings a stored event under
//! eight bytes with its identity; byte-aligned integers need eleven.

use super::codec::DecodeError;

/// A longer run of ones than this is not a quotient: the whole value follows.
const ESCAPE: u32 = 24;
/// Marks a column of fixed width in the header byte; the rest of the byte is the width or the Rice parameter.
const FIXED: u64 = 0x80;

/// Writes bits, lowest first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    pending: u128,
    count: u32,
}

impl BitWriter {
    pub(super) fn starting_with(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(super) fn write(&mut self, value: u64, bits: u32) {
        self.pending |= u128::from(value) << self.count;
        self.count += bits;
        if self.count >= 64 {
            self.bytes.extend_from_slice(&(self.pending as u64).to_le_bytes());
            self.pending >>= 64;
            self.count -= 64;
        }
    }

    /// A length-prefixed integer: five bits of every six carry it.
    pub(super) fn write_number(&mut self, mut value: u128) {
        while value >= 32 {
            self.write((value as u64 & 31) | 32, 6);
            value >>= 5;
        }
        self.write(value as u64, 6);
    }

    pub(super) fn write_signed(&mut self, value: i128) {
        self.write_number(((value << 1) ^ (value >> 127)) as u128);
    }

    /// A column of any integers.
    pub(super) fn write_column(&mut self, values: &[i64]) {
        let Some(&min) = values.iter().min() else { return };
        self.write_signed(i128::from(min));
        let above = |&value: &i64| value.wrapping_sub(min) as u64;
        let max = values.iter().map(above).max().unwrap_or(0);
        let width = 64 - max.leading_zeros();
        let fixed = u64::from(width) * values.len() as u64;
        let mean = values.iter().map(|value| u128::from(above(value))).sum::<u128>() / values.len() as u128;
        let guess = (mean as u64).checked_ilog2().unwrap_or(0);
        let cost = |k: u32| values.iter().map(|value| rice_bits(above(value), k)).sum::<u64>();
        let best = (guess.saturating_sub(1)..=guess.saturating_add(1).min(63)).map(|k| (cost(k), k)).min();
        match best {
            Some((rice, k)) if rice < fixed => {
                self.write(u64::from(k), 8);
                values.iter().for_each(|value| self.write_rice(above(value), k));
            }
            _ => {
                self.write(FIXED | u64::from(width), 8);
                values.iter().for_each(|value| self.write(above(value), width));
            }
        }
    }

    fn write_rice(&mut self, value: u64, k: u32) {
        let quotient = value >> k;
        if quotient >= u64::from(ESCAPE) {
            self.write((1 << ESCAPE) - 1, ESCAPE);
            self.write(value, 64);
        } else {
            self.write((1 << quotient) - 1, quotient as u32 + 1);
            self.write(value & ((1 << k) - 1), k);
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let rest = self.count.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_le_bytes()[..rest]);
        self.bytes
    }
}

fn rice_bits(value: u64, k: u32) -> u64 {
    let quotient = value >> k;
    if quotient >= u64::from(ESCAPE) { u64::from(ESCAPE) + 64 } else { quotient + 1 + u64::from(k) }
}

/// Reads what [`BitWriter`] wrote; every read past the end is an error.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn bits_left(&self) -> usize {
        8 * self.bytes.len() - self.at
    }

    /// The next 64 bits, zeros behind the end.
    #[inline]
    fn peek(&self) -> u64 {
        let (byte, shift) = (self.at / 8, self.at % 8);
        // Nearly always there are nine bytes more: two loads and two shifts.
        if let Some((&word, rest)) = self.bytes.get(byte..).and_then(|tail| tail.split_first_chunk())
            && let Some(&last) = rest.first()
        {
            return u64::from_le_bytes(word) >> shift | u64::from(last) << 1 << (63 - shift);
        }
        let mut window = [0; 16];
        let tail = &self.bytes[byte.min(self.bytes.len())..];
        window[..tail.len()].copy_from_slice(tail);
        (u128::from_le_bytes(window) >> shift) as u64
    }

    #[inline]
    fn skip(&mut self, bits: u32) -> Result<(), DecodeError> {
        if self.bits_left() < bits as usize {
            return Err(DecodeError::Truncated);
        }
        self.at += bits as usize;
        Ok(())
    }

    #[inline]
    pub(super) fn read(&mut self, bits: u32) -> Result<u64, DecodeError> {
        let value = if bits == 64 { self.peek() } else { self.peek() & ((1 << bits) - 1) };
        self.skip(bits)?;
        Ok(value)
    }

    pub(super) fn read_number(&mut self) -> Result<u128, DecodeError> {
        let mut value = 0_u128;
        for shift in (0..128).step_by(5) {
            let part = self.read(6)?;
            value |= u128::from(part & 31) << shift;
            if part & 32 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Corrupt("a number is too long"))
    }

    pub(super) fn read_signed(&mut self) -> Result<i128, DecodeError> {
        let value = self.read_number()?;
        Ok((value >> 1) as i128 ^ -((value & 1) as i128))
    }

    /// A column of so many integers.
    pub(super) fn read_column(&mut self, count: usize) -> Result<Vec<i64>, DecodeError> {
        let mut values = Vec::with_capacity(count);
        self.read_each(count, |value| values.push(value))?;
        Ok(values)
    }

    /// The integers of a column, one by one.
    pub(super) fn read_each(&mut self, count: usize, mut take: impl FnMut(i64)) -> Result<(), DecodeError> {
        if count == 0 {
            return Ok(());
        }
        let min = i64::try_from(self.read_signed()?).map_err(|_| DecodeError::Corrupt("a column's minimum"))?;
        let mode = self.read(8)?;
        let parameter = (mode & 0x7F) as u32;
        if parameter > 64 || (mode & FIXED == 0 && parameter > 63) {
            return Err(DecodeError::Corrupt("a column's width"));
        }
        if mode & FIXED != 0 {
            for _ in 0..count {
                take(min.wrapping_add(self.read(parameter)? as i64));
            }
        } else {
            for _ in 0..count {
                take(min.wrapping_add(self.read_rice(parameter)? as i64));
            }
        }
        Ok(())
    }

    fn read_rice(&mut self, k: u32) -> Result<u64, DecodeError> {
        let quotient = self.peek().trailing_ones();
        if quotient >= ESCAPE {
            self.skip(ESCAPE)?;
            return self.read(64);
        }
        self.skip(quotient + 1)?;
        Ok((u64::from(quotient) << k) | self.read(k)?)
    }
}
