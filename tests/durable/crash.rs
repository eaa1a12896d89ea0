//! SIGKILL at random moments loses nothing that was acknowledged and applies nothing twice (S2, F1).

use crate::support::crash::Crash;

const ROUNDS: u64 = 20;

#[test]
fn nothing_acknowledged_is_lost_or_applied_twice_however_often_the_process_is_killed() {
    let mut crash = Crash::new("crash", 20_260_620);
    (0..ROUNDS).for_each(|_| crash.round());
    let report = crash.finish();
    assert_eq!(report.faults, Vec::<String>::new());
    assert_eq!((report.acknowledged_lost, report.applied_twice), (0, 0), "{report:?}");
    // Otherwise the rounds have shown nothing.
    assert!(report.acknowledged > 50 * ROUNDS && report.digests_compared > ROUNDS / 4, "{report:?}");
}
