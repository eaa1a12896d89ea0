//! Fixed-point numbers: a decimal field is an integer count of its smallest unit.
//!
//! Adding and removing integers are exact inverses, so the same events give bit-identical sums in any order on any
//! machine (F1). A raw value never exceeds [`MAX_RAW`]: it converts to `f64` without loss, and its squares sum in `i128`.
//! Text becomes a raw value digit by digit, never through a float: `0.1` with two decimals is 10, not 9.99….

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

/// Why a number is no raw value of a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("not a number")]
    NotANumber,
    /// Not zero behind the last decimal that the scale keeps. Rounding would make two amounts of one.
    #[error("too many decimals")]
    TooManyDecimals,
    /// Beyond ±2^53 raw, whatever the exponent says.
    #[error("out of range")]
    OutOfRange,
}

/// The raw value of a number in JSON's grammar (`-12.50`, `1e3`): exact or refused. `-0` is 0, trailing zeros are fine.
pub fn parse_decimal(text: &str, scale: u8) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let magnitude = match plain(digits, scale) {
        Some(raw) => raw,
        None => any_form(digits, scale)?,
    };
    if magnitude > MAX_RAW {
        return Err(DecimalError::OutOfRange);
    }
    Ok(if negative { -magnitude } else { magnitude })
}

/// The usual form: up to 18 digits, no exponent, no more decimals than the scale. Anything else is `None`.
fn plain(digits: &[u8], scale: u8) -> Option<i64> {
    let mut raw = 0_i64;
    let mut decimals = None;
    if digits.len() > 18 {
        return None;
    }
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                raw = raw * 10 + i64::from(byte - b'0');
                decimals = decimals.map(|count: u8| count + 1);
            }
            b'.' if decimals.is_none() => decimals = Some(0),
            _ => return None,
        }
    }
    let decimals = match decimals {
        None => 0,
        Some(0) => return None,
        Some(count) => count,
    };
    let is_number = digits.first().is_some_and(u8::is_ascii_digit);
    let missing_zeros = scale.checked_sub(decimals)?;
    is_number.then(|| raw.checked_mul(unit(missing_zeros))).flatten()
}

/// Any form of JSON's grammar, as significant digits × 10^exponent: length and exponent cost time linear in the text and nothing more.
fn any_form(digits: &[u8], scale: u8) -> Result<i64, DecimalError> {
    let (mantissa, exponent) = split_exponent(digits)?;
    let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(point) if point + 1 < mantissa.len() => (&mantissa[..point], &mantissa[point + 1..]),
        Some(_) => return Err(DecimalError::NotANumber),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(DecimalError::NotANumber);
    }
    let all = || whole.iter().chain(fraction).copied();
    let Some(first) = all().position(|digit| digit != b'0') else { return Ok(0) };
    let trailing = all().rev().take_while(|&digit| digit == b'0').count();
    let count = whole.len() + fraction.len() - trailing - first;
    let power =
        exponent.saturating_add(trailing as i64).saturating_sub(fraction.len() as i64).saturating_add(i64::from(scale));
    if power.saturating_add(count as i64) > 16 {
        return Err(DecimalError::OutOfRange);
    }
    if power < 0 {
        return Err(DecimalError::TooManyDecimals);
    }
    let significant = all().skip(first).take(count).fold(0_i64, |raw, digit| raw * 10 + i64::from(digit - b'0'));
    Ok(significant * 10_i64.pow(power as u32))
}

fn split_exponent(digits: &[u8]) -> Result<(&[u8], i64), DecimalError> {
    let Some(mark) = digits.iter().position(|byte| matches!(byte, b'e' | b'E')) else { return Ok((digits, 0)) };
    let (negative, power) = match &digits[mark + 1..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if power.is_empty() || !power.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::NotANumber);
    }
    let magnitude = power
        .iter()
        .fold(0_i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')))
        .min(i64::MAX / 4);
    Ok((&digits[..mark], if negative { -magnitude } else { magnitude }))
}

/// The shortest text that [`parse_decimal`] turns back into the raw value: `1250` with two decimals is `12.5`.
pub fn format_decimal(raw: i64, scale: u8) -> String {
    let unit = unit(scale).unsigned_abs();
    let magnitude = raw.unsigned_abs();
    let sign = if raw < 0 { "-" } else { "" };
    let (whole, fraction) = (magnitude / unit, magnitude % unit);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let decimals = format!("{fraction:0width$}", width = usize::from(scale));
    format!("{sign}{whole}.{}", decimals.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str, scale: u8) -> DecimalError {
        parse_decimal(text, scale).expect_err(text)
    }

    #[test]
    fn a_decimal_is_exact_where_a_float_is_not() {
        assert_eq!(parse_decimal("0.1", 2), Ok(10));
        assert_eq!(parse_decimal("1.15", 2), Ok(115));
        assert_eq!(parse_decimal("-4503599627370496.25", 1), Err(DecimalError::OutOfRange));
        assert_eq!(parse_decimal("90071992547409.92", 2), Ok(MAX_RAW));
        assert_eq!(parse_decimal("-90071992547409.92", 2), Ok(-MAX_RAW));
        assert_eq!(refused("90071992547409.93", 2), DecimalError::OutOfRange);
    }

    #[test]
    fn every_form_of_one_number_is_the_same_raw_value() {
        for text in
            ["120.5", "120.50", "120.5000000000000000000000000000", "1.205e2", "1205E-1", "12050e-2", "0.001205e+5"]
        {
            assert_eq!(parse_decimal(text, 2), Ok(12050), "{text}");
        }
        for text in ["0", "-0", "-0.000", "0e999999999999999999999", "0.0e-9"] {
            assert_eq!(parse_decimal(text, 2), Ok(0), "{text}");
        }
        assert_eq!(parse_decimal("100", 0), Ok(100));
        assert_eq!(parse_decimal("1e2", 0), Ok(100));
    }

    #[test]
    fn a_huge_exponent_is_out_of_range_and_a_tiny_one_has_too_many_decimals() {
        assert_eq!(refused("1e400", 2), DecimalError::OutOfRange);
        assert_eq!(refused("-1e99999999999999999999999", 2), DecimalError::OutOfRange);
        assert_eq!(refused("1e-99999999999999999999999", 2), DecimalError::TooManyDecimals);
        assert_eq!(refused("1.005", 2), DecimalError::TooManyDecimals);
        assert_eq!(refused("0.5", 0), DecimalError::TooManyDecimals);
        assert_eq!(refused("123456789012345678901234567890", 0), DecimalError::OutOfRange);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "", "-", ".", "1.", ".5", "1e", "1e+", "e5", "--1", "1.2.3", "NaN", "Infinity", "0x10", "1_000", " 1",
            "1e5.0",
        ] {
            assert_eq!(refused(text, 2), DecimalError::NotANumber, "{text}");
        }
    }

    proptest! {
        #[test]
        fn format_and_parse_are_inverse(raw in -MAX_RAW..=MAX_RAW, scale in 0..=MAX_SCALE) {
            prop_assert_eq!(parse_decimal(&format_decimal(raw, scale), scale), Ok(raw));
        }

        #[test]
        fn an_exponent_moves_the_point_and_nothing_else(raw in -1_000_000_i64..1_000_000, shift in 0_u8..6) {
            let moved = format!("{raw}e-{shift}");
            prop_assert_eq!(parse_decimal(&moved, shift), Ok(raw));
        }

        #[test]
        fn any_text_has_an_answer(text in "[-+0-9.eE]{0,40}", scale in 0..=MAX_SCALE) {
            if let Ok(raw) = parse_decimal(&text, scale) {
                prop_assert!(raw.abs() <= MAX_RAW);
            }
        }
    }
}
