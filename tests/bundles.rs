//! `cauce check` and `cauce score` over the bundles that ship.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Directory, Server, cauce, repository};

const AS_OF: &str = "2026-06-20T12:00:00Z";

fn shipped(name: &str) -> PathBuf {
    repository().join("model/artifacts").join(name)
}

/// The bundle's files in a directory of the test's.
fn copy(bundle: &Path, directory: &Directory) -> PathBuf {
    let target = directory.path("bundle");
    fs::create_dir(&target).unwrap();
    for file in fs::read_dir(bundle).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), target.join(file.file_name())).unwrap();
    }
    target
}

#[test]
fn shipped_bundles_pass_the_check() {
    for name in ["ahorro-valle", "taiwan"] {
        let said = cauce(["check".as_ref(), shipped(name).as_os_str()]).expect_success().stdout();
        assert!(said.contains(name) && said.contains("golden rows"), "{said}");
    }
}

#[test]
fn bundle_with_one_changed_byte_fails_the_check() {
    let directory = Directory::new("check-changed");
    let bundle = copy(&shipped("ahorro-valle"), &directory);
    let mut model = fs::read(bundle.join("model.onnx")).unwrap();
    let middle = model.len() / 2;
    model[middle] ^= 1;
    fs::write(bundle.join("model.onnx"), model).unwrap();
    let finished = cauce(["check".as_ref(), bundle.as_os_str()]);
    assert_eq!(finished.code(), Some(1));
    assert!(finished.stderr().contains("`model.onnx`"), "{}", finished.stderr());
}

fn payment(person: &str, id: u32, amount: u32) -> Value {
    let time = format!("2026-06-{:02}T10:00:00Z", 1 + id % 19);
    let data = json!({"amount": amount, "days_past_due": id % 3});
    json!({"person_id": person, "event_id": id.to_string(), "type": "payment", "time": time, "data": data})
}

fn application(person: &str, id: &str) -> Value {
    let data = json!({"monthly_income": 1200.5, "amount": 5000, "credit_score": 640});
    json!({"person_id": person, "application_id": id, "application": data})
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

#[test]
fn file_is_scored_as_the_service_scores_it() {
    let events: Vec<Value> = (1..60).map(|id| payment(["c-1", "c-2"][id as usize % 2], id, 10 * id)).collect();
    // The second application of `c-1` sees the first.
    let applications =
        [application("c-1", "1"), application("c-2", "2"), application("c-1", "3"), application("c-3", "4")];
    let bundle = shipped("ahorro-valle");

    let server = Server::start(["--clock".as_ref(), AS_OF.as_ref(), "--bundle".as_ref(), bundle.as_os_str()]);
    for event in &events {
        assert_eq!(server.post("/v1/events", "application/json", event.to_string()).status, 201);
    }
    let served: Vec<Value> = applications
        .iter()
        .map(|application| server.post("/v1/score", "application/json", application.to_string()).json())
        .collect();

    let directory = Directory::new("score");
    let dated = applications.map(|mut application| {
        application["as_of"] = json!(AS_OF);
        application
    });
    let file = directory.write("applications.ndjson", &lines(&dated));
    let scores = directory.path("scores.ndjson");
    let known = directory.write("events.ndjson", &lines(&events));
    cauce([
        "score".as_ref(),
        file.as_os_str(),
        "--bundle".as_ref(),
        bundle.as_os_str(),
        "--events".as_ref(),
        known.as_os_str(),
        "--out".as_ref(),
        scores.as_os_str(),
    ])
    .expect_success();

    let scored = fs::read_to_string(scores).unwrap();
    let scored: Vec<Value> = scored.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(scored.len(), served.len());
    for (scored, mut served) in scored.into_iter().zip(served) {
        // What belongs to a request.
        for key in ["replayed", "request_id", "timing_us"] {
            served.as_object_mut().unwrap().remove(key).unwrap();
        }
        assert_eq!(scored, served);
    }
}
