//! What is refused, by whom it is asked, and that it does no harm.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::json;

use super::{
    APPROVES, DECLINES, bundles, endless, expect_swapped, in_service, reload, reloads, rollback, seal, server, until,
};
use crate::support::client::request;
use crate::support::history::JSON;
use crate::support::{Server, cauce, copy, repository};

/// Why a bundle is refused.
#[track_caller]
fn refusal(server: &Server, path: &Path) -> String {
    let answer = reload(server, path);
    let said = answer.json();
    assert_eq!((answer.status, &said["code"]), (422, &json!("bundle_refused")), "{said}");
    said["detail"].as_str().unwrap().to_owned()
}

/// What `cauce check` says of it.
fn checked(path: &Path, settings: &[&str]) -> String {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let finished = cauce(["check", path.to_str().unwrap()].into_iter().chain(settings));
    assert_eq!(finished.code(), Some(1), "{}", finished.stdout());
    finished.stderr()
}

#[test]
fn bad_bundle_leaves_the_old_one_in_service_and_says_why_as_the_check_does() {
    let directory = bundles("bad");
    let server = server(&directory, APPROVES, &[]);
    let broken = directory.path("broken");
    let change = |file: &str, to: &dyn Fn(Vec<u8>) -> Vec<u8>, sealed: bool| {
        copy(&directory.path(DECLINES), &broken);
        fs::write(broken.join(file), to(fs::read(broken.join(file)).unwrap())).unwrap();
        if sealed {
            seal(&broken, DECLINES);
        }
    };
    let flipped = |mut bytes: Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let wrong_probability = |bytes: Vec<u8>| {
        let mut reference: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        reference["golden"][3]["probability"] = json!(0.5);
        reference.to_string().into_bytes()
    };
    type Case<'a> = (&'a str, &'a dyn Fn(Vec<u8>) -> Vec<u8>, bool, &'a str);
    let cases: [Case; 5] = [
        ("model.onnx", &flipped, false, "`model.onnx` is not the file that `bundle.json` describes"),
        ("model.onnx", &|_| b"no model".to_vec(), true, "it is not a well-formed ONNX file"),
        ("bundle.json", &|bytes| bytes[..bytes.len() / 2].to_vec(), false, "`bundle.json`: "),
        ("reasons.toml", &|_| Vec::new(), true, "`reasons.toml`: "),
        ("reference.json", &wrong_probability, true, "golden row 3: the model gives"),
    ];
    for (round, (file, to, sealed, expected)) in cases.into_iter().enumerate() {
        change(file, to, sealed);
        let said = refusal(&server, &broken);
        assert!(said.contains(expected), "{said}");
        let checked = checked(&broken, &[]);
        assert!(checked.trim_end().ends_with(said.trim_end()), "{checked}");
        assert_eq!(reloads(&server, "refused"), round as f64 + 1.0);
        assert!(server.log().contains("bundle refused"));
    }
    assert_eq!(in_service(&server), APPROVES);
    assert_eq!(rollback(&server).status, 409, "nothing was put in service that could be gone back from");
}

#[test]
fn bundle_of_another_specification_needs_a_start_that_rebuilds_the_state() {
    let directory = bundles("specification");
    let server = server(&directory, APPROVES, &[]);
    let taiwan = directory.path("taiwan");
    copy(&repository().join("model/artifacts/taiwan"), &taiwan);
    let said = refusal(&server, &taiwan);
    assert!(said.contains("feature specification is another one") && said.contains("`--rebuild-state`"), "{said}");
    let served = directory.path(APPROVES);
    let finished = cauce(["check".as_ref(), taiwan.as_os_str(), "--in-place-of".as_ref(), served.as_os_str()]);
    assert_eq!(finished.code(), Some(1));
    assert!(finished.stderr().trim_end().ends_with(&said), "{}", finished.stderr());
    assert_eq!(in_service(&server), APPROVES);
}

#[test]
fn bundle_that_takes_more_than_it_may_is_refused_by_the_name_of_the_limit() {
    let directory = bundles("limits");
    for (setting, name) in
        [("model.check_time=1ms", "model.check_time"), ("model.check_memory=32MiB", "model.check_memory")]
    {
        let server = server(&directory, APPROVES, &[setting]);
        let said = refusal(&server, &directory.path(DECLINES));
        assert!(said.contains(&format!("`{name}`")), "{said}");
        assert!(checked(&directory.path(DECLINES), &[setting]).contains(&format!("`{name}`")));
        assert_eq!(in_service(&server), APPROVES);
    }
}

/// The child process of a server, once there is one.
fn child_of(server: &Server) -> String {
    let threads = format!("/proc/{}/task", server.process_id());
    let mut child = String::new();
    until("there is a child process", || {
        let children = fs::read_dir(&threads).unwrap().flatten();
        let children = children.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        child = children.collect::<String>().trim().to_owned();
        !child.is_empty()
    });
    child
}

/// Whether a process has so many seconds of CPU and bytes of data at most.
fn is_limited(process: &str, cpu: &str, data: &str) -> bool {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let is = |name: &str, value: &str| {
        let values = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        values.split_whitespace().next() == Some(value)
    };
    is("Max cpu time", cpu) && is("Max data size", data)
}

#[test]
fn bundle_is_tried_in_a_child_under_limits_and_by_one_reload_at_a_time() {
    let directory = bundles("child");
    let server =
        server(&directory, APPROVES, &["model.check_cpu=7s", "model.check_memory=512MiB", "model.check_time=60s"]);
    expect_swapped(&reload(&server, &directory.path(DECLINES)), APPROVES, DECLINES);
    let endless = endless(&directory);
    thread::scope(|scope| {
        let trying = scope.spawn(|| refusal(&server, &endless));
        let child = child_of(&server);
        until("the child has limited itself", || is_limited(&child, "7", "536870912"));
        let answer = reload(&server, &directory.path(APPROVES));
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("reload_in_progress")));
        assert_eq!(in_service(&server), DECLINES);
        // Going back does not wait for it.
        assert_eq!(rollback(&server).status, 200);
        assert_eq!(in_service(&server), APPROVES);
        let ended = std::process::Command::new("kill").args(["-ABRT", &child]).status().unwrap();
        assert!(ended.success());
        assert!(trying.join().unwrap().contains("loading it was aborted"));
    });
    assert_eq!(in_service(&server), APPROVES);
}

#[test]
fn service_that_is_told_to_stop_does_not_wait_for_a_trial() {
    let directory = bundles("stop");
    let server = server(&directory, APPROVES, &["model.check_time=600s"]);
    let endless = endless(&directory);
    let mut connection = server.connect();
    connection.write(&request("/admin/bundle", JSON, json!({"path": endless}).to_string().as_bytes()));
    child_of(&server);
    server.terminate();
    assert!(connection.answer().text().contains("the service is stopping"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn trial_ends_with_a_service_that_is_killed() {
    let directory = bundles("killed");
    let server = server(&directory, APPROVES, &["model.check_time=600s"]);
    let endless = endless(&directory);
    let mut connection = server.connect();
    connection.write(&request("/admin/bundle", JSON, json!({"path": endless}).to_string().as_bytes()));
    let child = child_of(&server);
    until("the child has limited itself", || is_limited(&child, "10", "2147483648"));
    server.kill();
    // Whoever inherits it may leave it unburied for a while.
    until("the child is gone", || match fs::read_to_string(format!("/proc/{child}/stat")) {
        Ok(stat) => stat.rsplit(") ").next().unwrap().starts_with('Z'),
        Err(_) => true,
    });
}

#[test]
fn only_directories_beside_the_configured_one_are_read() {
    let directory = bundles("place");
    let server = server(&directory, APPROVES, &[]);
    let outside = repository().join("model/artifacts/ahorro-valle");
    let mut answers = Vec::new();
    for path in [&outside, Path::new("/etc"), Path::new("/nowhere"), Path::new("../../../model/artifacts/taiwan")] {
        let said = refusal(&server, path);
        assert!(said.contains("must name a bundle directory below") && said.contains("reload-place"), "{said}");
        answers.push(said);
    }
    // What is there and what is not cannot be told apart.
    assert!(answers.iter().all(|said| *said == answers[0]), "{answers:?}");
    // A name is enough.
    expect_swapped(&reload(&server, Path::new(DECLINES)), APPROVES, DECLINES);
}

#[test]
fn body_that_is_not_understood_says_what_would_be() {
    let directory = bundles("body");
    let server = server(&directory, APPROVES, &[]);
    for (content_type, body, status, code) in [
        (JSON, r#"{"pfad": "x"}"#, 400, "malformed_json"),
        (JSON, "[]x", 400, "malformed_json"),
        ("text/plain", "declines", 415, "unsupported_media_type"),
    ] {
        let answer = server.post("/admin/bundle", content_type, body);
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{body}");
    }
    assert_eq!(reloads(&server, "refused"), 0.0);
}
