//! SIGKILL at random moments loses nothing that was acknowledged and applies nothing twice (S2, F1).

use crate::support::crash::Crash;

const ROUNDS: u64 = 20;
/// Fewer acknowledged events, and the rounds have shown nothing: on a disk that others keep busy it takes more of them.
const ACKNOWLEDGED: u64 = 1_000;
const ROUNDS_MOST: u64 = 60;

#[test]
fn nothing_acknowledged_is_lost_or_applied_twice_however_often_the_process_is_killed() {
    let mut crash = Crash::new("crash", 20_260_620);
    while crash.so_far().rounds < ROUNDS
        || (crash.so_far().acknowledged < ACKNOWLEDGED && crash.so_far().rounds < ROUNDS_MOST)
    {
        crash.round();
    }
    let report = crash.finish();
    // One a line, and the first few: each may hold a whole answer.
    let faults: Vec<String> = report.faults.iter().take(5).map(|fault| fault.chars().take(600).collect()).collect();
    assert!(faults.is_empty(), "{} faults, of them:\n{}", report.faults.len(), faults.join("\n"));
    assert_eq!((report.acknowledged_lost, report.applied_twice), (0, 0), "{report:?}");
    assert!(report.acknowledged >= ACKNOWLEDGED && report.digests_compared > ROUNDS / 4, "{report:?}");
}
