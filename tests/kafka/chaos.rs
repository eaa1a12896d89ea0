//! Whatever is killed, every application is scored once, and as if nothing had happened (S4, F1).

use crate::support::kafka::chaos::{Plan, run};

#[test]
fn every_application_is_scored_once_and_alike_whatever_is_killed() {
    let report = run(Plan { name: "chaos", seed: 20_260_620, kills: 10, outages: 2, pace: 400 });
    println!("{report:?}");
    assert_eq!(report.faults, Vec::<String>::new());
    assert_eq!((report.lost, report.duplicated, report.different), (0, 0, 0), "{report:?}");
    assert_eq!(report.dead_letters_seen, report.dead_letters_expected, "{report:?}");
    assert!(report.digest_equal, "{report:?}");
    // Otherwise it has shown nothing.
    assert!(report.kills >= 8 && report.outages == 2 && report.dead_letters_expected > 20, "{report:?}");
    assert!(report.scored_meanwhile > report.applications / 4, "{report:?}");
}
