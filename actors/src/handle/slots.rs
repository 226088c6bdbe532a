//! Places of sessions that are to run: whether there is one on the node, and whether their user may have one more.

use super::{Handle, Refusal};
use crate::actor::browser_pool::Reserve;
use crate::actor::living::{SessionEntry, lock};
use crate::actor::session::Wish;
use crate::domain::ids::{TenantId, UserId};
use crate::domain::spec::SessionSpec;
use crate::policy::admission::Refused;

impl Handle {
    /// The user of a new session may not be known yet; this tells whether the node could run one more at all.
    pub(super) fn room_for_one(&self) -> Result<(), Refusal> {
        let table = &self.kernel.registry.session.pool_table;
        lock(&table.ledger).room().map_err(Refusal::from)
    }

    /// Starts a session where there is a place for it, unless its tenant is shut.
    pub(super) async fn run(&self, entry: &SessionEntry) -> Result<(), Refusal> {
        if self.living.shut.contains(&entry.spec().tenant) {
            return Ok(());
        }
        self.reserve(entry).await?;
        self.wish(entry, Wish::Start).await?;
        // Shut meanwhile.
        if self.living.shut.contains(&entry.spec().tenant) { self.wish(entry, Wish::Stop).await } else { Ok(()) }
    }

    /// Takes a place for a session.
    pub(super) async fn reserve(&self, entry: &SessionEntry) -> Result<(), Refusal> {
        let SessionSpec { id: session, tenant, user, .. } = entry.spec();
        let reserve = async |limit| {
            let reserved = self.pool.send(Reserve { session, user, limit }).await;
            reserved.map_err(|_| Refusal::Busy)
        };
        let limit = match self.kernel.quotas.of(tenant, user).user.sessions {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        match reserve(limit).await? {
            // The limit was lowered: nothing new comes to what there is, but what there is goes on.
            Err(Refused::Quota { .. }) => Ok(reserve(limit.max(self.sessions_of(tenant, user))).await??),
            reserved => Ok(reserved?),
        }
    }

    /// How many sessions a user has that are not deleted.
    fn sessions_of(&self, tenant: TenantId, user: UserId) -> usize {
        let keys: Vec<_> =
            self.living.names.iter().filter(|entry| entry.key().0 == tenant).map(|entry| *entry.value()).collect();
        keys.into_iter().filter_map(|key| self.living.session(key)).filter(|entry| entry.spec().user == user).count()
    }
}
