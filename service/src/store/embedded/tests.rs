//! What a disk may do to the state: each damage is told, or costs nothing that a checkpoint covers.

use std::sync::atomic::{AtomicU32, Ordering};

use cauce_features::time::Timestamp;

use super::*;
use crate::log::Position;

/// A directory that goes with its test.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("cauce-state-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self) -> Result<Embedded, StateError> {
        Embedded::open(&self.0)
    }

    fn database(&self) -> PathBuf {
        self.0.join(NAME)
    }

    /// The largest file of a directory of the database.
    fn largest(&self, directory: &str) -> PathBuf {
        let files = fs::read_dir(self.database().join(directory)).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|file| file.is_file()).max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap()
    }

    /// The name of the manifest that counts.
    fn manifest(&self) -> String {
        let current = fs::read(self.database().join("keyspaces/1/current")).unwrap();
        format!("keyspaces/1/v{}", u64::from_le_bytes(*current.first_chunk().unwrap()))
    }

    /// Every file of the database.
    fn files(&self) -> Vec<PathBuf> {
        let mut directories = vec![self.database()];
        let mut files = Vec::new();
        while let Some(directory) = directories.pop() {
            for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        files
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn checkpoint(position: u64) -> Checkpoint {
    Checkpoint { reached: Position(position).into(), at: Timestamp::from_millis(7), specification: [3; 32] }
}

fn value(person: usize, version: u8) -> Vec<u8> {
    format!("history {person} {version} ").into_bytes().repeat(10)
}

fn put(people: std::ops::Range<usize>, version: u8) -> Batch {
    let put = people.map(|person| (format!("person-{person:05}").into(), value(person, version))).collect();
    Batch { put, ..Batch::default() }
}

fn at(position: u64) -> Batch {
    Batch { checkpoint: Some(checkpoint(position)), ..Batch::default() }
}

/// Everybody, page by page.
type People = Vec<(Box<str>, Vec<u8>)>;

fn everybody(state: &Embedded) -> Result<People, StateError> {
    let (mut people, mut after) = (Vec::new(), None);
    loop {
        let page = state.page(after.as_ref(), 10_000)?;
        people.extend(page.people);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(people),
        }
    }
}

/// A state of two checkpoints, with something written since the second.
fn made() -> Temporary {
    let made = Temporary::new();
    let state = made.open().unwrap();
    for (people, version) in [(0..500, 1), (0..100, 2)] {
        state.write(&put(people, version)).unwrap();
        state.write(&at(version.into())).unwrap();
    }
    state.write(&put(0..50, 3)).unwrap();
    made
}

fn flip(file: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(file).unwrap();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[at(used)] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// What is said of a state that cannot be opened.
fn told(made: &Temporary) -> String {
    let told = made.open().err().expect("it cannot be opened").to_string();
    assert!(told.starts_with("the state is damaged: ") && told.contains("--rebuild-state"), "{told}");
    told
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let made = made();
    let state = made.open().unwrap();
    assert_eq!(state.checkpoint(), Ok(Some(checkpoint(2))));
    let versions = everybody(&state).unwrap().into_iter().enumerate();
    for (person, (id, bytes)) in versions {
        let version = if person < 50 {
            3
        } else if person < 100 {
            2
        } else {
            1
        };
        assert_eq!((&*id, bytes), (&*format!("person-{person:05}"), value(person, version)));
    }
    assert_eq!(state.get("person-00499"), Ok(Some(value(499, 1))));
    assert_eq!(state.get("person-00500"), Ok(None));
}

#[test]
fn pages_hold_everybody_once_and_removed_people_not_at_all() {
    let made = made();
    let state = made.open().unwrap();
    let removed: Vec<Box<str>> = (0..500).step_by(2).map(|person| format!("person-{person:05}").into()).collect();
    state.write(&Batch { removed, ..Batch::default() }).unwrap();
    let people = everybody(&state).unwrap();
    assert_eq!(people.len(), 250);
    assert!(people.is_sorted_by(|(one, _), (next, _)| one < next), "nobody twice");
}

#[test]
fn a_second_opening_is_told_that_the_directory_is_in_use() {
    let made = made();
    let _state = made.open().unwrap();
    let place = made.0.display().to_string();
    assert_eq!(made.open().err(), Some(StateError::Locked { place: place.clone() }));
    assert_eq!(Embedded::remove(&made.0), Err(StateError::Locked { place }));
}

#[test]
fn a_flipped_bit_in_a_table_is_damage_and_never_another_history() {
    for place in [3, 1, 0] {
        let made = made();
        flip(&made.largest("keyspaces/1/tables"), |used| used * place / 4);
        let read = made.open().and_then(|state| everybody(&state));
        assert!(matches!(read, Err(StateError::Damaged { .. })), "{read:?}");
    }
}

#[test]
fn whatever_is_cut_off_the_journal_costs_nothing_that_a_checkpoint_covers() {
    for keep in [1.0, 0.9, 0.5, 0.0] {
        let made = made();
        let journal = made.largest("");
        let bytes = fs::read(&journal).unwrap();
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        fs::write(&journal, &bytes[..(used as f64 * keep) as usize]).unwrap();
        let state = made.open().unwrap();
        assert_eq!(state.checkpoint(), Ok(Some(checkpoint(2))));
        let people = everybody(&state).unwrap();
        assert_eq!(people.len(), 500);
        assert_eq!(people[75].1, value(75, 2), "{keep} of the journal");
    }
}

#[test]
fn a_flipped_bit_in_the_journal_is_damage_or_cuts_it_off() {
    for place in 0..8 {
        let made = made();
        flip(&made.largest(""), |used| used * place / 8 + place);
        match made.open() {
            Err(error) => assert!(matches!(error, StateError::Damaged { .. }), "{error}"),
            Ok(state) => assert_eq!(everybody(&state).unwrap()[75].1, value(75, 2)),
        }
    }
}

#[test]
fn a_missing_file_is_named_and_nothing_is_overwritten() {
    for name in ["version", "lock", "keyspaces/0/current", "keyspaces/1/current", "manifest", "0.jnl"] {
        let made = made();
        let name = if name == "manifest" { &made.manifest() } else { name };
        fs::remove_file(made.database().join(name)).unwrap();
        let left = made.files();
        let told = told(&made);
        let name = if name == "0.jnl" { "*.jnl" } else { name };
        assert!(told.contains(&format!("{name}` is missing")), "{told}");
        assert_eq!(made.files(), left);
    }
}

#[test]
fn a_flipped_bit_in_the_checkpoint_is_damage() {
    for place in [0, 3, 20, 50] {
        let made = made();
        flip(&made.database().join(CHECKPOINT), |_| place);
        let read = made.open().unwrap().checkpoint();
        assert!(matches!(read, Err(StateError::Damaged { .. })), "{read:?}");
    }
}

#[test]
fn a_missing_table_is_damage() {
    let made = made();
    fs::remove_file(made.largest("keyspaces/1/tables")).unwrap();
    told(&made);
}

#[test]
fn a_flipped_bit_anywhere_in_a_manifest_is_damage() {
    for (name, place) in [("manifest", 0), ("manifest", 40), ("keyspaces/1/current", 9), ("version", 1)] {
        let made = made();
        let name = if name == "manifest" { &made.manifest() } else { name };
        flip(&made.database().join(name), |used| place.min(used));
        told(&made);
    }
}

#[test]
fn a_beginning_that_was_cut_short_begins_again() {
    let made = Temporary::new();
    fs::create_dir_all(made.0.join(NEW_NAME).join("keyspaces/1")).unwrap();
    fs::write(made.0.join(NEW_NAME).join("version"), "half").unwrap();
    let state = made.open().unwrap();
    assert_eq!((state.checkpoint(), everybody(&state)), (Ok(None), Ok(vec![])));
    assert!(!made.0.join(NEW_NAME).exists());
}

#[test]
fn purged_people_leave_no_byte_on_the_disk_and_later_writes_stand() {
    let made = made();
    let state = made.open().unwrap();
    let is_on_disk = |bytes: &[u8]| {
        let holds = |file: &PathBuf| fs::read(file).unwrap().windows(bytes.len()).any(|window| window == bytes);
        made.files().iter().any(holds)
    };
    let erased = Batch { removed: vec!["person-00007".into()], checkpoint: Some(checkpoint(3)), ..Batch::default() };
    state.write(&erased).unwrap();
    assert!(is_on_disk(b"person-00007") && is_on_disk(&value(7, 1)[..10]));
    state.purge().unwrap();
    for gone in [b"person-00007".as_slice(), b"history 7 1", b"history 7 2", b"history 7 3", b"history 70 1"] {
        assert!(!is_on_disk(gone), "{}", String::from_utf8_lossy(gone));
    }
    assert!(is_on_disk(b"history 70 2"), "others stay");
    state.write(&put(8..10, 4)).unwrap();
    state.write(&at(4)).unwrap();
    drop(state);
    let state = made.open().unwrap();
    assert_eq!((state.checkpoint(), state.get("person-00007")), (Ok(Some(checkpoint(4))), Ok(None)));
    assert_eq!(state.get("person-00008"), Ok(Some(value(8, 4))));
    assert_eq!(everybody(&state).unwrap().len(), 499);
}

#[test]
fn a_failed_flush_is_told_and_opening_anew_goes_on_with_all_that_was_written() {
    let made = made();
    let state = made.open().unwrap();
    let (tables, away) = (made.database().join("keyspaces/1/tables"), made.0.join("away"));
    fs::rename(&tables, &away).unwrap();
    let refused = state.write(&Batch { checkpoint: Some(checkpoint(3)), ..put(0..20, 4) });
    assert!(matches!(refused, Err(StateError::Unavailable { .. })), "{refused:?}");
    assert!(matches!(state.write(&put(0..20, 5)), Err(StateError::Unavailable { .. })));
    assert!(matches!(state.reopen(), Err(StateError::Damaged { .. })), "its tables are gone");
    assert!(matches!(state.get("person-00000"), Err(StateError::Unavailable { .. })));
    // Opening leaves the tables' directory as it found it or empty; here it comes back.
    let _ = fs::remove_dir(&tables);
    fs::rename(&away, &tables).unwrap();
    state.reopen().unwrap();
    assert_eq!((state.checkpoint(), state.get("person-00000")), (Ok(Some(checkpoint(2))), Ok(Some(value(0, 4)))));
    state.write(&at(3)).unwrap();
    assert_eq!(everybody(&state).unwrap().len(), 500);
}

#[test]
fn opening_anew_in_place_keeps_everything() {
    let made = made();
    let state = made.open().unwrap();
    let before = everybody(&state).unwrap();
    state.reopen().unwrap();
    assert_eq!(everybody(&state), Ok(before));
    state.write(&put(0..1, 9)).unwrap();
    assert_eq!(state.get("person-00000"), Ok(Some(value(0, 9))));
    assert!(state.disk_bytes() > 50_000 && state.disk_bytes() < 5_000_000, "{}", state.disk_bytes());
}

#[test]
fn removing_the_state_leaves_what_else_is_in_its_directory() {
    let made = made();
    let other = made.0.join("notes.txt");
    fs::write(&other, "mine").unwrap();
    Embedded::remove(&made.0).unwrap();
    assert!(other.exists() && !made.database().exists());
    assert_eq!(made.open().unwrap().checkpoint(), Ok(None));
    Embedded::remove(&Temporary::new().0).unwrap();
}
