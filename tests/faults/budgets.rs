//! What clients may say of their time and product, and what is answered when no score can be given.

use serde_json::{Value, json};

use super::{Front, anonymous, arguments, expect_mode, expect_none_late, has_reason};
use crate::support::Server;
use crate::support::bundle::{self, FAILING_AMOUNT};
use crate::support::history::{JSON, LINES, lines};

const PRODUCTS: &str = "ladder.products=card: full fallback; mortgage: full refer; review: refer";

#[test]
fn budget_that_is_no_number_of_milliseconds_is_refused_in_each_contract() {
    let server = Server::start(arguments(&[]));
    for budget in ["", "0", "-5", "1.5", "soon"] {
        let headers = [("content-type", JSON), ("x-latency-budget-ms", budget)];
        let answer = server.send("POST", "/v1/score", &headers, anonymous(5_000).to_string().as_bytes());
        let said = answer.json();
        assert_eq!((answer.status, &said["code"]), (400, &json!("invalid_budget")), "{budget}: {said}");
        let answer = server.send("POST", "/predecir", &headers, br#"{"datos": {}}"#);
        let said = answer.json();
        assert_eq!((answer.status, &said["codigo"]), (400, &json!("E001")), "{budget}: {said}");
    }
}

#[test]
fn product_decides_how_far_down_its_answers_may_come() {
    let bundle = bundle::failing("failing-products");
    let mut arguments = arguments(&[PRODUCTS, "ladder.refer=ask the branch", "breaker.calls=1000"]);
    arguments.extend(["--bundle".to_owned(), bundle.root().display().to_string()]);
    let server = Server::start(arguments);
    let (failing, sound) = (anonymous(FAILING_AMOUNT), anonymous(5_000));
    let mut fronts = vec![];
    for (product, application, mode, reasons) in [
        ("card", &failing, "fallback", &["model_failed"][..]),
        ("mortgage", &failing, "refer", &["model_failed"]),
        ("review", &failing, "refer", &["rung_not_allowed"]),
        ("review", &sound, "refer", &["rung_not_allowed"]),
        ("mortgage", &sound, "full", &[]),
        ("unheard of", &failing, "fallback", &["model_failed"]),
    ] {
        let mut front = Front::new(&server).with("x-product", product);
        let answer = front.score(application);
        expect_mode(&answer, mode, reasons);
        let is_referred = mode == "refer";
        for member in ["probability_of_default", "band", "confidence"] {
            assert_eq!(answer[member].is_null(), is_referred, "{product}: {answer}");
        }
        assert_eq!(answer["refer"] == "ask the branch", is_referred, "{product}: {answer}");
        assert!(!is_referred || answer["decision"] == "refer", "{product}: {answer}");
        fronts.push(front);
    }
    expect_none_late(&fronts.iter().collect::<Vec<_>>());
}

#[test]
fn broken_model_is_no_reason_for_the_front_end_to_have_no_answer() {
    let bundle = bundle::failing("failing-predecir");
    let mut arguments = arguments(&[]);
    arguments.extend(["--bundle".to_owned(), bundle.root().display().to_string()]);
    let server = Server::start(arguments);
    let mut front = Front::new(&server);
    let failing = json!({"datos": {"ingresos_mensuales": 1200.5, "monto_credito": FAILING_AMOUNT}});
    for _ in 0..40 {
        let (status, answer) = front.post("/predecir", &failing);
        assert_eq!(status, 200, "{answer}");
        let [no_default, default] = [0, 1].map(|class| answer["probabilidades"][class].as_f64().unwrap());
        assert!((no_default + default - 1.0).abs() < 1e-6, "{answer}");
        assert_eq!(answer["prediccion"], json!(u8::from(default >= 0.5)), "{answer}");
        assert!(answer["confianza"].is_f64() && answer["tiempo_procesamiento"].is_f64(), "{answer}");
        assert_eq!(answer["modo"], "fallback", "{answer}");
        assert!(["model_failed", "model_breaker_open"].map(Value::from).contains(&answer["motivos"][0]), "{answer}");
    }
    let batch: Vec<Value> = (0..50).map(|number| anonymous(FAILING_AMOUNT - 25 + number)).collect();
    let answer = server.post("/v1/score/batch", LINES, lines(&batch));
    let said = answer.json();
    assert_eq!((answer.status, &said["scored"]), (200, &json!(50)), "{said}");
    for item in said["results"].as_array().unwrap() {
        assert!(item["mode"] == "fallback", "{item}");
        assert!(has_reason(item, "model_failed") || has_reason(item, "model_breaker_open"), "{item}");
    }
    expect_none_late(&[&front]);
}
