//! The one clock of the service, read at the edge only. It may stand still, to replay history.

use std::time::{SystemTime, UNIX_EPOCH};

use cauce_features::time::{TimeError, Timestamp};

/// Where `now` comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    System,
    Frozen(Timestamp),
}

/// What a clock is set to.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("`server.clock` must be `system` or an instant such as `2026-01-15T14:00:00Z`: {0}")]
pub struct ClockError(TimeError);

impl Clock {
    /// Reads the setting `server.clock`.
    pub fn parse(setting: &str) -> Result<Self, ClockError> {
        match setting {
            "system" => Ok(Self::System),
            instant => Timestamp::parse(instant).map(Self::Frozen).map_err(ClockError),
        }
    }

    /// The instant it shows.
    pub fn now(self) -> Timestamp {
        match self {
            Self::Frozen(instant) => instant,
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }
}
