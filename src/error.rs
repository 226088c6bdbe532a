//! What a client is told when something does not work. One table maps code → status and title; the body keeps WAHA's
//! `statusCode`, `message`, `error` and adds `code` and `requestId`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};
use std::fmt;
use wardroom_actors::domain::quota::{Exceeded, Resource, Whose};
use wardroom_actors::domain::session::Status;
use wardroom_actors::handle::Refusal;
use wardroom_actors::policy::admission::Refused;
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::engine::CommandError;

tokio::task_local! {
    /// The id of the request that is being answered.
    pub static REQUEST_ID: String;
}

/// An error with its code.
#[derive(Debug)]
pub struct ApiError {
    code: &'static str,
    message: Value,
    extra: Vec<(&'static str, Value)>,
    retry_after: Option<u64>,
}

/// code → status. The title is the status's own.
const TABLE: &[(&str, u16)] = &[
    ("bad_request", 400),
    ("unauthorized", 401),
    ("token_expired", 401),
    ("second_factor_needed", 401),
    ("forbidden", 403),
    ("second_factor_required", 403),
    ("session_not_found", 404),
    ("not_found", 404),
    ("message_not_found", 404),
    ("file_not_found", 404),
    ("method_not_allowed", 405),
    ("not_acceptable", 406),
    ("gone", 410),
    ("too_slow", 408),
    ("payload_too_large", 413),
    ("unsupported_media_type", 415),
    ("session_exists", 422),
    ("reserved_name", 422),
    ("own_key", 422),
    ("own_self", 422),
    ("last_owner", 422),
    ("name_taken", 422),
    ("email_taken", 422),
    ("second_factor_set", 422),
    ("no_email", 422),
    ("quota_users", 422),
    ("quota_keys", 422),
    ("no_session_for_key", 422),
    ("quota_sessions", 422),
    ("quota_storage", 422),
    ("quota_webhooks", 422),
    ("session_status", 422),
    ("idempotency_key_reused", 422),
    ("not_on_whatsapp", 422),
    ("refused_by_network", 422),
    ("file_not_fetched", 422),
    ("not_convertible", 422),
    ("not_implemented_by_engine", 422),
    ("strange_answer", 502),
    ("file_damaged", 502),
    ("queue_full", 429),
    ("quota_messages", 429),
    ("too_many_failures", 429),
    ("too_many_refusals", 429),
    ("too_many_requests", 429),
    ("internal", 500),
    ("node_full", 503),
    ("unavailable", 503),
    ("driver_no_answer", 503),
];

impl ApiError {
    /// An error of the table.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: Value::String(message.into()), extra: vec![], retry_after: None }
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Bad input; `message` is a list, as in WAHA.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { message: json!([message.into()]), ..Self::new("bad_request", "") }
    }

    /// There is no such session, for this caller.
    #[must_use]
    pub fn no_session() -> Self {
        Self::new("session_not_found", "Session not found")
    }

    /// The same, worth another try after so many seconds.
    #[must_use]
    pub fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    fn with(mut self, key: &'static str, value: Value) -> Self {
        self.extra.push((key, value));
        self
    }

    /// WAHA's words for a session that is in another status than a request needs.
    #[must_use]
    pub fn status(session: &str, is: Status, expected: &[Status]) -> Self {
        let expected: Vec<_> = expected.iter().map(|status| status.as_str()).collect();
        Self::new("session_status", "Session status is not as expected. Try again later or restart the session")
            .with("session", json!(session))
            .with("status", json!(is.as_str()))
            .with("expected", json!(expected))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        let status = TABLE.iter().find(|(code, _)| *code == self.code).map_or(500, |(_, status)| *status);
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code = self.code, request_id, "request failed");
        }
        let mut body = json!({
            "statusCode": status.as_u16(),
            "message": self.message,
            "error": status.canonical_reason().unwrap_or("Error"),
            "code": self.code,
            "requestId": request_id,
        });
        if let Some(object) = body.as_object_mut() {
            // WAHA's body of a wrong status has its text in `error`.
            if self.code == "session_status" {
                object.insert("error".into(), self.message.clone());
            }
            object.extend(self.extra.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        }
        let mut response = HttpResponse::build(status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        let mut response = response.json(body);
        response.extensions_mut().insert(Code(self.code));
        response
    }
}

/// The code of an error, left with its response for whoever counts them.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub &'static str);

impl Code {
    /// Whether it says that there is no room just now.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        self.0.starts_with("quota_")
            || ["too_many_requests", "node_full", "unavailable", "driver_no_answer"].contains(&self.0)
    }
}

impl From<PortError> for ApiError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Unavailable => Self::new("unavailable", "The store is not available right now").retry(1),
            PortError::Conflict => Self::new("unavailable", "Another change came in between, try again").retry(1),
            PortError::Corrupt => Self::new("internal", "Internal server error"),
        }
    }
}

impl From<Exceeded> for ApiError {
    fn from(exceeded: Exceeded) -> Self {
        let code = match exceeded.resource {
            Resource::Sessions => "quota_sessions",
            Resource::Messages => "quota_messages",
            Resource::Storage => "quota_storage",
            Resource::Webhooks => "quota_webhooks",
        };
        let mut text = exceeded.to_string();
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::new(code, text).with("limit", json!(exceeded.limit))
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::no_session(),
            Refusal::Exists => {
                Self::new("session_exists", "A session of this name already exists. Use PUT to update it.")
            }
            Refusal::Limit(Refused::Quota { limit }) => {
                let (resource, whose) = (Resource::Sessions, Whose::User);
                Exceeded { resource, whose, limit: u64::try_from(limit).unwrap_or(u64::MAX) }.into()
            }
            Refusal::Quota(exceeded) => exceeded.into(),
            Refusal::TooMany { exceeded, retry_s } => Self::from(exceeded).retry(retry_s),
            Refusal::Limit(Refused::NodeFull { .. }) => {
                Self::new("node_full", "This node has no room for another running session").retry(30)
            }
            Refusal::WrongStatus(status) => Self::status("", status, &[]),
            Refusal::Taken => {
                Self::new("idempotency_key_reused", "This Idempotency-Key or id was used for another message")
            }
            Refusal::QueueFull { retry_s } => {
                Self::new("queue_full", "Too many messages are waiting in this session").retry(retry_s)
            }
            Refusal::Busy => Self::new("too_many_requests", "Too many requests are waiting").retry(1),
            Refusal::Store(error) => error.into(),
            Refusal::Command(error) => error.into(),
            Refusal::Slow => {
                Self::new("unavailable", "It takes longer than expected and goes on in the background").retry(5)
            }
        }
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotReady => Self::new("session_status", "The session is not running"),
            CommandError::Unsupported => Self::new("not_implemented_by_engine", error.to_string()),
            CommandError::NoMessage => Self::new("message_not_found", error.to_string()),
            CommandError::NotFound(what) => Self::new("not_found", format!("There is no such {what}")),
            CommandError::NoFile => Self::new("file_not_found", error.to_string()),
            CommandError::Damaged => Self::new("file_damaged", error.to_string()),
            CommandError::NoRoom => Self::new("quota_storage", error.to_string()),
            CommandError::FileTooLarge => Self::new("payload_too_large", error.to_string()),
            CommandError::NotOnNetwork => Self::new("not_on_whatsapp", "The number is not on WhatsApp"),
            CommandError::Refused(_) => Self::new("refused_by_network", error.to_string()),
            CommandError::NoAnswer => Self::new("driver_no_answer", error.to_string()).retry(2),
            CommandError::Busy => Self::new("too_many_requests", error.to_string()).retry(1),
        }
    }
}
