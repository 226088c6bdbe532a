//! WAHA's paths, as `waha.toml` beside this file lists them: what is not offered is answered with the reason.

use crate::error::ApiError;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Deserialize;
use std::sync::LazyLock;

/// How a path is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Is {
    /// As WAHA does.
    Same,
    /// In another way.
    Differs,
    /// Not at all.
    Absent,
}

/// A path of WAHA's.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// Verb and path.
    pub call: String,
    /// How it is answered.
    pub is: Is,
    /// How it differs, or why it is absent.
    #[serde(default)]
    pub note: String,
    /// What a test asks.
    #[serde(default)]
    pub query: String,
    /// What a test sends.
    pub body: Option<String>,
    /// The status that answers.
    pub status: Option<u16>,
    /// A sample of the answer.
    pub like: Option<String>,
    /// Under which name a test remembers the answer's id.
    pub keep: Option<String>,
}

#[derive(Deserialize)]
struct Table {
    path: Vec<Row>,
}

static TABLE: LazyLock<Vec<Row>> =
    LazyLock::new(|| toml::from_str::<Table>(include_str!("waha.toml")).map(|table| table.path).unwrap_or_default());

/// All rows, in their order.
#[must_use]
pub fn table() -> &'static [Row] {
    &TABLE
}

/// Whether a path fits a pattern, in which what stands in braces fits any part.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut parts, mut asked) = (pattern.split('/'), path.split('/'));
    loop {
        match (parts.next(), asked.next()) {
            (None, None) => return true,
            (Some(part), Some(asked)) if part == asked || (part.starts_with('{') && !asked.is_empty()) => {}
            _ => return false,
        }
    }
}

/// The answer to a call that WAHA has and Wardroom does not.
pub(super) fn absent(request: &HttpRequest) -> Option<HttpResponse> {
    let row = TABLE.iter().find(|row| {
        let (verb, pattern) = row.call.split_once(' ').unwrap_or_default();
        row.is == Is::Absent && verb == request.method().as_str() && fits(pattern, request.path())
    })?;
    Some(ApiError::new("not_implemented_by_engine", row.note.clone()).error_response())
}

/// The list of the README.
#[must_use]
pub fn list() -> String {
    let of = |is: Is| TABLE.iter().filter(move |row| row.is == is);
    let same: Vec<_> = of(Is::Same).map(|row| format!("`{}`", row.call)).collect();
    let rows = |is: Is| of(is).map(|row| format!("| `{}` | {} |\n", row.call, row.note)).collect::<String>();
    format!(
        "The same, {} paths: {}.\n\n| differs | how |\n|---|---|\n{}\n| not offered (422) | why |\n|---|---|\n{}",
        same.len(),
        same.join(", "),
        rows(Is::Differs),
        rows(Is::Absent),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        assert!(table().len() > 100, "the table cannot be read");
        for row in table() {
            let (verb, path) = row.call.split_once(' ').unwrap();
            assert!(["GET", "POST", "PUT", "DELETE"].contains(&verb) && path.starts_with('/'), "{}", row.call);
            assert_eq!(row.is == Is::Same, row.note.is_empty(), "{}", row.call);
        }
    }

    #[test]
    fn a_pattern_fits_part_by_part() {
        assert!(fits("/api/{session}/status/text", "/api/default/status/text"));
        assert!(!fits("/api/{session}/status/text", "/api/default/status"));
        assert!(!fits("/api/{session}/status/text", "/api//status/text"));
        assert!(!fits("/api/apps", "/api/apps/1"));
    }
}
