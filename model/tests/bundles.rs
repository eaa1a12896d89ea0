//! A bundle loads whole or not at all (M1).

use cauce_model::{Bundle, Limits};
use serde_json::json;

use crate::support::Fixture;

#[test]
fn a_sound_bundle_tells_who_it_is() {
    let bundle = Fixture::new(3, 4, 5).load().expect("a sound bundle");
    assert_eq!((bundle.name(), bundle.version(), bundle.plan().width()), ("test", "2026.11.1", 5));
    assert_eq!(bundle.hash().len(), 64);
    assert_eq!(bundle.reasons().of(4).code, "R");
    assert_eq!(bundle.metadata()["cauce.missing"], "nan");
}

#[test]
fn a_file_that_is_not_the_one_described_is_refused() {
    let fixture = Fixture::new(3, 4, 5);
    fixture.load().expect("a sound bundle");
    fixture.write("MODEL_CARD.md", "# Better than it was\n");
    let refusal = Bundle::load(&fixture.directory, &Limits::default()).expect_err("refused").to_string();
    assert!(refusal.starts_with("`MODEL_CARD.md` is not the file that `bundle.json` describes"), "{refusal}");
}

#[test]
fn another_bundle_than_the_expected_one_is_refused_before_its_model_is_looked_at() {
    let fixture = Fixture::new(3, 4, 5);
    let (sound, limits) = (fixture.load().expect("a sound bundle"), Limits::default());
    let expected = |hash: &str| Bundle::load_expected(&fixture.directory, &limits, hash);
    assert_eq!(Bundle::hash_at(&fixture.directory, &limits).expect("a manifest"), sound.hash());
    assert_eq!(expected(sound.hash()).expect("the same").hash(), sound.hash());
    fixture.load_bytes(b"not a model").expect_err("refused");
    let refusal = expected(sound.hash()).expect_err("refused").to_string();
    assert!(refusal.contains("it was changed meanwhile"), "{refusal}");
}

#[test]
fn a_file_that_is_absent_or_too_large_is_named() {
    let fixture = Fixture::new(3, 4, 5);
    fixture.load().expect("a sound bundle");
    let limits = Limits { model_bytes_max: 100, ..Limits::default() };
    let refusal = Bundle::load(&fixture.directory, &limits).expect_err("refused").to_string();
    assert_eq!(refusal, "`model.onnx` is larger than 100 bytes");
    std::fs::remove_file(fixture.directory.join("reasons.toml")).expect("it was there");
    let refusal = Bundle::load(&fixture.directory, &Limits::default()).expect_err("refused").to_string();
    assert!(refusal.contains("reasons.toml` cannot be read"), "{refusal}");
}

#[test]
fn a_manifest_that_names_other_files_is_refused() {
    let fixture = Fixture::new(3, 4, 5);
    fixture.load().expect("a sound bundle");
    let manifest = fixture.read("bundle.json");
    for (from, to, expected) in [
        ("reasons.toml", "../reasons.toml", "`files` must be exactly"),
        ("\"format\":1", "\"format\":2", "format 2 is not known"),
        ("\"name\"", "\"nome\"", "unknown field `nome`"),
        ("\"test\"", "\"\"", "must be 1 to 64 letters"),
        ("2026.11.1", "2026\\n11", "must be 1 to 64 letters"),
    ] {
        fixture.write("bundle.json", manifest.replacen(from, to, 1));
        let refusal = Bundle::load(&fixture.directory, &Limits::default()).expect_err("refused").to_string();
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[test]
fn a_specification_that_does_not_hold_is_refused() {
    let fixture = Fixture::new(3, 4, 5);
    for (text, expected) in [
        ("name = \"test\"\n", "features.toml"),
        ("name = \"test\"\nhorizon = \"30d\"\n[application.fields]\n", "features.toml"),
    ] {
        fixture.write("features.toml", text);
        let refusal = fixture.refusal();
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[test]
fn a_model_of_other_features_is_refused() {
    let check = |key: &str, value: Option<&str>, expected: &str| {
        let mut fixture = Fixture::new(3, 4, 2);
        fixture.model.metadata.retain(|(known, _)| known != key);
        fixture.model.metadata.extend(value.map(|value| (key.to_owned(), value.to_owned())));
        let refusal = fixture.refusal();
        assert!(refusal.contains(expected), "{refusal}");
    };
    check("cauce.features", Some(r#"["f1","f0"]"#), "names another feature than `f0` at place 0");
    check("cauce.features", Some(r#"["f0"]"#), "names 1 features, the vector has 2");
    check("cauce.features", Some("f0, f1"), "must be a JSON list");
    check("cauce.features", None, "`cauce.features` is absent");
    check("cauce.specification", Some("00"), "is `00`, but that of `features.toml` is");
    check("cauce.missing", Some("none"), "`f0` has no `default` and may be NaN");
    check("cauce.missing", Some("sometimes"), "`nan` or `none` is right");
}

#[test]
fn a_model_that_does_not_reproduce_its_golden_rows_is_refused() {
    let mut fixture = Fixture::new(3, 4, 5);
    for (key, part) in [("probability", "the model gives"), ("scorecard", "the scorecard gives")] {
        let original = fixture.reference.clone();
        let golden = &mut fixture.reference["golden"][3][key];
        *golden = json!(golden.as_f64().expect("a number") + 3e-6);
        let refusal = fixture.refusal();
        assert!(refusal.starts_with("golden row 3: ") && refusal.contains(part), "{refusal}");
        fixture.reference = original;
    }
    fixture.load().expect("a sound bundle again");
}
