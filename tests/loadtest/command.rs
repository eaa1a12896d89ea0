//! `cauce-loadtest run` against a real service. The rates are those that a build without optimisation can bear beside other tests, and no
//! percentile is held to: on a busy machine it would be the generator's own.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::history::application;
use crate::support::{Directory, Finished, Server, finish, loadtest_command};

/// Runs a scenario against a server.
fn run(scenario: &str, target: &str, arguments: &[&str]) -> Finished {
    finish(loadtest_command().args(["run", scenario, "--quiet", "--target", target]).args(arguments))
}

fn figures(directory: &Directory) -> Value {
    serde_json::from_slice(&std::fs::read(directory.path("figures.json")).unwrap()).unwrap()
}

#[test]
fn mixed_traffic_gets_the_answers_that_it_was_meant_to_get() {
    // However slow the machine, each gets its score: no budget, queue or breaker cuts it short.
    let patient = ["--set", "admission.delay=10s", "--set", "breaker.calls=1000000"];
    let (server, directory) = (Server::start(patient), Directory::new("loadtest-mixed"));
    let scenario = directory.write(
        "mixed.toml",
        r#"
        name = "mixed"
        [load]
        shape = "steady"
        rate = 60
        duration = "6s"
        [people]
        count = 100
        zipf = 1.0
        [[traffic]]
        kind = "score"
        weight = 4
        repeated = 0.2
        invalid = 0.1
        headers = { X-Latency-Budget-Ms = "30000" }
        [[traffic]]
        kind = "events"
        weight = 3
        headers = { X-Latency-Budget-Ms = "30000" }
        late = 0.1
        duplicate = 0.1
        invalid = 0.1
        [[traffic]]
        kind = "events"
        name = "event"
        size = 1
        weight = 2
        headers = { X-Latency-Budget-Ms = "30000" }
        duplicate = 0.2
        invalid = 0.1
        [[traffic]]
        kind = "batch"
        size = 20
        repeated = 0.1
        invalid = 0.1
        headers = { X-Latency-Budget-Ms = "30000" }
        "#,
    );
    // Of an earlier run that had more to say.
    let path = directory.write("figures.json", &"x".repeat(1 << 20));
    let finished =
        run(scenario.to_str().unwrap(), &server.url(""), &["--json", path.to_str().unwrap()]).expect_success();
    let figures = figures(&directory);
    assert_eq!(figures["failed"], 0, "{}", finished.stdout());
    assert!(figures["due"].as_u64().unwrap() > 250, "{figures}");
    for kind in figures["kinds"].as_array().unwrap() {
        assert!(kind["good"].as_u64().unwrap() > 10, "{kind}");
    }
}

#[test]
fn applications_that_repeat_are_found_in_the_cache() {
    let server = Server::start::<&str>([]);
    run("repeats", &server.url(""), &["--rate", "80", "--duration", "4s"]);
    let page = String::from_utf8(server.get("/metrics").body).unwrap();
    let hits: f64 = page
        .lines()
        .filter(|line| line.starts_with("cauce_cache_lookups_total") && line.contains("\"hit\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    // Four of five of 720, those of the first second aside, and those that a busy machine had refused.
    assert!(hits > 300.0, "{hits}\n{page}");
}

#[test]
fn a_run_that_misses_a_limit_ends_with_1_and_says_which() {
    let server = Server::start::<&str>([]);
    // So many that a pause of the machine at the end leaves nearly all of them driven.
    let missed = run("score", &server.url(""), &["--rate", "50", "--duration", "6s", "--min-rate", "1000"]);
    assert_eq!(missed.code(), Some(1), "{}{}", missed.stdout(), missed.stderr());
    assert!(
        missed.stdout().contains("good answers ≥ 1000/s") && missed.stdout().contains("MISSED"),
        "{}",
        missed.stdout()
    );
}

#[test]
fn what_is_given_wrong_ends_with_2_before_anything_is_sent() {
    let directory = Directory::new("loadtest-wrong");
    let wrong = directory.write("wrong.toml", "name = \"w\"\n[load]\nshape = \"stedy\"\n");
    let wrong = wrong.to_str().unwrap();
    let ramp =
        "name = \"r\"\n[load]\nshape = \"ramp\"\nfrom = 1\nto = 9\nduration = \"1s\"\n[[traffic]]\nkind = \"score\"\n";
    let ramp = directory.write("ramp.toml", ramp);
    let ramp = ramp.to_str().unwrap();
    let right = "http://127.0.0.1:1";
    for (scenario, target, arguments, message) in [
        (wrong, right, vec![], "wrong.toml:3:9: unknown shape `stedy`; did you mean `steady`?"),
        (wrong, right, vec![], "`[[traffic]]` is missing"),
        ("scor", right, vec![], "there is no scenario `scor`; did you mean `score`?"),
        ("none.toml", right, vec![], "cannot read `none.toml`"),
        ("score", right, vec![], "cannot drive `http://127.0.0.1:1`"),
        ("score", "127.0.0.1", vec![], "a target is `http://HOST:PORT`"),
        ("score", right, vec!["--max-p99", "5"], "a length of time is a number and its unit"),
        ("score", right, vec!["--max-error-rate", "2"], "a share is a number from 0 to 1"),
        ("score", right, vec!["--json", "/none/figures.json"], "cannot write `/none/figures.json`"),
        ("steps", right, vec!["--rate", "5"], "`--rate` is for one rate"),
        (ramp, right, vec!["--max-p50", "1ms"], "a ramp is judged by `p99` and `error_rate`"),
        ("other-scorer", right, vec![], "cannot read `applications.ndjson`"),
    ] {
        let finished = run(scenario, target, &arguments);
        assert_eq!(finished.code(), Some(2), "{scenario} {arguments:?}: {}", finished.stderr());
        assert!(finished.stderr().contains(message), "{scenario} {arguments:?}: {}", finished.stderr());
    }
    let earlier = directory.write("earlier.json", "of an earlier run");
    let failed = run("score", right, &["--json", earlier.to_str().unwrap()]);
    assert_eq!(failed.code(), Some(2), "{}", failed.stderr());
    assert_eq!(std::fs::read(&earlier).unwrap(), b"of an earlier run");
}

#[test]
fn another_contract_is_driven_by_patterns_and_each_answer_noted() {
    let (server, directory) = (Server::start::<&str>([]), Directory::new("loadtest-other"));
    let applications: Vec<_> = (0..60).map(|number| application("c-1", &number.to_string()).to_string()).collect();
    directory.write("applications.ndjson", &applications.join("\n"));
    let printed = finish(loadtest_command().args(["scenarios", "other-scorer"])).expect_success().stdout();
    let scenario = directory.write("other.toml", &printed);
    let answers = directory.path("answers.ndjson");
    run(scenario.to_str().unwrap(), &server.url(""), &["--rate", "40", "--answers", answers.to_str().unwrap()])
        .expect_success();
    let text = std::fs::read_to_string(&answers).unwrap();
    let mut by_line = BTreeMap::new();
    for line in text.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        assert_eq!(answer["status"], 200, "{line}");
        assert!(answer["answer"].is_number(), "{line}");
        by_line.insert(answer["line"].as_u64().unwrap(), answer["number"].as_u64().unwrap());
    }
    assert!(by_line.into_iter().eq((0..60).map(|number| (number + 1, number))), "{text}");
}

#[test]
fn steps_find_the_highest_rate_that_is_offered_where_all_of_them_hold() {
    let (server, directory) = (Server::start::<&str>([]), Directory::new("loadtest-steps"));
    let scenario = directory.write(
        "steps.toml",
        "name = \"s\"\n[load]\nshape = \"steps\"\nfrom = 10\nby = 10\nup_to = 30\nhold = \"1s\"\n[[traffic]]\nkind = \"score\"\n\
         [limits]\nerror_rate = 0.9\n",
    );
    let path = directory.path("figures.json");
    run(scenario.to_str().unwrap(), &server.url(""), &["--json", path.to_str().unwrap()]).expect_success();
    let search = &figures(&directory)["search"];
    assert_eq!(
        (search["highest_per_s"].as_f64(), search["steps"].as_array().unwrap().len()),
        (Some(30.0), 3),
        "{search}"
    );
}
