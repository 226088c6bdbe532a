//! Settings in three layers: the documented defaults (config.toml, built in), a file, the environment.
//!
//! An unknown key is an error in every layer, so that a typing mistake is never silently ignored.

mod sections;

pub use sections::*;

use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("../../config.toml");

/// Why there is no configuration. The text tells what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no TOML, or a value does not fit.
    #[error("{origin}: {detail}")]
    Invalid {
        /// Where.
        origin: String,
        /// What.
        detail: String,
    },
    /// There is no such setting.
    #[error("{origin}: there is no setting {key}; config.toml lists all of them")]
    Unknown {
        /// Where.
        origin: String,
        /// Which.
        key: String,
    },
}

/// Reads the defaults, then `file` (or ./config.toml, if there is one), then the environment.
///
/// # Errors
/// [`ConfigError`].
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let here = Path::new("config.toml");
    let file = file.or_else(|| here.exists().then_some(here));
    let layer = match file {
        None => None,
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            Some((path.display().to_string(), text))
        }
    };
    layered(layer, std::env::vars())
}

/// The defaults and these variables, for tests.
#[cfg(test)]
pub(crate) fn with(variables: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
    layered(None, variables)
}

fn layered(
    file: Option<(String, String)>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut table = parse("the built-in defaults", DEFAULTS)?;
    if let Some((origin, text)) = file {
        let layer = parse(&origin, &text)?;
        overlay(&mut table, layer, &origin, "")?;
    }
    for (name, value) in environment {
        if let Some(path) = name.strip_prefix("WARDROOM__") {
            set(&mut table, &name, path, value)?;
        }
    }
    table.try_into().map_err(|error: toml::de::Error| ConfigError::Invalid {
        origin: "settings".to_owned(),
        detail: error.message().to_owned(),
    })
}

fn parse(origin: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| ConfigError::Invalid {
        origin: origin.to_owned(),
        detail: error.message().to_owned(),
    })
}

fn overlay(under: &mut Table, over: Table, origin: &str, path: &str) -> Result<(), ConfigError> {
    for (key, value) in over {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (under.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => overlay(inner, value, origin, &name)?,
            (Some(slot), value) => *slot = value,
            (None, _) => return Err(ConfigError::Unknown { origin: origin.to_owned(), key: name }),
        }
    }
    Ok(())
}

/// The type of the default decides how the text is read, so that an API key of digits stays a text.
fn set(table: &mut Table, variable: &str, path: &str, text: String) -> Result<(), ConfigError> {
    let unknown = || ConfigError::Unknown { origin: "environment".to_owned(), key: variable.to_owned() };
    let lower = path.to_lowercase();
    let (mut table, mut key) = (table, lower.as_str());
    while let Some((section, rest)) = key.split_once("__") {
        table = table.get_mut(section).and_then(Value::as_table_mut).ok_or_else(unknown)?;
        key = rest;
    }
    let slot = table.get_mut(key).ok_or_else(unknown)?;
    let bad = |what: &str| ConfigError::Invalid { origin: variable.to_owned(), detail: format!("expected {what}") };
    *slot = match slot {
        Value::String(_) => Value::String(text),
        Value::Integer(_) => Value::Integer(text.trim().parse().map_err(|_| bad("a whole number"))?),
        Value::Array(known) => {
            let listed = text.split(',').map(str::trim).filter(|one| !one.is_empty());
            let numbers = matches!(known.first(), Some(Value::Integer(_)));
            let one = |text: &str| match text.parse() {
                Ok(number) if numbers => Ok(Value::Integer(number)),
                Err(_) if numbers => Err(bad("whole numbers")),
                _ => Ok(Value::String(text.to_owned())),
            };
            Value::Array(listed.map(one).collect::<Result<_, _>>()?)
        }
        Value::Boolean(_) => Value::Boolean(text.trim().to_lowercase().parse().map_err(|_| bad("true or false"))?),
        _ => return Err(unknown()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn settings_are_read_or_refused(
            text in "(\\[(http|guard|[a-z]{1,6})\\]\n([a-z_]{1,10}|listen|sign_ins) = (\"[a-z0-9:]{0,8}\"|-?[0-9]{1,20}|true|\\[\\])\n){0,3}|.{0,100}",
            name in "WARDROOM__(HTTP__LISTEN|GUARD__SIGN_INS|EGRESS__PORTS|[A-Z_]{0,12})",
            value in ".{0,40}",
        ) {
            let read = layered(Some(("a file".to_owned(), text.clone())), [(name.clone(), value)].into_iter());
            let (tables, section) = (parse("a file", &text), name.trim_start_matches("WARDROOM__").to_lowercase());
            if let (Ok(_), Ok(tables)) = (&read, tables) {
                let known = parse("the defaults", DEFAULTS).unwrap();
                prop_assert!(tables.keys().all(|key| known.contains_key(key)), "{}", text);
                let top = section.split("__").next().unwrap_or_default();
                prop_assert!(known.contains_key(top), "{}", name);
            }
        }
    }

    fn with(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        super::with(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn the_environment_replaces_defaults_and_keeps_their_types() {
        let config = with(&[("WARDROOM__HTTP__LISTEN", "0.0.0.0:1"), ("WARDROOM__DATA_DIR", "42"), ("OTHER", "x")]);
        let config = config.unwrap();
        assert_eq!(config.http.listen, "0.0.0.0:1");
        assert_eq!(config.data_dir, Path::new("42"));
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused_with_their_name() {
        let unknown = with(&[("WARDROOM__HTTP__LISTNE", "x")]).unwrap_err().to_string();
        assert!(unknown.contains("WARDROOM__HTTP__LISTNE"), "{unknown}");
        let ports = [("WARDROOM__EGRESS__PORTS", "443, 5678"), ("WARDROOM__EGRESS__ALLOW", "5678")];
        let lists = with(&ports).unwrap().egress;
        assert_eq!((lists.ports, lists.allow), (vec![443, 5678], vec!["5678".to_owned()]));
        assert!(with(&[("WARDROOM__EGRESS__PORTS", "https")]).is_err());
        let typed = with(&[("WARDROOM__POOL__WARM_SPARES", "many")]).unwrap_err().to_string();
        assert!(typed.contains("whole number"), "{typed}");
        let file = layered(Some(("f.toml".into(), "[http]\nport = 1".into())), std::iter::empty()).unwrap_err();
        assert!(file.to_string().contains("http.port"), "{file}");
    }

    #[test]
    fn no_secret_is_shown_by_debug() {
        let config = with(&[("WARDROOM__BOOTSTRAP__API_KEY", "canary-1"), ("WARDROOM__VAULT__KEK", "canary-2")]);
        assert!(!format!("{:?}", config.unwrap()).contains("canary"));
    }
}
