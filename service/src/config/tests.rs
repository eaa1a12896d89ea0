//! What the layers of a configuration do to each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn load(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, String> {
    // Tests run side by side: each file needs a name of its own.
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("cauce-config-{}-{number}.toml", std::process::id()));
    fs::write(&path, file).unwrap();
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let flags = flags.iter().map(|text| Override::parse(text).unwrap()).collect();
    let loaded = Config::load(Some(&path), environment, flags);
    fs::remove_file(&path).unwrap();
    loaded.map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

#[test]
fn defaults_alone_are_a_configuration() {
    let config = load("", &[], &[]).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:8080");
    assert_eq!(config.server.body.bytes(), 65_536);
    assert_eq!(config.server.batch_items, 1000);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "[server]\nbody = \"1KiB\"\nbatch_items = 1\nworkers = 1";
    let environment = [("CAUCE__SERVER__BATCH_ITEMS", "2"), ("CAUCE__SERVER__WORKERS", "2"), ("PATH", "/bin")];
    let config = load(file, &environment, &["server.workers=3"]).unwrap();
    assert_eq!((config.server.body.bytes(), config.server.batch_items, config.server.workers), (1024, 2, 3));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str], &'a str);
    let cases: [Case; 4] = [
        ("[server]\nlisen = \"x\"", &[], &[], "FILE: unknown setting `server.lisen`, did you mean `server.listen`?"),
        ("[severs]\n", &[], &[], "FILE: unknown setting `severs`, did you mean `server`?"),
        (
            "",
            &[("CAUCE__STORE__PEPLE", "1")],
            &[],
            "environment: unknown setting `store.peple`, did you mean `store.people`?",
        ),
        ("", &[], &["logging.colour_of_text=red"], "command line: unknown setting `logging.colour_of_text`"),
    ];
    for (file, environment, flags, expected) in cases {
        assert_eq!(load(file, environment, flags).unwrap_err(), expected);
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_by_name() {
    assert_eq!(
        load("[store]\npeople = \"many\"", &[], &[]).unwrap_err(),
        "FILE: `store.people` must be a whole number"
    );
    assert_eq!(load("server = 1", &[], &[]).unwrap_err(), "FILE: `server` must be a section");
    assert_eq!(load("[alerts]\ndrift_psi = \"x\"", &[], &[]).unwrap_err(), "FILE: `alerts.drift_psi` must be a number");
    assert_eq!(load("[alerts]\ndrift_psi = 1", &[], &[]).unwrap().alerts.drift_psi, 1.0);
    let flags = ["store.people=many"];
    assert_eq!(load("", &[], &flags).unwrap_err(), "command line: `store.people` must be a whole number");
    assert!(load("", &[], &["server.body=64 parsecs"]).unwrap_err().contains("`64KiB`"));
}

#[test]
fn a_bound_beyond_what_files_can_hold_is_refused_by_name() {
    for (flag, expected) in [
        ("server.body=32MiB", "configuration: `server.batch_body` must be like `server.body` at most 15 MiB"),
        ("log.segment=4GiB", "configuration: `log.segment` must be at most 2 GiB"),
        ("log.retain_age=999999999d", "configuration: `log.retain_age` must be at most 36500 days"),
        ("store.events_per_person=5000000", "configuration: `store.events_per_person` must be from 1 to 4194304"),
        ("limits.key=x y", "configuration: `limits.key` must be `address` or the name of a header"),
        ("admission.in_flight=1", "configuration: `admission.in_flight` must be from 4 to 1000000"),
        ("kpi.window=9s", "configuration: `kpi.window` must be 0s, or from 10s to 1h"),
        ("kpi.live_clients=0", "configuration: `kpi.live_clients` must be from 1 to 10000"),
        ("kpi.drift_window=30s", "configuration: `kpi.drift_window` must be from 1m to 1d"),
        ("kpi.error_percent=101", "configuration: `kpi.error_percent` must be from 0 to 100, which is never passed"),
        ("alerts.drift_psi=0", "configuration: `alerts.drift_psi` must be above 0 and at most 1000"),
        ("alerts.retry=2h", "configuration: `alerts.retry` must be at least 1ms and at most `alerts.retry_most`"),
        (
            "alerts.pagerduty_url=",
            "configuration: `alerts.pagerduty_url` must be an address as `https://events.pagerduty.com/v2/enqueue`, without a password and \
             without `?`",
        ),
        ("store.checkpoint_records=0", "configuration: `store.checkpoint_records` must be at least 1"),
    ] {
        assert_eq!(load("", &[], &[flag]).unwrap_err(), expected);
    }
}

#[test]
fn address_that_may_hold_a_secret_is_refused_and_not_repeated() {
    for setting in ["alerts.pagerduty_url", "tracing.otlp"] {
        for address in ["https://SECRET@host/x", "https://host/x?key=SECRET", "ftp://host/SECRET", "host/SECRET"] {
            let error = load("", &[], &[&format!("{setting}={address}")]).unwrap_err();
            assert!(error.contains(setting) && !error.contains("SECRET"), "{error}");
        }
        assert!(load("", &[], &[&format!("{setting}=http://host:8000/x")]).is_ok());
    }
}

#[test]
fn kpis_can_be_done_without() {
    assert!(load("", &[], &["kpi.window=0s"]).unwrap().kpi.window.get().is_zero());
    // Not by who is to be told of them.
    let error = load("", &[], &["kpi.window=0s", "alerts.webhooks=slack env:A"]).unwrap_err();
    assert!(error.starts_with("configuration: `alerts.webhooks`: ") && error.contains("`kpi.window` is 0s"), "{error}");
}

#[test]
fn what_is_printed_loads_to_the_same() {
    let config = load("[server]\nkeep_alive = \"90s\"\nbody = \"3KiB\"", &[], &[]).unwrap();
    assert_eq!(load(&config.to_toml(), &[], &[]).unwrap(), config);
    assert!(config.to_toml().contains("keep_alive = \"90s\""));
}
