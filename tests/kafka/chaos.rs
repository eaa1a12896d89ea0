//! Whatever is killed, every application is scored once, and as if nothing had happened (S4, F1).

use crate::support::kafka::chaos::{Plan, Report, run};

/// What holds with transactions and without.
fn expect_whole(report: &Report) {
    println!("{report:?}");
    assert_eq!(report.faults, Vec::<String>::new());
    assert_eq!((report.lost, report.different), (0, 0), "{report:?}");
    assert!(report.digest_equal, "{report:?}");
    // Otherwise it has shown nothing.
    assert!(report.scored_meanwhile > 50 && report.dead_letters_expected > 20, "{report:?}");
}

#[test]
fn every_application_is_scored_once_and_alike_whatever_is_killed() {
    let report = run(Plan { name: "chaos", seed: 20_260_620, kills: 10, outages: 2, pace: 400, transactions: true });
    expect_whole(&report);
    assert_eq!((report.duplicated, report.dead_letters_seen), (0, report.dead_letters_expected), "{report:?}");
    assert!(report.kills >= 8 && report.outages == 2, "{report:?}");
}

#[test]
fn scores_that_are_made_again_without_transactions_are_the_same_bytes() {
    let plan = Plan { name: "chaos-plain", seed: 1, kills: 5, outages: 1, pace: 800, transactions: false };
    expect_whole(&run(plan));
}
