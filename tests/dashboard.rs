//! The dashboard at `/`, as somebody sees it: a real browser that looks at a real service. Pictures stay in `target/screenshots/`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread::spawn;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::reload;
use crate::support::browser::Browser;
use crate::support::bundle::{self, FAILING_AMOUNT};
use crate::support::history::JSON;
use crate::support::live::Live;
use crate::support::{Directory, Server, serve};

const IS_LIVE: &str = "document.getElementById('connection').dataset.connection === 'live'";
const HAS_FORM: &str = "document.getElementById('field-amount')";

/// What a phone shows, and a desk.
const PHONE: (u32, u32) = (360, 740);
const DESK: (u32, u32) = (1360, 900);

fn server(settings: &[&str]) -> Server {
    Server::start(settings.iter().flat_map(|setting| ["--set", setting]))
}

/// A browser that looks at the page, once it is live.
fn look_at(server: &Server) -> Browser {
    let mut browser = Browser::start("en");
    browser.resize(DESK.0, DESK.1);
    browser.open(&server.url("/"));
    browser.until(IS_LIVE, || {});
    browser
}

/// An application of nobody in particular.
fn application(amount: u64) -> String {
    json!({ "application": { "monthly_income": 1200, "amount": amount } }).to_string()
}

/// Some work for the service, of every kind that the page shows.
fn ask(server: &Server) {
    for thousands in 1..=10 {
        server.post("/v1/score", JSON, application(thousands * thousands * 500));
    }
    server.post("/v1/score", JSON, "{}");
}

/// Sets a field of the form.
fn fill(browser: &mut Browser, field: &str, value: &str) {
    browser.evaluate(&format!("document.getElementById('field-{field}').value = {value:?}"));
}

#[test]
fn numbers_move_under_load_and_nobody_else_is_asked() {
    let server = server(&[]);
    let mut browser = look_at(&server);
    let figure = |tile: &str| format!("document.querySelector('[data-tile={tile}] .figure').textContent");
    for (tile, moved) in
        [("p95", "/[1-9]/"), ("throughput", "/[1-9]/"), ("success", "/[1-9]/"), ("confidence", "/[1-9]/")]
    {
        browser.until(&format!("{moved}.test({})", figure(tile)), || ask(&server));
    }
    browser.until("/POST \\/v1\\/score/.test(document.getElementById('stages').textContent)", || ask(&server));
    browser.until("document.querySelectorAll('#decisions tbody tr').length > 0", || ask(&server));
    // The same numbers, later.
    let before = browser.text("#measured");
    browser.until(&format!("document.getElementById('measured').textContent !== {before:?}"), || {});
    assert_eq!(browser.text("#served"), format!("{} {}", served(&server, "name"), served(&server, "version")));

    // A picture of more than the first moment: of so many seconds, as the table tells that stands in place of the chart.
    browser.click("#chart-throughput button");
    browser.until("document.querySelectorAll('#chart-throughput tbody tr').length >= 20", || ask(&server));
    browser.click("#chart-throughput button");
    browser.picture("dashboard");
    browser.prefer("dark");
    browser.picture("dashboard-dark");
    let (here, live) = (server.url("/"), server.url("/").replace("http", "ws"));
    let requested = browser.requested();
    assert!(requested.iter().any(|address| address.starts_with(&live)), "{requested:?}");
    for address in requested {
        assert!(address.starts_with(&here) || address.starts_with(&live), "{address}");
    }
    assert_eq!(browser.errors(), Vec::<Value>::new());
}

fn served(server: &Server, what: &str) -> String {
    server.get("/v1/bundle").json()[what].as_str().unwrap().to_owned()
}

#[test]
fn alert_appears_and_resolves() {
    let bundle = bundle::failing("dashboard-failing");
    let mut arguments = vec!["--bundle".to_owned(), bundle.root().display().to_string()];
    for setting in ["alerts.for=0s", "alerts.clear_for=0s", "breaker.open=1s", "breaker.open_most=1s"] {
        arguments.extend(["--set".to_owned(), setting.to_owned()]);
    }
    let server = Server::start(arguments);
    let mut browser = look_at(&server);
    assert!(browser.text("#alerts").contains("No alert"), "{}", browser.text("#alerts"));
    browser.until("document.querySelector('#alerts [data-alert=\"breaker_open/model\"]')", || {
        for _ in 0..20 {
            server.post("/v1/score", JSON, application(FAILING_AMOUNT));
        }
    });
    browser.until("/^Alert: .*Breaker open: model/.test(document.getElementById('announcement').textContent)", || {});
    browser.picture("dashboard-alert");
    browser.resize(PHONE.0, PHONE.1);
    assert_eq!(browser.evaluate(SEEN_FIRST), true);
    browser.picture("dashboard-alert-phone");
    browser.resize(DESK.0, DESK.1);
    assert_eq!(browser.evaluate(SEEN_FIRST), true);
    assert!(browser.text("#alerts").contains("model"), "{}", browser.text("#alerts"));
    assert_ne!(browser.evaluate("document.querySelector('[data-breaker=model]').dataset.state"), "closed");
    // Each another amount: the cache would answer the same one, and the model not be tried.
    let mut amounts = 10_000..;
    browser.until("document.querySelector('#resolved [data-alert=\"breaker_open/model\"]')", || {
        server.post("/v1/score", JSON, application(amounts.next().expect("there is no end")));
    });
    browser.until("document.querySelector('[data-breaker=model]').dataset.state === 'closed'", || {});
    assert_eq!(browser.evaluate("document.querySelectorAll('main [aria-live]').length"), 1, "the answer of the form");
    // Who looks later sees it, too: the page remembers nothing of it.
    browser.open(&server.url("/"));
    browser.until("document.querySelector('#resolved [data-alert=\"breaker_open/model\"]')", || {});
    assert_eq!(browser.errors(), Vec::<Value>::new());
}

#[test]
fn form_scores_an_application_and_says_what_is_wrong_with_another() {
    let server = server(&[]);
    let mut browser = look_at(&server);
    browser.until(HAS_FORM, || {});
    fill(&mut browser, "person_id", "c-7");
    fill(&mut browser, "amount", "5000");
    // With the keyboard alone.
    browser.evaluate("document.getElementById('field-amount').focus()");
    browser.press("Enter", 13, "\r");
    browser.until("document.querySelector('#answer [data-decision]')", || {});
    assert_eq!(browser.evaluate("document.querySelectorAll('#answer tbody tr').length"), 8);
    assert!(browser.text("#answer .figure").contains('%'), "{}", browser.text("#answer"));
    assert_eq!(server.get("/v1/people/c-7").status, 200);
    assert_eq!(browser.errors(), Vec::<Value>::new());

    fill(&mut browser, "amount", "0");
    fill(&mut browser, "monthly_income", "");
    browser.click("#form button");
    browser.until("document.querySelector('#answer [role=alert]')", || {});
    assert!(browser.text("#answer").contains("invalid_fields"), "{}", browser.text("#answer"));
    for field in ["amount", "monthly_income"] {
        assert_eq!(
            browser.evaluate(&format!("document.getElementById('field-{field}').ariaInvalid")),
            "true",
            "{field}"
        );
        assert!(browser.text(&format!("#error-{field}")).contains("expected"), "{field}");
    }
    assert_eq!(browser.evaluate("document.activeElement.ariaInvalid"), "true");
    // What is right again is not marked any longer.
    fill(&mut browser, "amount", "5000");
    fill(&mut browser, "monthly_income", "900");
    browser.click("#form button");
    browser.until("document.querySelector('#answer [data-decision]')", || {});
    assert_eq!(browser.evaluate("document.querySelectorAll('#form [aria-invalid=true]').length"), 0);
}

#[test]
fn form_gets_over_documents_that_could_not_be_read_and_keeps_what_was_typed_under_another_bundle() {
    let bundles = reload::bundles("dashboard");
    let bundle = bundles.path(reload::APPROVES);
    let server = Server::start(["--bundle", bundle.to_str().unwrap()]);
    let mut browser = Browser::start("en");
    browser.block(&["*/openapi.json"]);
    browser.open(&server.url("/"));
    browser.until("/cannot be read/.test(document.getElementById('answer').textContent)", || {});
    browser.block(&[]);
    browser.until(HAS_FORM, || {});
    assert_eq!(browser.text("#answer"), "The answer appears here.");

    fill(&mut browser, "amount", "777");
    browser.evaluate("globalThis.old = document.getElementById('field-amount'); old.focus()");
    assert_eq!(reload::reload(&server, &bundles.path(reload::DECLINES)).status, 200);
    browser.until("!old.isConnected", || {});
    assert_eq!(browser.evaluate("document.getElementById('field-amount').value"), "777");
    assert_eq!(browser.evaluate("document.activeElement.id"), "field-amount");
}

#[test]
fn restart_of_the_service_is_survived() {
    let data = Directory::new("dashboard-restart");
    let nothing: [&str; 0] = [];
    let first = Server::start_in(data.root(), nothing);
    let listen = format!("server.listen={}", first.authority());
    let mut browser = look_at(&first);
    browser.evaluate("globalThis.isTheSamePage = true");
    first.kill();
    browser.until("document.getElementById('connection').dataset.connection === 'disconnected'", || {});
    // Meanwhile others may have the port for a while.
    let begin = Instant::now();
    let second = loop {
        match Server::try_launch(&mut serve(data.root(), ["--set", &listen])) {
            Ok(server) => break server,
            Err(ended) => assert!(begin.elapsed() < Duration::from_secs(60), "{}", ended.stderr()),
        }
    };
    browser.until(IS_LIVE, || {});
    browser.until("/[1-9]/.test(document.querySelector('[data-tile=p95] .figure').textContent)", || ask(&second));
    assert_eq!(browser.evaluate("globalThis.isTheSamePage"), true);
}

#[test]
fn page_says_why_the_stream_is_refused_and_goes_on_with_numbers_now_and_then() {
    let server = server(&["kpi.live_clients=1"]);
    let other = Live::connect(&server, "/v1/kpis/live");
    let mut browser = Browser::start("en");
    browser.open(&server.url("/"));
    browser.until("document.getElementById('connection').dataset.connection === 'polled'", || {});
    assert!(browser.text("#trouble").starts_with("too_many_live_clients: "), "{}", browser.text("#trouble"));
    for _ in 0..2 {
        let before = browser.text("#measured");
        browser.until(&format!("document.getElementById('measured').textContent !== {before:?}"), || {});
    }
    assert_eq!(browser.evaluate("document.getElementById('connection').dataset.connection"), "polled");
    browser.picture("dashboard-polled");
    other.leave();
    browser.until(IS_LIVE, || {});
    assert_eq!(browser.evaluate("document.getElementById('trouble').hidden"), true);

    let server = self::server(&["kpi.window=0s"]);
    browser.open(&server.url("/"));
    browser.until("/^no_kpis: /.test(document.getElementById('trouble').textContent)", || {});
}

#[test]
fn proxy_that_names_another_host_is_said_to_be_the_reason() {
    let server = server(&[]);
    let mut browser = Browser::start("en");
    browser.open(&format!("http://{}/", proxy_of(&server)));
    browser.until("document.getElementById('connection').dataset.connection === 'polled'", || {});
    assert!(browser.text("#trouble").contains("a reverse proxy has to pass Host"), "{}", browser.text("#trouble"));
}

/// A reverse proxy as many are unless they are told otherwise: it asks in the name of the service, and not of itself.
fn proxy_of(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, behind) = (listener.local_addr().unwrap().to_string(), server.authority().to_owned());
    let (given, passed) = (format!("Host: {address}"), format!("Host: {behind}"));
    spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let Ok(mut service) = TcpStream::connect(&behind) else { return };
            let (mut answers, mut asker) = (service.try_clone().unwrap(), client.try_clone().unwrap());
            spawn(move || io::copy(&mut answers, &mut asker));
            let (given, passed) = (given.clone(), passed.clone());
            spawn(move || {
                let mut head = [0; 8192];
                while let Ok(bytes @ 1..) = client.read(&mut head) {
                    let asked = String::from_utf8_lossy(&head[..bytes]).replace(&given, &passed);
                    if service.write_all(asked.as_bytes()).is_err() {
                        return;
                    }
                }
                let _ = service.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

#[test]
fn page_speaks_the_language_that_was_chosen_last() {
    let server = server(&[]);
    let mut browser = look_at(&server);
    browser.until(HAS_FORM, || {});
    fill(&mut browser, "amount", "777");
    browser.click("[data-language=es]");
    assert_eq!(browser.evaluate("document.documentElement.lang"), "es");
    assert_eq!((browser.text("#alerts-title"), browser.text("#connection")), ("Alertas".into(), "en vivo".into()));
    // What was typed is still there, under the Spanish name of its field.
    assert_eq!(browser.text("label[for=field-amount]"), "Monto credito *");
    assert_eq!(browser.evaluate("document.getElementById('field-amount').value"), "777");
    browser.open(&server.url("/"));
    browser.until(IS_LIVE, || {});
    assert_eq!(browser.evaluate("document.documentElement.lang"), "es");
    browser.click("[data-language=en]");
    assert_eq!((browser.text("#alerts-title"), browser.text("#connection")), ("Alerts".into(), "live".into()));
}

#[test]
fn page_fits_a_phone_and_can_be_read_in_light_and_dark() {
    let server = server(&[]);
    let mut browser = look_at(&server);
    browser.until(HAS_FORM, || {});
    browser.click("#form button");
    browser.until("document.querySelector('#answer [data-decision]')", || {});
    browser.until("document.querySelectorAll('#decisions tbody tr').length > 0", || ask(&server));
    for (scheme, language) in [("light", "en"), ("dark", "es")] {
        browser.prefer(scheme);
        browser.click(&format!("[data-language={language}]"));
        browser.resize(PHONE.0, PHONE.1);
        assert_eq!(browser.evaluate("document.documentElement.scrollWidth"), PHONE.0, "{language}");
        assert_eq!(browser.evaluate(SEEN_FIRST), true, "{language}");
        browser.picture(&format!("dashboard-phone-{scheme}"));
        browser.resize(DESK.0, DESK.1);
        assert_eq!(browser.evaluate(SEEN_FIRST), true, "{language}");
        let faint = browser.faint();
        assert_eq!(faint, json!([]), "{scheme}");
    }
    let unnamed = browser.unnamed();
    assert_eq!(unnamed, json!([]));
    assert_eq!(browser.errors(), Vec::<Value>::new());
}

#[test]
fn what_somebody_reads_is_left_as_it_is_while_numbers_move() {
    let server = server(&[]);
    let mut browser = look_at(&server);
    browser.resize(PHONE.0, PHONE.1);
    browser.until("document.querySelectorAll('#stages .rows').length === 2", || ask(&server));
    browser.evaluate(
        "globalThis.read = document.querySelectorAll('#stages .rows')[1]; read.focus(); read.scrollLeft = 40;
         getSelection().selectAllChildren(read.querySelector('caption'))",
    );
    let rates = r"read.textContent.match(/[\d.,]+\/s/g)?.join()";
    for _ in 0..4 {
        let before = browser.evaluate(rates);
        browser.until(&format!("{rates} !== {before}"), || ask(&server));
    }
    assert_eq!(browser.evaluate("[document.activeElement === read, read.scrollLeft]"), json!([true, 40]));
    assert_eq!(browser.evaluate("getSelection().toString() === read.querySelector('caption').textContent"), true);
}

#[test]
fn charts_have_tables_that_stand_alone_where_there_is_no_library() {
    let server = server(&[]);
    let mut browser = look_at(&server);
    browser.until("document.querySelector('#chart-response .plot, #chart-response .rows')", || ask(&server));
    // A build is without the library where npm is missing, and there alone.
    let has_npm = Command::new("npm").arg("--version").output().is_ok();
    if !has_npm {
        println!("npm is not installed: charts are not tested");
    }
    let has_charts = browser.evaluate("Boolean(globalThis.uPlot)") == true;
    assert!(has_charts || !has_npm, "the charts are not built in: `make charts` fetches what draws them");
    if has_charts {
        browser.until("document.querySelector('#chart-response canvas')", || {});
        browser.click("#chart-response button");
        browser.until("document.querySelectorAll('#chart-response tbody tr').length > 1", || ask(&server));
        assert_eq!(browser.evaluate("document.querySelector('#chart-response button').ariaExpanded"), "true");
    }
    browser.block(&["*/dashboard/uplot.*"]);
    browser.open(&server.url("/"));
    browser.until(IS_LIVE, || {});
    assert_eq!(browser.evaluate("Boolean(globalThis.uPlot)"), false);
    for chart in ["response", "throughput", "modes"] {
        browser.until(&format!("document.querySelectorAll('#chart-{chart} tbody tr').length > 1"), || ask(&server));
    }
}

/// Whether the state and all tiles are seen without scrolling.
const SEEN_FIRST: &str =
    "['state', 'tiles'].every((id) => document.getElementById(id).getBoundingClientRect().bottom <= innerHeight)";
