//! Why a driver ended, and what that means for the session.

use serde::{Deserialize, Serialize};

/// What follows from an exit. The classes are those of the restart policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitClass {
    /// Asked for: stop, logout.
    Finished,
    /// Crash, time-out, disconnect: try again with backoff.
    Transient,
    /// The network asked to wait.
    Throttled {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// Our own wish for a fresh worker: start again at once; it is no failure.
    Planned,
    /// Only a person can help: park, do not retry.
    Permanent,
}

/// Why a driver ended. The detail is for operators and carries no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum ExitReason {
    /// Stopped by request.
    Stopped,
    /// Logged out by request.
    LoggedOut,
    /// The browser or the page died.
    Crashed {
        /// What was seen.
        detail: String,
    },
    /// Our own code panicked.
    Panicked {
        /// The panic's text.
        detail: String,
    },
    /// Something did not happen in time.
    TimedOut {
        /// What was waited for.
        detail: String,
    },
    /// Three heartbeats were missed.
    Hung,
    /// The connection to the network was lost and did not come back.
    Disconnected {
        /// What was seen.
        detail: String,
    },
    /// The worker could not be started.
    LaunchFailed {
        /// What was seen.
        detail: String,
    },
    /// Our own store was not available.
    StoreUnavailable,
    /// Another client took the account's place.
    Conflict,
    /// The network asked to wait.
    Throttled {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// The worker used too much or was too old, and nothing was going on.
    Recycled {
        /// What was too much.
        detail: String,
    },
    /// Nobody scanned the codes.
    LoginExpired,
    /// The phone removed this device.
    Unpaired,
    /// The network blocked the account.
    Banned,
    /// The network refuses this version of the client.
    Outdated,
}

impl ExitReason {
    /// What follows from it.
    #[must_use]
    pub fn class(&self) -> ExitClass {
        match self {
            Self::Stopped | Self::LoggedOut => ExitClass::Finished,
            Self::Crashed { .. }
            | Self::Panicked { .. }
            | Self::TimedOut { .. }
            | Self::Hung
            | Self::Disconnected { .. }
            | Self::LaunchFailed { .. }
            | Self::StoreUnavailable
            | Self::Conflict => ExitClass::Transient,
            Self::Throttled { for_ms } => ExitClass::Throttled { for_ms: *for_ms },
            Self::Recycled { .. } => ExitClass::Planned,
            Self::LoginExpired | Self::Unpaired | Self::Banned | Self::Outdated => ExitClass::Permanent,
        }
    }

    /// A stable word for APIs, logs and metric labels.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::LoggedOut => "logged_out",
            Self::Crashed { .. } => "crashed",
            Self::Panicked { .. } => "panicked",
            Self::TimedOut { .. } => "timed_out",
            Self::Hung => "hung",
            Self::Disconnected { .. } => "disconnected",
            Self::LaunchFailed { .. } => "launch_failed",
            Self::StoreUnavailable => "store_unavailable",
            Self::Conflict => "conflict",
            Self::Throttled { .. } => "throttled",
            Self::Recycled { .. } => "recycled",
            Self::LoginExpired => "login_expired",
            Self::Unpaired => "unpaired",
            Self::Banned => "banned",
            Self::Outdated => "outdated",
        }
    }

    /// What was seen, for operators.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Crashed { detail }
            | Self::Panicked { detail }
            | Self::TimedOut { detail }
            | Self::Disconnected { detail }
            | Self::LaunchFailed { detail }
            | Self::Recycled { detail } => Some(detail),
            _ => None,
        }
    }

    /// What the person can do, for the reasons that need one.
    #[must_use]
    pub fn user_action(&self) -> Option<&'static str> {
        match self {
            Self::LoginExpired => Some("No phone scanned the code in time. Restart the session and scan a new code."),
            Self::Unpaired => Some("The phone removed this device. Restart the session and scan a new code."),
            Self::Banned => Some("WhatsApp has blocked this account. Ask WhatsApp on the phone, then restart."),
            Self::Outdated => Some("WhatsApp refuses this client version. Update wa-js or the server, then restart."),
            Self::Conflict => Some("The account was opened in another browser. Wardroom takes it back by itself."),
            _ => None,
        }
    }
}
