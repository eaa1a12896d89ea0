//! Civil dates by `jiff`, which the engine does not use: where days, weeks and months begin at a fixed offset.

use cauce_features::spec::CalendarUnit;
use jiff::civil::{Date, time};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

/// The start of the period that an instant falls in, counted back by so many whole periods.
pub(crate) fn start(at_ms: i64, unit: CalendarUnit, offset_minutes: i32, periods_back: i64) -> i64 {
    let offset = Offset::from_seconds(offset_minutes * 60).expect("an offset of less than a day");
    let instant = Timestamp::from_millisecond(at_ms).expect("an accepted instant");
    let first = first_day(offset.to_datetime(instant).date(), unit);
    let back = match unit {
        CalendarUnit::Day => periods_back.days(),
        CalendarUnit::Week => (7 * periods_back).days(),
        CalendarUnit::Month => periods_back.months(),
    };
    let midnight = first.checked_sub(back).expect("an accepted date").to_datetime(time(0, 0, 0, 0));
    offset.to_timestamp(midnight).expect("an accepted instant").as_millisecond()
}

fn first_day(date: Date, unit: CalendarUnit) -> Date {
    match unit {
        CalendarUnit::Day => date,
        CalendarUnit::Week => {
            let since_monday = i64::from(date.weekday().to_monday_zero_offset());
            date.checked_sub(since_monday.days()).expect("an accepted date")
        }
        CalendarUnit::Month => date.first_of_month(),
    }
}
