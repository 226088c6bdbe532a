//! WAHA's paths, as `waha.toml` beside this file lists them: what is not offered is answered with the reason.

use crate::error::ApiError;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Deserialize;
use std::collections::HashMap;
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
    /// The path that a test asks, where it is another.
    pub asked: Option<String>,
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
    /// The answer can also be null.
    #[serde(default)]
    pub maybe: bool,
    /// Under which name a test remembers the answer's id.
    pub keep: Option<String>,
}

/// An event of WAHA's.
#[derive(Clone, Debug, Deserialize)]
pub struct EventRow {
    /// Its name.
    pub name: String,
    /// How it is told of.
    pub is: Is,
    /// How it differs, or why it is absent.
    #[serde(default)]
    pub note: String,
    /// A sample of the payload.
    pub like: Option<String>,
}

#[derive(Default, Deserialize)]
struct Table {
    path: Vec<Row>,
    event: Vec<EventRow>,
    own: Vec<Row>,
    sample: HashMap<String, String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let Table { mut path, mut event, mut own, sample } = toml::from_str(include_str!("waha.toml")).unwrap_or_default();
    let rows = path.iter_mut().chain(&mut own).map(|row| &mut row.like);
    let likes = rows.chain(event.iter_mut().map(|row| &mut row.like));
    for like in likes.flatten() {
        *like = sample.iter().fold(std::mem::take(like), |like, (name, text)| like.replace(&format!("@{name}"), text));
    }
    Table { path, event, own, sample }
});

/// All paths, in their order.
#[must_use]
pub fn table() -> &'static [Row] {
    &TABLE.path
}

/// Wardroom's own paths.
#[must_use]
pub fn own() -> &'static [Row] {
    &TABLE.own
}

/// All events.
#[must_use]
pub fn events() -> &'static [EventRow] {
    &TABLE.event
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
    let row = table().iter().find(|row| {
        let (verb, pattern) = row.call.split_once(' ').unwrap_or_default();
        row.is == Is::Absent && verb == request.method().as_str() && fits(pattern, request.path())
    })?;
    Some(ApiError::new("not_implemented_by_engine", row.note.clone()).error_response())
}

/// The list of the README.
#[must_use]
pub fn list() -> String {
    let paths: Vec<_> = table().iter().map(|row| (row.is, row.call.as_str(), row.note.as_str())).collect();
    let events: Vec<_> = events().iter().map(|row| (row.is, row.name.as_str(), row.note.as_str())).collect();
    format!("{}\n{}", list_of("paths", "not offered (422)", &paths), list_of("events", "never told", &events))
}

fn list_of(what: &str, absent: &str, all: &[(Is, &str, &str)]) -> String {
    let same: Vec<_> = all.iter().filter(|row| row.0 == Is::Same).map(|row| format!("`{}`", row.1)).collect();
    let rows = |is: Is| {
        let rows = all.iter().filter(|row| row.0 == is);
        rows.map(|(_, name, note)| format!("| `{name}` | {note} |\n")).collect::<String>()
    };
    format!(
        "The same, {} {what}: {}.\n\n| differs | how |\n|---|---|\n{}\n| {absent} | why |\n|---|---|\n{}",
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
        assert!(table().len() > 100 && events().len() > 20, "the table cannot be read");
        for row in table().iter().chain(own()) {
            let (verb, path) = row.call.split_once(' ').unwrap();
            assert!(["GET", "POST", "PUT", "DELETE"].contains(&verb) && path.starts_with('/'), "{}", row.call);
            assert_eq!(row.is == Is::Same, row.note.is_empty(), "{}", row.call);
        }
        for row in events() {
            assert!(crate::frames::NAMES.contains(&row.name.as_str()), "{}", row.name);
            assert_eq!(row.is == Is::Same, row.note.is_empty(), "{}", row.name);
            assert_eq!(row.is == Is::Absent, row.like.is_none(), "{}", row.name);
        }
        let likes = table().iter().chain(own()).map(|row| &row.like).chain(events().iter().map(|row| &row.like));
        for like in likes.flatten() {
            assert!(serde_json::from_str::<serde_json::Value>(like).is_ok(), "{like}");
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
