//! What two looks at offsets say: lag, rates, the time to catch up, and which trouble it looks like.
//!
//! The partitions of one number are one slice of people, worked on together, so trouble is looked for by slice. What tells trouble from
//! work that goes on is what was there at the first look and is not committed at the second.

use std::collections::BTreeMap;
use std::fmt;

/// A slice with so much of the whole lag, the others being near none, is hot.
const HOT_SHARE: f64 = 0.5;

/// Near none: a median of the others below this share of the hot one.
const NEAR_NONE: f64 = 0.05;

/// What was seen of a partition, at two times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub partition: i32,
    /// The first record that is still there.
    pub start: i64,
    /// `None` where nothing was ever committed: work will begin at the start.
    pub committed: [Option<i64>; 2],
    pub end: [i64; 2],
}

/// The work on a partition, a slice or all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Work {
    pub partition: i32,
    pub committed: Option<i64>,
    pub end: i64,
    /// Records that are not committed.
    pub lag: i64,
    /// Those of them that were there at the first look already.
    pub waiting: i64,
    /// Records that retention removed before they were consumed.
    pub lost: i64,
    pub committed_per_s: f64,
    pub produced_per_s: f64,
}

/// When there will be no lag, if both rates stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum CatchUp {
    /// In so many seconds.
    In(f64),
    /// No more is committed than is produced.
    Never,
}

/// What it looks like.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Hint {
    /// What was there at the first look is committed; so many records have come since.
    KeepsUp { since: i64 },
    /// Retention removed records before they were consumed.
    Lost { records: i64 },
    /// Nothing at all is committed.
    Stopped { members: Option<usize> },
    /// Nothing of these slices is committed, while others go on.
    Stuck { partitions: Vec<i32> },
    /// Most of the lag is in one slice.
    Hot { partition: i32, share: f64, catch_up: CatchUp },
    /// The lag is spread, and gets less.
    CatchesUp { seconds: f64 },
    /// The lag is spread, and does not get less.
    Slow { slices: usize },
}

impl Work {
    /// What two looks, so far apart, say of a partition.
    pub(super) fn of(seen: &Seen, seconds: f64) -> Self {
        let at = |look: usize| seen.committed[look].unwrap_or(seen.start).max(seen.start);
        let per_s = |from: i64, to: i64| (to - from).max(0) as f64 / seconds.max(0.001);
        // Whoever commits for the first time began at the start.
        let before = seen.committed[0].unwrap_or(seen.start);
        Self {
            partition: seen.partition,
            committed: seen.committed[1],
            end: seen.end[1],
            lag: (seen.end[1] - at(1)).max(0),
            waiting: (seen.end[0] - at(1)).max(0),
            lost: seen.committed[1].map_or(0, |committed| (seen.start - committed).max(0)),
            committed_per_s: seen.committed[1].map_or(0.0, |committed| per_s(before, committed)),
            produced_per_s: per_s(seen.end[0], seen.end[1]),
        }
    }

    /// When it will be caught up.
    pub(super) fn catch_up(&self) -> CatchUp {
        match self.committed_per_s - self.produced_per_s {
            _ if self.lag == 0 => CatchUp::In(0.0),
            faster if faster > 0.0 => CatchUp::In(self.lag as f64 / faster),
            _ => CatchUp::Never,
        }
    }

    fn is_stuck(&self) -> bool {
        self.waiting > 0 && self.committed_per_s == 0.0
    }

    fn add(&mut self, other: &Self) {
        self.lag += other.lag;
        self.waiting += other.waiting;
        self.lost += other.lost;
        self.committed_per_s += other.committed_per_s;
        self.produced_per_s += other.produced_per_s;
    }
}

/// The work on all.
pub(super) fn total(work: &[Work]) -> Work {
    let mut total = Work::default();
    work.iter().for_each(|one| total.add(one));
    total
}

/// What the work on all partitions looks like.
pub(super) fn hint(work: &[Work], members: Option<usize>) -> Hint {
    let mut slices: BTreeMap<i32, Work> = BTreeMap::new();
    for one in work {
        slices.entry(one.partition).or_insert(Work { partition: one.partition, ..Work::default() }).add(one);
    }
    let (slices, total) = (slices.into_values().collect::<Vec<_>>(), total(work));
    if total.lost > 0 {
        return Hint::Lost { records: total.lost };
    }
    if total.waiting == 0 {
        return Hint::KeepsUp { since: total.lag };
    }
    if total.committed_per_s == 0.0 {
        return Hint::Stopped { members };
    }
    let stuck: Vec<&Work> = slices.iter().filter(|slice| slice.is_stuck()).collect();
    if 2 * stuck.iter().map(|slice| slice.lag).sum::<i64>() >= total.lag {
        return Hint::Stuck { partitions: stuck.iter().map(|slice| slice.partition).collect() };
    }
    if let Some(hot) = hot(&slices, total.lag) {
        let share = hot.lag as f64 / total.lag as f64;
        return Hint::Hot { partition: hot.partition, share, catch_up: hot.catch_up() };
    }
    match total.catch_up() {
        CatchUp::In(seconds) => Hint::CatchesUp { seconds },
        CatchUp::Never => Hint::Slow { slices: slices.len() },
    }
}

/// The slice that holds most of the lag while the others have hardly any.
fn hot(slices: &[Work], lag: i64) -> Option<&Work> {
    let hottest = slices.iter().max_by_key(|slice| slice.lag)?;
    let others = slices.iter().filter(|slice| slice.partition != hottest.partition);
    let mut others: Vec<i64> = others.map(|slice| slice.lag).collect();
    others.sort_unstable();
    let median = *others.get(others.len() / 2)?;
    let has_most = hottest.lag as f64 >= HOT_SHARE * lag as f64;
    (has_most && median as f64 <= NEAR_NONE * hottest.lag as f64).then_some(hottest)
}

impl Hint {
    /// Its name in JSON.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::KeepsUp { .. } => "keeps_up",
            Self::Lost { .. } => "lost",
            Self::Stopped { .. } => "stopped",
            Self::Stuck { .. } => "stuck",
            Self::Hot { .. } => "hot_partition",
            Self::CatchesUp { .. } => "catches_up",
            Self::Slow { .. } => "slow_consumer",
        }
    }

    /// Whether somebody has to do something.
    pub(super) fn is_wrong(&self) -> bool {
        match self {
            Self::KeepsUp { .. } | Self::CatchesUp { .. } => false,
            Self::Hot { catch_up, .. } => *catch_up == CatchUp::Never,
            Self::Lost { .. } | Self::Stopped { .. } | Self::Stuck { .. } | Self::Slow { .. } => true,
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepsUp { since } => {
                write!(f, "keeps up: what was there at the first look is committed; {since} records have come since")
            }
            Self::Lost { records } => write!(
                f,
                "lost: retention removed {records} records before they were consumed, so histories lack them; see `cauce topics check`"
            ),
            Self::Stopped { members: Some(0) } => {
                write!(f, "stopped: the group has no member; start `cauce serve` with this `kafka.group`")
            }
            Self::Stopped { .. } => write!(
                f,
                "stopped: nothing was committed; an instance that rebuilds its state commits nothing until it is done, see its log"
            ),
            Self::Stuck { partitions } => write!(
                f,
                "stuck: nothing was committed of partitions {partitions:?} while others go on; see the log of the instance that owns them"
            ),
            Self::Hot { partition, share, catch_up } => write!(
                f,
                "hot partition: {partition} has {:.0} % of the lag, the others hardly any; few people send most of it, or keys are not \
                 spread. More instances do not help. It is caught up in: {catch_up}",
                share * 100.0
            ),
            Self::CatchesUp { seconds } => write!(f, "catches up: in {}, at these rates", CatchUp::In(*seconds)),
            Self::Slow { slices } => write!(
                f,
                "slow consumer: the lag is spread over the partitions and does not get less; up to {slices} instances share the work"
            ),
        }
    }
}

/// In the two largest units that are not zero.
impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::In(seconds) = self else { return f.write_str("never") };
        let whole = seconds.ceil() as u64;
        match (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60) {
            (0, 0, 0, seconds) => f.pad(&format!("{seconds}s")),
            (0, 0, minutes, seconds) => f.pad(&format!("{minutes}m {seconds}s")),
            (0, hours, minutes, _) => f.pad(&format!("{hours}h {minutes}m")),
            (days, hours, ..) => f.pad(&format!("{days}d {hours}h")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A partition: its lag, and records committed and produced in the second between the looks.
    fn work(partition: i32, lag: i64, committed: i64, produced: i64) -> Work {
        let (end, at) = (1_000_000 + lag, 1_000_000);
        let seen =
            Seen { partition, start: 0, committed: [Some(at - committed), Some(at)], end: [end - produced, end] };
        Work::of(&seen, 1.0)
    }

    fn hint_of(work: &[Work]) -> Hint {
        hint(work, Some(2))
    }

    #[test]
    fn lag_and_rates_follow_from_two_looks() {
        let seen = Seen { partition: 3, start: 10, committed: [Some(100), Some(300)], end: [400, 500] };
        let work = Work::of(&seen, 2.0);
        assert_eq!((work.lag, work.waiting, work.lost), (200, 100, 0));
        assert_eq!((work.committed_per_s, work.produced_per_s), (100.0, 50.0));
        assert_eq!(work.catch_up(), CatchUp::In(4.0));
    }

    #[test]
    fn what_was_never_committed_lags_from_the_first_record_that_is_there() {
        let never = Seen { partition: 0, start: 10, committed: [None, None], end: [50, 50] };
        assert_eq!(Work::of(&never, 1.0), Work { end: 50, lag: 40, waiting: 40, ..Work::default() });
        let just = Work::of(&Seen { committed: [None, Some(30)], ..never }, 1.0);
        assert_eq!((just.lag, just.committed_per_s, just.lost), (20, 20.0, 0));
    }

    #[test]
    fn what_retention_removed_unread_is_lost() {
        let seen = Seen { partition: 0, start: 60, committed: [Some(10), Some(10)], end: [100, 100] };
        let work = Work::of(&seen, 1.0);
        assert_eq!((work.lag, work.lost, work.committed_per_s), (40, 50, 0.0));
        assert_eq!(hint_of(&[work]), Hint::Lost { records: 50 });
    }

    #[test]
    fn the_time_to_catch_up_counts_what_is_produced_meanwhile() {
        for (lag, committed, produced, expected) in [
            (0, 0, 0, CatchUp::In(0.0)),
            (1000, 100, 0, CatchUp::In(10.0)),
            (1000, 100, 50, CatchUp::In(20.0)),
            (1000, 100, 100, CatchUp::Never),
            (1000, 100, 200, CatchUp::Never),
            (1000, 0, 0, CatchUp::Never),
        ] {
            assert_eq!(work(0, lag, committed, produced).catch_up(), expected, "{lag} {committed} {produced}");
        }
    }

    #[test]
    fn each_trouble_is_told_from_the_others() {
        let spread = |committed, produced| (0..4).map(|partition| work(partition, 1000, committed, produced)).collect();
        let cases: [(&str, Vec<Work>, Hint); 9] = [
            ("no lag", vec![work(0, 0, 0, 0)], Hint::KeepsUp { since: 0 }),
            // What was produced between the looks is no sign of trouble.
            ("busy", vec![work(0, 90, 100, 100), work(1, 100, 100, 100)], Hint::KeepsUp { since: 190 }),
            ("idle", vec![work(0, 1, 0, 1)], Hint::KeepsUp { since: 1 }),
            ("no commits", spread(0, 10), Hint::Stopped { members: Some(2) }),
            ("growing", spread(100, 100), Hint::Slow { slices: 4 }),
            ("shrinking", spread(100, 50), Hint::CatchesUp { seconds: 20.0 }),
            (
                "one instance hangs",
                vec![work(0, 1000, 0, 10), work(1, 1000, 0, 10), work(2, 3, 100, 100), work(3, 0, 100, 100)],
                Hint::Stuck { partitions: vec![0, 1] },
            ),
            (
                "one slice is behind",
                vec![work(0, 5, 100, 100), work(1, 900, 100, 200), work(2, 20, 100, 100), work(3, 75, 90, 100)],
                Hint::Hot { partition: 1, share: 0.9, catch_up: CatchUp::Never },
            ),
            // A second partition with some lag makes it no hot one.
            (
                "skewed",
                vec![work(0, 400, 100, 100), work(1, 900, 100, 100), work(2, 300, 100, 100)],
                Hint::Slow { slices: 3 },
            ),
        ];
        for (name, work, expected) in cases {
            assert_eq!(hint_of(&work), expected, "{name}");
        }
    }

    #[test]
    fn partitions_of_one_number_are_one_slice() {
        let lanes = [work(0, 500, 100, 100), work(1, 1, 100, 100), work(0, 500, 0, 0), work(1, 0, 0, 0)];
        assert!(matches!(hint_of(&lanes), Hint::Hot { partition: 0, .. }), "{:?}", hint_of(&lanes));
    }

    #[test]
    fn only_what_needs_somebody_is_wrong() {
        for (hint, is_wrong) in [
            (Hint::KeepsUp { since: 5 }, false),
            (Hint::CatchesUp { seconds: 5.0 }, false),
            (Hint::Hot { partition: 0, share: 0.9, catch_up: CatchUp::In(5.0) }, false),
            (Hint::Hot { partition: 0, share: 0.9, catch_up: CatchUp::Never }, true),
            (Hint::Slow { slices: 12 }, true),
            (Hint::Stopped { members: Some(0) }, true),
            (Hint::Stuck { partitions: vec![1] }, true),
            (Hint::Lost { records: 1 }, true),
        ] {
            assert_eq!(hint.is_wrong(), is_wrong, "{hint}");
        }
    }

    #[test]
    fn times_are_written_for_people() {
        for (seconds, text) in
            [(0.0, "0s"), (0.2, "1s"), (59.0, "59s"), (61.0, "1m 1s"), (7_265.0, "2h 1m"), (90_000.0, "1d 1h")]
        {
            assert_eq!(CatchUp::In(seconds).to_string(), text);
        }
        assert_eq!(CatchUp::Never.to_string(), "never");
    }
}
