//! The contract of the Ahorro Valle front-end: its names, its codes, its numbers.

use serde_json::{Value, json};

use super::{JSON, application, expect, payment, score, server, take};
use crate::support::{Answer, Server};

fn fields() -> Value {
    json!({"edad": 35, "ingresos_mensuales": 1200.5, "monto_credito": 5000})
}

fn predict(server: &Server, body: &Value) -> Answer {
    server.post("/predecir", JSON, body.to_string())
}

#[test]
fn prediction_has_the_keys_of_the_contract_and_echoes_the_request_id() {
    let server = server();
    let body = json!({"datos": fields(), "timestamp_cliente": 1234.5, "session_id": "s-1"}).to_string();
    let headers = [("content-type", JSON), ("x-request-id", "front-7")];
    let answer = server.send("POST", "/predecir", &headers, body.as_bytes());
    assert_eq!(answer.header("x-request-id"), Some("front-7"));
    let said = expect(answer);
    assert_eq!(said["request_id"], "front-7");
    assert!(said["tiempo_procesamiento"].as_f64().unwrap() < 2.0, "{said}");
    let [no_default, default] = [0, 1].map(|class| said["probabilidades"][class].as_f64().unwrap());
    assert!((no_default + default - 1.0).abs() < 1e-6, "{said}");
    assert_eq!(said["prediccion"], json!(u8::from(default >= 0.5)));
    assert_eq!(said["confianza"].as_f64().unwrap(), no_default.max(default));
    let generated = predict(&server, &json!({"datos": fields()}));
    assert_eq!(generated.json()["request_id"], generated.header("x-request-id").unwrap());
}

#[test]
fn prediction_is_the_probability_of_the_scoring_route() {
    let server = server();
    for person in ["c-1", "c-2"] {
        take(&server, &payment(person, "1", "2026-06-10T10:00:00Z", 12));
    }
    let scored = score(&server, &application("c-1", "a"));
    let mut data = fields();
    data["user_id"] = json!("c-2");
    let said = expect(predict(&server, &json!({"datos": data})));
    assert_eq!(said["probabilidades"][1], scored["probability_of_default"]);
    assert_eq!((&said["confianza"], &said["historial"]), (&scored["confidence"], &json!(true)));
    assert_eq!(
        (&said["decision"], &said["modo"], &said["modelo"]),
        (&scored["decision"], &json!("full"), &scored["bundle"])
    );
}

#[test]
fn person_is_the_user_then_the_client_then_the_session() {
    let server = server();
    for person in ["user", "4711", "session"] {
        take(&server, &payment(person, "1", "2026-06-10T10:00:00Z", 12));
    }
    for (ids, session, known) in [
        (json!({"user_id": "user", "cliente_id": "other"}), "other", true),
        (json!({"cliente_id": "other", "user_id": "user"}), "other", true),
        (json!({"cliente_id": 4711}), "other", true),
        (json!({"user_id": null, "cliente_id": ""}), "session", true),
        (json!({}), "session", true),
        (json!({}), "nobody", false),
        (json!({"user_id": "nobody-2"}), "session", false),
    ] {
        let mut data = fields();
        data.as_object_mut().unwrap().extend(ids.as_object().unwrap().clone());
        let said = expect(predict(&server, &json!({"datos": data, "session_id": session})));
        assert_eq!(said["historial"], json!(known), "{ids} {session}");
    }
    let nobody = expect(predict(&server, &json!({"datos": fields()})));
    assert_eq!(nobody["historial"], json!(false));
}

#[test]
fn what_the_front_end_sends_beside_the_fields_is_ignored() {
    let server = server();
    let mut data = fields();
    for (name, value) in [("nombre", json!("Ana")), ("amoun", json!("x")), ("pantalla", json!({"ancho": [1, 2]}))] {
        data[name] = value;
    }
    let more = json!({"datos": data, "timestamp_cliente": "late", "otro": [1]});
    let (plain, more) = (predict(&server, &json!({"datos": fields()})), predict(&server, &more));
    assert_eq!(expect(plain)["probabilidades"], expect(more)["probabilidades"]);
}

#[test]
fn body_that_is_no_object_with_data_is_e001() {
    let server = server();
    for (content_type, body) in [
        (JSON, ""),
        (JSON, "{"),
        (JSON, "[]"),
        (JSON, r#"[{"ingresos_mensuales": 1200.5, "monto_credito": 5000}]"#),
        (JSON, "5"),
        (JSON, "{}"),
        (JSON, r#"{"datos": null}"#),
        (JSON, r#"{"datos": [1]}"#),
        (JSON, r#"{"datos": "secreto-4711"}"#),
        (JSON, r#"{"datos": {"edad": NaN}}"#),
        ("text/plain", r#"{"datos": {}}"#),
    ] {
        let answer = server.post("/predecir", content_type, body);
        let said = answer.json();
        assert_eq!((answer.status, &said["codigo"]), (400, &json!("E001")), "{content_type} {body}: {said}");
        assert!(said["error"].is_string() && said["tiempo_procesamiento"].is_f64(), "{said}");
        assert_eq!((said.get("errores"), answer.text().contains("4711")), (None, false), "{said}");
    }
}

#[test]
fn wrong_fields_are_e002_with_one_entry_each_under_the_names_of_the_front_end() {
    let server = server();
    let data = json!({"edad": 7, "ingresos_mensuales": "1200.5", "plazo_meses": 1.5, "proposito": "hogar"});
    let answer = predict(&server, &json!({"datos": data}));
    let said = answer.json();
    assert_eq!((answer.status, &said["codigo"]), (400, &json!("E002")), "{said}");
    assert!(said["error"].is_string() && said["tiempo_procesamiento"].is_f64(), "{said}");
    let mut wrong: Vec<_> =
        said["errores"].as_array().unwrap().iter().map(|entry| (&entry["campo"], &entry["code"])).collect();
    wrong.sort_by_key(|(field, _)| field.as_str());
    let expected = [
        ("edad", "out_of_range"),
        ("ingresos_mensuales", "wrong_type"),
        ("monto_credito", "missing_field"),
        ("plazo_meses", "too_many_decimals"),
        ("proposito", "not_in_list"),
    ];
    assert_eq!(wrong.len(), expected.len(), "{said}");
    for (found, (field, code)) in wrong.into_iter().zip(expected) {
        assert_eq!(found, (&json!(field), &json!(code)));
    }
    assert!(!answer.text().contains("hogar"), "{said}");
}

#[test]
fn person_that_is_no_id_is_e002_under_its_own_name() {
    let server = server();
    let mut data = fields();
    data["cliente_id"] = json!("x".repeat(129));
    let answer = predict(&server, &json!({"datos": data}));
    assert_eq!((answer.status, &answer.json()["codigo"]), (400, &json!("E002")), "{}", answer.text());
    assert_eq!(answer.json()["errores"][0]["code"], "invalid_id");
}
