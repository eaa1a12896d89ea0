//! `POST /admin/bundle`, its way back, SIGHUP and the watch: another bundle in service while requests come, or a reason why not.
//!
//! The bundles differ in what they decide alone: one approves everybody, the other declines everybody. So an answer's decision says
//! which bundle made it, and has to be the one that the answer names.

/// What is refused, by whom it is asked, and that it does no harm.
mod refused;
/// What is put in service: under load, back again, by signal and by watch.
mod served;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::history::{BUNDLE, JSON, NOW};
use crate::support::{Answer, Directory, Server, copy, repository};

pub(crate) const APPROVES: &str = "approves";
pub(crate) const DECLINES: &str = "declines";

/// A directory of two bundles.
pub(crate) fn bundles(name: &str) -> Directory {
    let directory = Directory::new(&format!("reload-{name}"));
    for (name, approve_below) in [(APPROVES, 1.0), (DECLINES, 0.0)] {
        let bundle = directory.path(name);
        copy(&repository().join(BUNDLE), &bundle);
        let mut reference: Value = serde_json::from_slice(&fs::read(bundle.join("reference.json")).unwrap()).unwrap();
        reference["thresholds"] = json!({"approve_below": approve_below, "decline_from": approve_below});
        fs::write(bundle.join("reference.json"), reference.to_string()).unwrap();
        seal(&bundle, name);
    }
    directory
}

/// Writes `bundle.json` for the files as they are, as whoever made them would.
fn seal(bundle: &Path, version: &str) {
    let path = bundle.join("bundle.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["version"] = json!(version);
    for (file, hash) in manifest["files"].as_object_mut().unwrap() {
        let digest = Sha256::digest(fs::read(bundle.join(file)).unwrap());
        *hash = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    }
    put(manifest.to_string().as_bytes(), &path);
}

/// Writes a file as deployments do: there is never half of it.
fn put(content: &[u8], file: &Path) {
    let beside = file.parent().unwrap().with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, file).unwrap();
}

/// A server of one of them, with these settings.
fn server(directory: &Directory, bundle: &str, settings: &[&str]) -> Server {
    let bundle = directory.path(bundle);
    let arguments = ["--clock", NOW, "--workers", "2", "--bundle", bundle.to_str().unwrap()];
    Server::start(arguments.into_iter().chain(settings.iter().flat_map(|setting| ["--set", setting])))
}

pub(crate) fn reload(server: &Server, path: &Path) -> Answer {
    server.post("/admin/bundle", JSON, json!({"path": path}).to_string())
}

fn rollback(server: &Server) -> Answer {
    server.send("POST", "/admin/bundle/rollback", &[], b"")
}

/// The version in service, by what it says of itself and by what it decides.
#[track_caller]
fn in_service(server: &Server) -> String {
    let version = server.get("/v1/bundle").json()["version"].as_str().unwrap().to_owned();
    // Both workers, whichever takes a connection.
    for _ in 0..4 {
        // Without an id, or it would be answered as before.
        let fields = json!({"application": {"monthly_income": 1200.5, "amount": 5000}});
        let answer = server.post("/v1/score", JSON, fields.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(decided_by(&answer.json()), version);
    }
    version
}

/// Which bundle made an answer, which has to name it.
#[track_caller]
pub(crate) fn decided_by(answer: &Value) -> String {
    let version = answer["bundle"]["version"].as_str().unwrap();
    let decision = if version == APPROVES { "approve" } else { "decline" };
    assert_eq!((&answer["decision"], &answer["mode"]), (&json!(decision), &json!("full")), "{answer}");
    version.to_owned()
}

#[track_caller]
fn expect_swapped(answer: &Answer, old: &str, new: &str) {
    let said = answer.json();
    assert_eq!((answer.status, &said["outcome"]), (200, &json!("swapped")), "{said}");
    assert_eq!((&said["old"]["version"], &said["new"]["version"]), (&json!(old), &json!(new)));
}

fn reloads(server: &Server, outcome: &str) -> f64 {
    crate::http::metric(server, &format!(r#"cauce_bundle_reloads_total{{outcome="{outcome}"}}"#))
}

fn hang_up(server: &Server) {
    let asked = Command::new("kill").args(["-HUP", &server.process_id().to_string()]).status().unwrap();
    assert!(asked.success());
}

/// Waits for what comes in its own time.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A directory whose reading never ends by itself: a bundle that takes its time.
fn endless(directory: &Directory) -> PathBuf {
    let bundle = directory.path("endless");
    fs::create_dir(&bundle).unwrap();
    let made = Command::new("mkfifo").arg(bundle.join("bundle.json")).status().unwrap();
    assert!(made.success());
    bundle
}
