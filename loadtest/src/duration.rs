//! Lengths of time as people write them: `500us`, `1.5ms`, `30s`, `10m`, `2h`.

use std::time::Duration;

/// Units and their seconds.
const UNITS: [(&str, f64); 6] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0)];

/// A year: nothing here takes longer.
const MOST_S: f64 = 365.0 * 86_400.0;

/// Reads a length of time above 0.
pub fn parse(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let factor = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, factor)| factor);
    let seconds = number.parse().ok().zip(factor).map(|(number, factor): (f64, _)| number * factor);
    match seconds {
        // Shorter than a nanosecond would be none.
        Some(seconds) if (1e-9..=MOST_S).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Some(_) => Err(format!("a length of time is above 0 and at most 365d, not `{text}`")),
        None => {
            Err(format!("a length of time is a number and its unit (us, ms, s, m, h, d) as in `30s`, not `{text}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_its_unit() {
        for (text, micros) in
            [("500us", 500), ("1.5ms", 1_500), ("30 s", 30_000_000), ("10m", 600_000_000), ("2h", 7_200_000_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in ["", "s", "5", "5 parsecs", "-5s", "1.2.3s", "0s", "0.0ms", "400d", "1e9d", "NaNs", "infs"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
