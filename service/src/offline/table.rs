//! The training table: one Parquet row an application, in the order of the applications file.
//!
//! Written with the column writers of the `parquet` crate, without Arrow: four fixed columns and as many floats as
//! there are features need no more. The bytes depend on nothing but the rows, so two runs over the same history can be
//! compared by their hash. A missing feature is NaN and never null: the model sees NaN too (F2).

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use cauce_features::application::HistoricApplication;
use cauce_features::plan::FeaturePlan;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::output;

/// Bounds what a reader has to hold of a column at once (S5).
const ROWS_PER_GROUP: usize = 65_536;

/// Writes the table to `path`.
pub(super) fn write(
    path: &Path,
    plan: &FeaturePlan,
    applications: &[HistoricApplication],
    vectors: &[f32],
) -> io::Result<()> {
    output::write_whole(path, |file| {
        let mut writer = SerializedFileWriter::new(file, schema(plan)?, properties(plan))?;
        for (group, applications) in applications.chunks(ROWS_PER_GROUP).enumerate() {
            let vectors = &vectors[group * ROWS_PER_GROUP * plan.width()..][..applications.len() * plan.width()];
            let mut group = writer.next_row_group()?;
            write_group(&mut group, plan.width(), applications, vectors)?;
            group.close()?;
        }
        writer.close()?;
        Ok(())
    })
}

fn write_group<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    width: usize,
    applications: &[HistoricApplication],
    vectors: &[f32],
) -> Result<()> {
    let people: Vec<ByteArray> = applications.iter().map(|row| row.application.person().into()).collect();
    write_column::<ByteArrayType, _>(group, &people, None)?;
    let ids: Vec<ByteArray> = applications.iter().map(|row| row.application.id_text().into()).collect();
    write_column::<ByteArrayType, _>(group, &ids, None)?;
    let instants: Vec<i64> = applications.iter().map(|row| row.as_of.millis()).collect();
    write_column::<Int64Type, _>(group, &instants, None)?;
    let labels: Vec<i32> = applications.iter().filter_map(|row| row.label.map(i32::from)).collect();
    let given: Vec<i16> = applications.iter().map(|row| i16::from(row.label.is_some())).collect();
    write_column::<Int32Type, _>(group, &labels, Some(&given))?;
    let mut column = Vec::with_capacity(applications.len());
    for feature in 0..width {
        column.clear();
        column.extend(vectors.iter().skip(feature).step_by(width));
        write_column::<FloatType, _>(group, &column, None)?;
    }
    Ok(())
}

fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    given: Option<&[i16]>,
) -> Result<()> {
    let mut column =
        group.next_column()?.ok_or_else(|| ParquetError::General("the schema has too few columns".into()))?;
    column.typed::<T>().write_batch(values, given, None)?;
    column.close()
}

fn schema(plan: &FeaturePlan) -> Result<TypePtr> {
    let required = |name: &str, physical, logical| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    };
    let instant = LogicalType::timestamp(true, TimeUnit::MILLIS);
    let label = Type::primitive_type_builder("label", PhysicalType::INT32).with_repetition(Repetition::OPTIONAL);
    let mut columns = vec![
        required("person_id", PhysicalType::BYTE_ARRAY, Some(LogicalType::String))?,
        required("application_id", PhysicalType::BYTE_ARRAY, Some(LogicalType::String))?,
        required("as_of", PhysicalType::INT64, Some(instant))?,
        Arc::new(label.build()?),
    ];
    for name in plan.names() {
        columns.push(required(name, PhysicalType::FLOAT, None)?);
    }
    Type::group_type_builder("applications").with_fields(columns).build().map(Arc::new)
}

/// No dictionaries: they compare values, and to them 0.0 and -0.0 may be one value, which they are not bit for bit
/// (F2).
fn properties(plan: &FeaturePlan) -> WriterPropertiesPtr {
    let names: Vec<&str> = plan.names().collect();
    let metadata = vec![
        KeyValue::new("cauce.specification".to_owned(), hex(&plan.specification().hash)),
        KeyValue::new("cauce.features".to_owned(), serde_json::json!(names).to_string()),
    ];
    Arc::new(
        WriterProperties::builder()
            .set_created_by(concat!("cauce ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_key_value_metadata(Some(metadata))
            .build(),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
