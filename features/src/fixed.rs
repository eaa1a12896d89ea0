//! Fixed-point numbers: a decimal field is an integer count of its smallest unit.
//!
//! Adding and removing integers are exact inverses, so the same events give bit-identical sums in any order on any
//! machine (F1). A raw value never exceeds [`MAX_RAW`]: it converts to `f64` without loss, and its squares sum in `i128`.

/// The largest magnitude of a raw value: 2^53, up to which every integer is an exact `f64`.
pub const MAX_RAW: i64 = 1 << 53;

/// A field that was not given. Never a valid raw value.
pub const MISSING: i64 = i64::MIN;

/// The highest number of decimals a field may declare.
pub const MAX_SCALE: u8 = 9;

/// 10^scale.
pub const fn unit(scale: u8) -> i64 {
    10_i64.pow(scale as u32)
}
