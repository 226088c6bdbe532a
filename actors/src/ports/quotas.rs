//! What everybody may have.

use crate::domain::ids::{TenantId, UserId};
use crate::domain::quota::{Exceeded, Quota};

/// The one book of what everybody may have.
pub trait Quotas: Send + Sync + 'static {
    /// The bounds of a user, and of its tenant.
    fn of(&self, tenant: TenantId, user: UserId) -> Quota;

    /// Counts a message that somebody wants to send.
    ///
    /// # Errors
    /// The bound that it would exceed, and the milliseconds after which it would not.
    fn spend(&self, tenant: TenantId, user: UserId) -> Result<(), (Exceeded, u64)>;

    /// A message that was counted was not accepted, or had been before.
    fn give_back(&self, tenant: TenantId, user: UserId);
}

/// The same for everybody, and messages in any number.
impl Quotas for Quota {
    fn of(&self, _: TenantId, _: UserId) -> Quota {
        *self
    }

    fn spend(&self, _: TenantId, _: UserId) -> Result<(), (Exceeded, u64)> {
        Ok(())
    }

    fn give_back(&self, _: TenantId, _: UserId) {}
}
