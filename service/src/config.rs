//! Configuration: embedded `default.toml` < file < `CAUCE__SECTION__KEY` environment < flags.
//!
//! `default.toml` is the one table of what can be set: a key that is not in it is refused with the nearest one that is,
//! and a value from the environment or a flag is read as the kind of value that the default has. Every component
//! receives only its own section (S5: each bound of the service is a key here).

mod bounds;
mod sections;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use cauce_features::nearest::nearest;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use bounds::Bound;
pub use sections::*;
pub use values::{Duration, Size};

const DEFAULTS: &str = include_str!("default.toml");
const ENVIRONMENT_PREFIX: &str = "CAUCE__";

/// The effective configuration.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub budget: Budget,
    pub ladder: Ladder,
    pub cache: Cache,
    pub breaker: Breaker,
    pub model: Model,
    pub log: Log,
    pub store: Store,
    pub kafka: Kafka,
    pub ledger: Ledger,
    pub logging: Logging,
    pub tracing: Tracing,
    pub alerts: Alerts,
    pub admission: Admission,
    pub limits: Limits,
    pub kpi: Kpi,
}

/// One setting by its dotted path, as typed on the command line or in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub path: String,
    pub value: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read `{path}`: {cause}")]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{origin}: {cause}")]
    Malformed { origin: String, cause: toml::de::Error },
    #[error("{origin}: unknown setting `{key}`{}", values::did_you_mean(.nearest))]
    Unknown { origin: String, key: String, nearest: Option<String> },
    #[error("{origin}: `{key}` must be {expected}")]
    WrongKind { origin: String, key: String, expected: &'static str },
    #[error("configuration: `{key}`: {cause}")]
    Wrong { key: &'static str, cause: String },
    #[error("a setting is written `section.key=value`, not `{0}`")]
    NotASetting(String),
}

impl Override {
    /// Reads `section.key=value`.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let (path, value) = text.split_once('=').ok_or_else(|| ConfigError::NotASetting(text.to_owned()))?;
        Ok(Self { path: path.trim().to_owned(), value: value.trim().to_owned() })
    }
}

impl Config {
    /// Merges all layers, the last given wins.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: Vec<Override>,
    ) -> Result<Self, ConfigError> {
        let mut effective: Table = DEFAULTS.parse().expect("the embedded defaults are valid TOML");
        if let Some(path) = file {
            let origin = path.display().to_string();
            let text =
                fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.into(), cause })?;
            let table =
                text.parse::<Table>().map_err(|cause| ConfigError::Malformed { origin: origin.clone(), cause })?;
            merge(&mut effective, table, &origin, "")?;
        }
        let mut environment: Vec<_> = environment.filter_map(from_environment).collect();
        environment.sort_by(|a, b| a.path.cmp(&b.path));
        for (origin, overrides) in [("environment", environment), ("command line", flags)] {
            for one in overrides {
                set(&mut effective, &one, origin)?;
            }
        }
        let config: Self = Value::Table(effective)
            .try_into()
            .map_err(|cause| ConfigError::Malformed { origin: "configuration".into(), cause })?;
        config.check()?;
        Ok(config)
    }

    /// The effective configuration in the form of a configuration file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is tables of plain values")
    }
}

fn from_environment((name, value): (String, String)) -> Option<Override> {
    let path = name.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase().replace("__", ".");
    Some(Override { path, value })
}

/// Lays `over` on `base`, whose keys are all there are.
fn merge(base: &mut Table, over: Table, origin: &str, prefix: &str) -> Result<(), ConfigError> {
    for (key, value) in over {
        let path = format!("{prefix}{key}");
        let Some(place) = base.get_mut(&key) else {
            return Err(unknown(base, origin, prefix, &key));
        };
        match (place, value) {
            (Value::Table(inner), Value::Table(value)) => merge(inner, value, origin, &format!("{path}."))?,
            (place, value) if place.same_type(&value) => *place = value,
            (place @ Value::Float(_), Value::Integer(whole)) => *place = Value::Float(whole as f64),
            (place, _) => return Err(wrong_kind(place, origin, path)),
        }
    }
    Ok(())
}

fn set(base: &mut Table, one: &Override, origin: &str) -> Result<(), ConfigError> {
    let (section, key) = one.path.split_once('.').unwrap_or((&one.path, ""));
    let Some(Value::Table(table)) = base.get_mut(section) else {
        return Err(unknown(base, origin, "", section));
    };
    let Some(place) = table.get_mut(key) else {
        return Err(unknown(table, origin, &format!("{section}."), key));
    };
    let value = match place {
        Value::Integer(_) => one.value.parse().ok().map(Value::Integer),
        Value::Float(_) => one.value.parse().ok().map(Value::Float),
        Value::Boolean(_) => one.value.parse().ok().map(Value::Boolean),
        _ => Some(Value::String(one.value.clone())),
    };
    *place = value.ok_or_else(|| wrong_kind(place, origin, one.path.clone()))?;
    Ok(())
}

fn unknown(known: &Table, origin: &str, prefix: &str, key: &str) -> ConfigError {
    let nearest = nearest(key, known.keys().map(String::as_str)).map(|near| format!("{prefix}{near}"));
    ConfigError::Unknown { origin: origin.into(), key: format!("{prefix}{key}"), nearest }
}

fn wrong_kind(place: &Value, origin: &str, key: String) -> ConfigError {
    let expected = match place {
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Table(_) => "a section",
        _ => "text",
    };
    ConfigError::WrongKind { origin: origin.into(), key, expected }
}

#[cfg(test)]
mod tests;
