//! Values of a configuration that TOML has no word for: durations (`"30ms"`) and sizes (`"64MiB"`).

use serde::{Deserialize, Serialize};

/// A length of time, written as a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(std::time::Duration);

/// A number of bytes, written as a whole number and `B`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(usize);

/// Units from the largest down, so that writing takes the largest that divides evenly.
const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Duration {
    /// The duration.
    pub fn get(self) -> std::time::Duration {
        self.0
    }
}

impl Size {
    /// The number of bytes.
    pub fn bytes(self) -> usize {
        self.0
    }
}

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let millis = parse(&text, &DURATION_UNITS).ok_or_else(|| {
            format!("a duration is a whole number and a unit as in `30ms`, `5s`, `1m`, `2h` or `90d`, not `{text}`")
        })?;
        Ok(Self(std::time::Duration::from_millis(millis)))
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text, &SIZE_UNITS)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(|| format!("a size is a whole number and a unit as in `512B`, `64KiB` or `8MiB`, not `{text}`"))
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> String {
        write(u64::try_from(duration.0.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS)
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        write(size.0 as u64, &SIZE_UNITS)
    }
}

/// The end of a message that knows what was meant.
pub fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|word| format!(", did you mean `{word}`?")).unwrap_or_default()
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn write(value: u64, units: &[(&str, u64)]) -> String {
    let (unit, factor) =
        units.iter().find(|(_, factor)| value.is_multiple_of(*factor) && value != 0).unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", value / factor)
}
