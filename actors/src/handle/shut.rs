//! Tenants that are shut: nothing of theirs runs, and nothing of it is forgotten.

use super::Handle;
use crate::actor::living::SessionEntry;
use crate::actor::session::Wish;
use crate::domain::ids::TenantId;
use crate::domain::session::Status;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::task::JoinSet;

impl Handle {
    /// From now on exactly these tenants are shut: what runs of theirs is ended, and stays wanted; what is wanted of one that was shut
    /// starts again. Answers when all that ends has ended; to be called again and again, so that what did not end is asked again.
    pub async fn shut_only(&self, tenants: &HashSet<TenantId>) {
        let before: HashSet<_> = self.living.shut.iter().map(|tenant| *tenant).collect();
        for tenant in tenants {
            self.living.shut.insert(*tenant);
        }
        self.living.shut.retain(|tenant| tenants.contains(tenant));
        let opened: HashSet<_> = before.difference(tenants).copied().collect();
        let mut ends = JoinSet::new();
        let runs = |entry: &Arc<SessionEntry>| entry.view.borrow().status != Status::Stopped;
        let ending = self.wanted(tenants).into_iter().filter(runs);
        for entry in ending.chain(self.wanted(&opened)) {
            let handle = self.clone();
            ends.spawn_on(
                async move {
                    let shut = handle.living.shut.contains(&entry.spec().tenant);
                    let done = if shut { handle.wish(&entry, Wish::Stop).await } else { handle.run(&entry).await };
                    if let Err(refusal) = done {
                        tracing::warn!(session = %entry.spec().id, shut, %refusal, "a tenant was shut or opened");
                    }
                },
                &self.kernel.registry.session.io,
            );
        }
        while ends.join_next().await.is_some() {}
    }

    fn wanted(&self, tenants: &HashSet<TenantId>) -> Vec<Arc<SessionEntry>> {
        let theirs = |entry: &Arc<SessionEntry>| {
            let spec = entry.spec();
            spec.desired_running && tenants.contains(&spec.tenant)
        };
        self.living.sessions.iter().map(|entry| Arc::clone(entry.value())).filter(theirs).collect()
    }
}
