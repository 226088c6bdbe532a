//! What a client asked a session to be.

use super::ids::{LinkEpoch, SessionId, SessionKey, SessionName, TenantId, UserId, WorkerId};
use super::login::Account;
use serde::{Deserialize, Serialize};

/// Which real or simulated network an engine is pointed at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The real one.
    #[default]
    Whatsapp,
    /// The one that ships with the product.
    Simulator,
}

/// Which adapter runs the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// WhatsApp Web in Chromium.
    #[default]
    Web,
}

/// What is stored of a session, and what survives every restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSpec {
    /// Owner.
    pub tenant: TenantId,
    /// Whose quota and data key it uses.
    pub user: UserId,
    /// Its id.
    pub id: SessionId,
    /// Its name.
    pub name: SessionName,
    /// The adapter.
    pub engine: EngineName,
    /// The network.
    pub network: Network,
    /// The client's `config` as JSON text, kept as it came.
    pub config: String,
    /// A person wants it to run; it is started at boot.
    pub desired_running: bool,
    /// How often an account was linked.
    pub link_epoch: LinkEpoch,
    /// Unix seconds of the last linking; older messages are history.
    pub linked_at: Option<i64>,
    /// The account, while linked.
    pub account: Option<Account>,
    /// Whose profile directory holds the login, while one does.
    pub worker: Option<WorkerId>,
    /// Fences writes: only the holder of this epoch may change the session.
    pub owner_epoch: i64,
}

impl SessionSpec {
    /// Where it lives.
    #[must_use]
    pub fn key(&self) -> SessionKey {
        SessionKey { tenant: self.tenant, session: self.id }
    }
}
