//! Swaps of the bundle under load: whether any request fails, and what they do to the others' latency.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Directory, Server, copy, repository};

/// Two bundles that differ in their version, side by side, and the second one's directory.
pub(crate) struct Bundles {
    _directory: Directory,
    pub(crate) first: PathBuf,
    second: PathBuf,
}

impl Bundles {
    pub(crate) fn new() -> Self {
        let directory = Directory::new("bench-budget-bundles");
        let [first, second] = ["first", "second"].map(|name| directory.path(name));
        for bundle in [&first, &second] {
            copy(&repository().join("model/artifacts/ahorro-valle"), bundle);
        }
        let manifest = second.join("bundle.json");
        let text = fs::read_to_string(&manifest).expect("it was copied");
        let mut document: Value = serde_json::from_str(&text).expect("a manifest is JSON");
        document["version"] = json!("second");
        fs::write(&manifest, document.to_string()).expect("it can be written");
        Self { _directory: directory, first, second }
    }

    /// Swaps them so often, one after the other, while `load` goes on until it sees `done`; what came of it, and how many swaps were not made.
    pub(crate) fn swap_during<R: Send>(
        &self,
        server: &Server,
        swaps: u64,
        done: &AtomicBool,
        load: impl FnOnce() -> R + Send,
    ) -> (R, u64) {
        thread::scope(|scope| {
            let loaded = scope.spawn(load);
            let mut failed = 0;
            for swap in 0..swaps {
                let bundle = if swap % 2 == 0 { &self.second } else { &self.first };
                let body = json!({"path": bundle}).to_string();
                let answer = server.post("/admin/bundle", "application/json", body);
                if answer.status != 200 || answer.json()["outcome"] != "swapped" {
                    println!("not swapped: {} {}", answer.status, answer.text());
                    failed += 1;
                }
            }
            done.store(true, Ordering::Relaxed);
            (loaded.join().expect("a load does not panic"), failed)
        })
    }
}
