//! Any text is a specification or a list of places in it that are wrong; a valid one compiles to the same hash again.
//!
//! `cargo +nightly fuzz run specification` in `features/`.
#![no_main]

use cauce_features::spec::Specification;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Specification::parse("features.toml", text) {
        Ok(specification) => {
            let again = Specification::parse("elsewhere.toml", text).expect("it was valid");
            assert_eq!(specification.hash, again.hash);
        }
        Err(errors) => {
            assert!(!errors.errors.is_empty());
            let lines = text.split('\n').count();
            assert!(errors.errors.iter().all(|error| (1..=lines).contains(&error.line) && error.column >= 1));
        }
    }
});
