//! Vectors by their bits: of a score, and of the training table.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use super::Server;

/// One vector; `None` where a value is missing.
pub(crate) type Bits = Vec<Option<u32>>;

/// The names of the features of a vector, in its order.
pub(crate) fn names(server: &Server) -> Vec<String> {
    let bundle = server.get("/v1/bundle").json();
    let features = bundle["features"].as_array().unwrap().iter();
    features.map(|feature| feature["name"].as_str().unwrap().to_owned()).collect()
}

/// The bits of the vector of a score.
pub(crate) fn served_bits(scored: &Value) -> Bits {
    let values = scored["vector"].as_array().unwrap();
    values.iter().map(|value| value.as_f64().map(|value| (value as f32).to_bits())).collect()
}

/// The same of every row of a training table.
pub(crate) fn table_bits(path: &Path, names: &[String]) -> Vec<Bits> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns());
    let value = |field: &Field| match field {
        Field::Float(value) => (!value.is_nan()).then_some(value.to_bits()),
        other => panic!("a feature is no float: {other:?}"),
    };
    rows.map(|row| {
        let of = |name| &row.iter().find(|(column, _)| column == name).expect("every feature has its column").1;
        names.iter().map(|name| value(of(name))).collect()
    })
    .collect()
}
