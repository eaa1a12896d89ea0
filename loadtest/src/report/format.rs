//! How figures read: three digits that count, a unit, thousands apart. One home, so that the table and the page say the same.

use std::time::Duration;

/// `312 µs`, `4.56 ms`, `12.3 s`.
pub(crate) fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    // By what it is rounded to: 999.7 µs are 1.00 ms.
    match micros {
        micros if micros < 1.0 => format!("{} µs", digits(micros)),
        micros if micros < 999.5 => format!("{micros:.0} µs"),
        micros if micros < 999_500.0 => format!("{} ms", digits(micros / 1e3)),
        micros => format!("{} s", digits(micros / 1e6)),
    }
}

/// A stretch of time as people say it: `45 s`, `1 min 30 s`, `2 h 5 min`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 if time.subsec_millis() > 0 => format!("{} s", digits(time.as_secs_f64())),
        0..60 => format!("{seconds} s"),
        60..3600 => joined(seconds / 60, "min", seconds % 60, "s"),
        _ => joined(seconds / 3600, "h", seconds / 60 % 60, "min"),
    }
}

fn joined(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

/// `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    let text = count.to_string();
    let first = (text.len() - 1) % 3 + 1;
    let (head, tail) = text.split_at(first);
    tail.as_bytes().chunks(3).fold(head.to_owned(), |text, three| {
        // Digits are ASCII.
        text + "," + &String::from_utf8_lossy(three)
    })
}

/// `1,234/s`.
pub(crate) fn rate(rate: f64) -> String {
    format!("{}/s", digits(rate))
}

/// A share from 0 to 1: `0 %`, `12.3 %`. What is not all and not nothing never reads as if it were.
pub(crate) fn share(share: f64) -> String {
    match share {
        share if share <= 0.0 => "0 %".into(),
        share if share < 0.000_1 => "< 0.01 %".into(),
        share if share < 0.999_5 => format!("{} %", digits(share * 100.0)),
        share if share < 1.0 => "> 99.9 %".into(),
        share => format!("{} %", digits(share * 100.0)),
    }
}

/// A value with its unit; bytes by powers of 1,024, as the machine has them.
pub(crate) fn measure(value: f64, unit: &str) -> String {
    match unit {
        "B" | "bytes" => bytes(value),
        "" => digits(value),
        "s" => time(Duration::try_from_secs_f64(value).unwrap_or_default()),
        "ms" => time(Duration::try_from_secs_f64(value / 1e3).unwrap_or_default()),
        unit => format!("{} {unit}", digits(value)),
    }
}

pub(crate) fn bytes(bytes: f64) -> String {
    let (value, unit) = ["B", "KiB", "MiB", "GiB"]
        .into_iter()
        .scan(bytes, |value, unit| Some((std::mem::replace(value, *value / 1024.0), unit)))
        .find(|(value, unit)| value.abs() < 1023.5 || *unit == "GiB")
        .unwrap_or((bytes, "B"));
    format!("{} {unit}", digits(value))
}

/// Three digits that count, or all before the point where there are more.
pub(crate) fn digits(value: f64) -> String {
    let size = value.abs();
    let sign = if value < 0.0 { "-" } else { "" };
    match size {
        size if !size.is_finite() => "–".into(),
        0.0 => "0".into(),
        size if size < 0.001 => format!("{sign}{size:.1e}"),
        size if size < 0.999_5 => format!("{sign}{}", cut(&format!("{size:.3}"))),
        size if size < 9.995 => format!("{sign}{size:.2}"),
        size if size < 99.95 => format!("{sign}{size:.1}"),
        // A float as large as that is whole, and far below the bounds of the integer.
        size => format!("{sign}{}", count(size.round() as u64)),
    }
}

/// Without zeros at the end that tell nothing: what is below 1 has three places for small values alone.
fn cut(text: &str) -> &str {
    text.trim_end_matches('0').trim_end_matches('.')
}

/// A number at an axis, with no digit that it does not need: `0`, `0.5`, `2k`, `1.5M`.
pub(crate) fn tick(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Ticks are multiples of 1, 2 or 5: what is beyond six places is dust of the arithmetic.
    let text = format!("{value:.6}");
    let text = cut(&text);
    format!("{}{unit}", if text == "-0" { "0" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        let micros = |micros: f64| time(Duration::from_secs_f64(micros / 1e6));
        let table = [
            (micros(0.0), "0 µs"),
            (micros(312.4), "312 µs"),
            (micros(999.7), "1.00 ms"),
            (micros(4_561.0), "4.56 ms"),
            (micros(45_610.0), "45.6 ms"),
            (micros(999_600.0), "1.00 s"),
            (micros(3_600e6), "3,600 s"),
            (span(Duration::from_millis(2_500)), "2.50 s"),
            (span(Duration::from_secs(30)), "30 s"),
            (span(Duration::from_secs(90)), "1 min 30 s"),
            (span(Duration::from_secs(7_500)), "2 h 5 min"),
            (span(Duration::from_secs(3_600)), "1 h"),
            (count(0), "0"),
            (count(999), "999"),
            (count(1_000), "1,000"),
            (count(1_234_567), "1,234,567"),
            (rate(0.0), "0/s"),
            (rate(0.25), "0.25/s"),
            (rate(2.345), "2.35/s"),
            (rate(99.96), "100/s"),
            (rate(12_345.6), "12,346/s"),
            (share(0.0), "0 %"),
            (share(0.000_001), "< 0.01 %"),
            (share(0.1234), "12.3 %"),
            (share(0.999_9), "> 99.9 %"),
            (share(1.0), "100 %"),
            (measure(1_536.0, "B"), "1.50 KiB"),
            (measure(1_048_570.0, "bytes"), "1.00 MiB"),
            (measure(0.004, "s"), "4.00 ms"),
            (measure(1234.0, ""), "1,234"),
            (measure(7.25, "B/event"), "7.25 B/event"),
            (digits(-12.34), "-12.3"),
            (digits(0.000_012), "1.2e-5"),
            (digits(f64::NAN), "–"),
            (tick(0.0), "0"),
            (tick(0.30000000000000004), "0.3"),
            (tick(5_000.0), "5000"),
            (tick(20_000.0), "20k"),
            (tick(1_500_000.0), "1.5M"),
        ];
        for (is, should) in table {
            assert_eq!(is, should);
        }
    }
}
