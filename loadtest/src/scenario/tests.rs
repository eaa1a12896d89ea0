//! Scenarios that are wrong and what is said of them, and what right ones mean.

use super::*;

/// A scenario that is right, with a line changed or added.
fn scenario(change: &str) -> String {
    let right = r#"
name = "s"
[load]
shape = "steady"
rate = 10
duration = "1s"
[[traffic]]
kind = "score"
"#;
    match change.split_once(" => ") {
        Some((from, to)) => {
            assert!(right.contains(from), "{from}");
            right.replace(from, to)
        }
        None => right.to_owned(),
    }
}

fn wrong(change: &str) -> String {
    Scenario::parse("s.toml", &scenario(change), "").expect_err(change).to_string()
}

#[test]
fn every_scenario_of_the_command_is_right() {
    for (name, text) in BUILT_IN {
        let scenario = Scenario::parse(name, text, "").unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(scenario.name, name);
    }
}

#[test]
fn what_is_not_said_has_a_default() {
    let scenario = Scenario::parse("s.toml", &scenario(""), "").unwrap();
    assert_eq!(scenario.target.to_string(), "http://127.0.0.1:8080");
    assert_eq!((scenario.connections, scenario.threads, scenario.seed), (64, 1, 1));
    assert_eq!(scenario.people, People { count: 10_000, zipf: 0.0, seed: 1 });
    assert_eq!(scenario.limits, Limits::default());
    assert_eq!(scenario.traffic[0].path, "/v1/score");
    assert!(scenario.watch.is_none());
}

#[test]
fn what_is_wrong_is_named_where_it_stands_with_the_word_that_was_meant() {
    for (change, message) in [
        ("name = \"s\" => naem = \"s\"", "s.toml:2:1: unknown key `naem`; did you mean `name`?"),
        ("name = \"s\" => seed = 1", "s.toml:1:1: `name` is missing"),
        ("\"s\" => 5", "s.toml:2:8: `name` is a text in quotes, not a number"),
        ("\"s\" => \"s\"\nseed = -1", "s.toml:3:8: `seed` is a whole number from 0 to 18446744073709551615, not -1"),
        ("\"s\" => \"s\"\narrivals = \"poison\"", "s.toml:3:12: unknown arrivals `poison`; did you mean `poisson`?"),
        ("\"s\" => \"s\"\npatience = \"5\"", "s.toml:3:12: `patience`: a length of time is a number and its unit"),
        ("\"s\" => \"s\"\nclock = \"noon\"", "s.toml:3:9: `clock`: a time is written with its offset"),
        ("\"s\" => \"s\"\nthreads = 65", "each of the `threads` needs one of the `connections`"),
        (
            "\"s\" => \"s\"\ntarget = \"https://h\"",
            "s.toml:3:10: `target`: a target is `http://HOST:PORT`, without a path",
        ),
        ("shape = \"steady\" => shape = \"stedy\"", "s.toml:4:9: unknown shape `stedy`; did you mean `steady`?"),
        ("rate = 10 => rat = 10", "s.toml:5:1: unknown key `rat`; did you mean `rate`?"),
        ("rate = 10 => burst_rate = 10", "s.toml:5:1: `burst_rate` belongs to shape `burst`, not `steady`"),
        ("rate = 10 => rate = 0", "s.toml:5:8: `rate` is a number from 0.001 to 10000000, not 0"),
        ("duration = \"1s\" => warm_up = \"1s\"", "s.toml:3:2: `duration` is missing"),
        ("kind = \"score\" => kind = \"scores\"", "s.toml:8:8: unknown kind `scores`; did you mean `score`?"),
        ("kind = \"score\" => weight = 1", "s.toml:7:1: `kind` is missing"),
        ("kind = \"score\" => kind = \"score\"\nlate = 0.1", "s.toml:9:1: unknown key `late`"),
        (
            "kind = \"score\" => kind = \"score\"\nrepeated = 1.5",
            "s.toml:9:12: `repeated` is a number from 0 to 1, not 1.5",
        ),
        (
            "kind = \"score\" => kind = \"score\"\nrepeated = 0.6\ninvalid = 0.6",
            "s.toml:7:1: the shares `repeated`, `invalid` are together at most 1",
        ),
        (
            "kind = \"score\" => kind = \"score\"\nrepeated = 1",
            "s.toml:7:1: `repeated` and `invalid` are together at most 0.99",
        ),
        (
            "kind = \"score\" => kind = \"events\"\nduplicate = 0.5\ninvalid = 0.5",
            "s.toml:7:1: `duplicate` and `invalid` are together at most 0.99",
        ),
        (
            "kind = \"score\" => kind = \"score\"\nomit = [\"person\"]",
            "s.toml:9:9: `person` cannot be left out; did you mean `person_id`?",
        ),
        (
            "kind = \"score\" => kind = \"score\"\nmode = \"ful\"",
            "s.toml:9:8: unknown mode `ful`; did you mean `full`?",
        ),
        ("kind = \"score\" => kind = \"score\"\npath = \"v1\"", "s.toml:9:8: `path`: a path begins with `/`"),
        (
            "kind = \"score\" => kind = \"score\"\nheaders = { Host = \"h\" }",
            "s.toml:9:13: header `Host` is written of itself",
        ),
        (
            "kind = \"score\" => kind = \"score\"\nheaders = { \"X-A\" = \"a\\r\\nb\" }",
            "s.toml:9:21: `X-A`: a value of a header is printable ASCII",
        ),
        (
            "kind = \"score\" => kind = \"score\"\n[[traffic]]\nkind = \"score\"",
            "s.toml:9:1: two kinds are called `score`: give one of them another `name`",
        ),
        ("kind = \"score\" => kind = \"replay\"\nfile = \"f\"", "s.toml:7:1: `path` is missing"),
        (
            "kind = \"score\" => kind = \"replay\"\nfile = \"f\"\npath = \"/\"\nbody = \"{{lin}}\"",
            "s.toml:11:8: `body`: unknown `{{lin}}`; there are `{{line}}`",
        ),
        (
            "kind = \"score\" => kind = \"replay\"\nfile = \"f\"\npath = \"/\"\nanswer = \"a\"",
            "s.toml:11:10: `answer`: a JSON pointer begins with `/`",
        ),
        (
            "kind = \"score\" => kind = \"replay\"\nfile = \"f\"\npath = \"/\"\nbatch = 5\nbody = \"{{line}}\"",
            "s.toml:7:1: `body` has no `{{items}}`",
        ),
        (
            "kind = \"score\" => kind = \"replay\"\nfile = \"f\"\npath = \"/\"\nstatus = [20]",
            "s.toml:11:10: `status` is a list of HTTP statuses",
        ),
        (
            "kind = \"score\" => kind = \"replay\"\nfile = \"f\"\npath = \"/\"\nonce = true",
            "s.toml:3:2: `duration` follows from a file that is sent once: leave it out",
        ),
        (
            "kind = \"score\" => kind = \"score\"\n[limits]\np95 = \"1ms\"",
            "s.toml:10:1: unknown key `p95`; did you mean `p99`?",
        ),
        (
            "kind = \"score\" => kind = \"score\"\n[watch]\nevry = \"1s\"",
            "s.toml:10:1: unknown key `evry`; did you mean `every`?",
        ),
        (
            "kind = \"score\" => kind = \"score\"\n[watch]\nevery = \"soon\"",
            "s.toml:10:9: a duration is a number and a unit",
        ),
        ("kind = \"score\" => kind = \"score", "s.toml:8:"),
    ] {
        let said = wrong(change);
        assert!(said.contains(message), "{change}\n{said}");
    }
}

#[test]
fn headers_may_come_from_the_environment_and_are_not_told() {
    let headers = "kind = \"score\" => kind = \"score\"\n[traffic.headers]\nX-Key = 'hunter2' # mine\nAuthorization = \"hunter3\"";
    let parsed = Scenario::parse("s.toml", &scenario(headers), "").unwrap();
    let given = [("X-Key", "hunter2"), ("Authorization", "hunter3")];
    assert_eq!(parsed.traffic[0].headers, given.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(parsed.text.contains("X-Key = \"***\" # mine\nAuthorization = \"***\"\n"), "{}", parsed.text);

    // Cargo gives it to tests.
    let variable = scenario("kind = \"score\" => kind = \"score\"\nheaders = { X-Key = \"env:CARGO_PKG_NAME\" }");
    let parsed = Scenario::parse("s.toml", &variable, "").unwrap();
    assert_eq!(parsed.traffic[0].headers, [("X-Key".to_owned(), "cauce-loadtest".to_owned())]);
    assert_eq!(parsed.text, variable);

    let said = wrong("kind = \"score\" => kind = \"score\"\nheaders = { X-Key = \"env:CAUCE_NOT_SET\" }");
    assert_eq!(said, "s.toml:9:21: there is no variable `CAUCE_NOT_SET` in the environment");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let said = wrong("rate = 10 => rate = -1\nwarmup = \"1s\"");
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_target_is_a_host_and_a_port() {
    for (text, authority) in [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://scorer.local/", "scorer.local:80"),
        ("http://[::1]:90", "[::1]:90"),
        ("http://[::1]", "[::1]:80"),
    ] {
        assert_eq!(Target::parse(text).map(|target| target.authority).as_deref(), Ok(authority), "{text}");
    }
    for text in
        ["", "127.0.0.1:8080", "https://h", "http://", "http://h:0", "http://h:x", "http://h/path", "http://a b"]
    {
        assert!(Target::parse(text).is_err(), "{text}");
    }
}

#[test]
fn shapes_become_phases() {
    let phases = |load: &str| {
        let text = scenario(&format!("shape = \"steady\"\nrate = 10\nduration = \"1s\" => {load}"));
        let scenario = Scenario::parse("s.toml", &text, "").unwrap_or_else(|wrong| panic!("{load}: {wrong}"));
        let schedule = scenario.schedule(None);
        let phase = |phase: &crate::schedule::Phase| {
            (phase.from as u64, phase.to as u64, phase.duration.as_millis() as u64, phase.is_warm_up)
        };
        schedule.phases.iter().map(phase).collect::<Vec<_>>()
    };
    for (load, expected) in [
        (
            "shape = \"steady\"\nrate = 5\nduration = \"2s\"\nwarm_up = \"1s\"",
            vec![(5, 5, 1_000, true), (5, 5, 2_000, false)],
        ),
        ("shape = \"ramp\"\nfrom = 5\nto = 50\nduration = \"2s\"", vec![(5, 50, 2_000, false)]),
        (
            "shape = \"burst\"\nrate = 5\nburst_rate = 50\nevery = \"2s\"\nfor = \"500ms\"\nduration = \"3s\"",
            vec![(5, 5, 1_500, false), (50, 50, 500, false), (5, 5, 1_000, false)],
        ),
        (
            "shape = \"steps\"\nfrom = 5\nby = 5\nup_to = 20\nhold = \"1s\"\nwarm_up = \"1s\"",
            vec![(5, 5, 1_000, true), (5, 5, 1_000, false)],
        ),
    ] {
        assert_eq!(phases(load), expected, "{load}");
    }
}

#[test]
fn a_soak_is_watched_without_being_told() {
    let text = scenario("shape = \"steady\" => shape = \"soak\"");
    assert_eq!(Scenario::parse("s.toml", &text, "").unwrap().watch, Some(Watch::default()));
}

#[test]
fn a_run_ends_with_the_last_line_of_a_file() {
    for arrivals in [Pace::Poisson, Pace::Constant] {
        for requests in [1, 2, 1000] {
            let schedule = Load::exactly(requests, 300.0, arrivals, 5);
            assert_eq!(schedule.arrivals().count() as u64, requests, "{arrivals:?}");
        }
    }
}
