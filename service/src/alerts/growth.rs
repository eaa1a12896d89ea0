//! Whether the log grows abnormally: how fast it grew over the last minute, against how fast it usually does.
//!
//! Both are means of bytes a second that forget, the one in a minute, the other in an hour. A log that has begun to grow faster for good
//! is the usual one within the hour, so the alert ends by itself. While little was seen, the usual rate is the mean of what there was. It
//! counts as at least `alerts.log_growth_least`: many times nearly nothing is no reason to look. A log that shrinks, as old segments go,
//! grows by nothing.

use std::time::Duration;

const RECENT: Duration = Duration::from_secs(60);
const USUAL: Duration = Duration::from_secs(3600);

/// What is remembered of a log's growth.
#[derive(Debug, Default)]
pub struct Growth {
    before: Option<(Duration, u64)>,
    recent: Mean,
    usual: Mean,
}

/// A mean of a rate in which what is long past weighs little: `sum / weight`, both fading.
#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Growth {
    /// Takes the log's size at an instant; how many times faster it grows than usual, once that can be said.
    pub fn observe(&mut self, now: Duration, bytes: u64, least: f64) -> Option<f64> {
        let (then, had) = self.before.replace((now, bytes))?;
        let seconds = now.checked_sub(then).filter(|passed| !passed.is_zero())?.as_secs_f64();
        let rate = bytes.saturating_sub(had) as f64 / seconds;
        let recent = self.recent.take(rate, seconds, RECENT);
        let usual = self.usual.take(rate, seconds, USUAL);
        Some(recent / usual.max(least).max(1.0))
    }
}

impl Mean {
    fn take(&mut self, rate: f64, seconds: f64, memory: Duration) -> f64 {
        let kept = (-seconds / memory.as_secs_f64()).exp();
        self.sum = self.sum * kept + rate * (1.0 - kept);
        self.weight = self.weight * kept + (1.0 - kept);
        self.sum / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: f64 = 1024.0;

    /// The last ratio after these spans of seconds, each at so many bytes a second.
    fn after(spans: &[(u64, u64)]) -> f64 {
        let (mut growth, mut bytes, mut second, mut ratio) = (Growth::default(), 1 << 30, 0, None);
        for &(seconds, rate) in spans {
            for _ in 0..seconds {
                ratio = growth.observe(Duration::from_secs(second), bytes, 64.0 * KIB);
                second += 1;
                bytes += rate;
            }
        }
        ratio.unwrap()
    }

    #[test]
    fn burst_stands_out_and_becomes_usual_when_it_lasts() {
        let (calm, burst) = (100 << 10, 10 << 20);
        for (spans, expected) in [
            (&[(3600, calm)][..], 0.99..1.01),
            (&[(3600, calm), (60, burst)], 15.0..20.0),
            (&[(3600, calm), (90, 10 * calm)], 5.0..6.0),
            // Whoever starts under load has nothing to compare it with.
            (&[(120, burst)], 0.99..1.01),
            (&[(3600, calm), (4 * 3600, burst)], 0.99..1.1),
            (&[(3600, calm), (60, burst), (900, calm)], 0.1..1.0),
            // Much more than nothing, and still little.
            (&[(3600, 1), (60, 1000)], 0.0..0.1),
        ] {
            let ratio = after(spans);
            assert!(expected.contains(&ratio), "{spans:?}: {ratio}");
        }
    }

    #[test]
    fn log_that_shrinks_grows_by_nothing() {
        let mut growth = Growth::default();
        assert_eq!(growth.observe(Duration::ZERO, 500, 1.0), None);
        assert_eq!(growth.observe(Duration::from_secs(1), 100, 1.0), Some(0.0));
        // The same instant again says nothing.
        assert_eq!(growth.observe(Duration::from_secs(1), 900, 1.0), None);
    }
}
