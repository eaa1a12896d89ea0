//! Any bytes behind a snapshot's header are a timeline or an error; a timeline encodes and decodes to itself.
//!
//! `cargo +nightly fuzz run timeline` in `features/`.
#![no_main]

use std::sync::LazyLock;

use cauce_features::plan::FeaturePlan;
use cauce_features::spec::Specification;
use cauce_features::timeline::Timeline;
use libfuzzer_sys::fuzz_target;

/// Version and fingerprint: without them every input would end at the first check.
const HEADER: usize = 5;

static PLAN: LazyLock<FeaturePlan> = LazyLock::new(|| {
    let text = r#"
        name = "fuzz"
        horizon = "90d"
        [application.fields]
        [events.payment.fields]
        amount = { type = "decimal", scale = 2, required = false }
        payee = { type = "text", required = false }
        [[features]]
        name = "paid"
        from = "payment"
        where = "amount > 10"
        aggregate = "stddev"
        field = "amount"
        window = "lifetime"
        [[features]]
        name = "payees"
        from = "payment"
        aggregate = "distinct"
        field = "payee"
        window = { sliding = "30d" }
    "#;
    FeaturePlan::compile(Specification::parse("fuzz.toml", text).expect("valid")).expect("few streams")
});

fuzz_target!(|bytes: &[u8]| {
    let mut snapshot = Timeline::default().encode(&PLAN);
    snapshot.truncate(HEADER);
    snapshot.extend_from_slice(bytes);
    if let Ok(timeline) = Timeline::decode(&PLAN, &snapshot) {
        let encoded = timeline.encode(&PLAN);
        let again = Timeline::decode(&PLAN, &encoded).expect("what was encoded decodes");
        assert_eq!(again.encode(&PLAN), encoded);
    }
});
