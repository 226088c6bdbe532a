//! The one book of what tenants and users may have: the defaults of the config, and in their place what somebody was given. What there
//! is of sessions, files and webhooks is counted in the database, in the transaction that adds to it; messages are counted here, by
//! each node for itself.

use crate::config;
use crate::store::Store;
use crate::store::repo::quotas::{Book, Given};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::domain::quota::{Exceeded, Limits, Quota, Resource, Spent, Whose};
use wardroom_actors::handle::Refusal;
use wardroom_actors::ports::PortError;
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::ports::quotas::Quotas;

/// Who is remembered for having sent, before those who have paid are forgotten.
const REMEMBERED: usize = 10_000;

/// The book.
pub struct QuotaBook {
    defaults: Quota,
    given: RwLock<Read>,
    spent: Mutex<Accounts>,
    clock: Arc<dyn Clock>,
}

/// What users, and tenants themselves, have sent.
type Accounts = HashMap<(TenantId, Option<UserId>), Spent>;

#[derive(Default)]
struct Read {
    book: Book,
    mark: (i64, i64),
}

impl From<&config::Limited> for Limits {
    fn from(limited: &config::Limited) -> Self {
        Self {
            sessions: limited.sessions,
            messages_per_minute: limited.messages_per_minute,
            storage_bytes: limited.storage_bytes,
            webhooks: limited.webhooks,
        }
    }
}

impl QuotaBook {
    /// One with these defaults, in which nobody was given anything yet.
    #[must_use]
    pub fn new(defaults: &config::Quotas, clock: Arc<dyn Clock>) -> Self {
        let defaults = Quota { user: (&defaults.user).into(), tenant: (&defaults.tenant).into() };
        Self { defaults, given: RwLock::default(), spent: Mutex::default(), clock }
    }

    /// Reads what was given since the last time.
    ///
    /// # Errors
    /// The database's.
    pub async fn read(&self, store: &Store) -> Result<(), PortError> {
        let mark = self.given.read().unwrap_or_else(PoisonError::into_inner).mark;
        if let Some((book, mark)) = store.quotas_since(mark).await? {
            *self.given.write().unwrap_or_else(PoisonError::into_inner) = Read { book, mark };
        }
        Ok(())
    }

    /// What a user was given, or a tenant itself.
    #[must_use]
    pub fn given(&self, tenant: TenantId, user: Option<UserId>) -> Given {
        let given = self.given.read().unwrap_or_else(PoisonError::into_inner);
        given.book.get(&(tenant, user)).copied().unwrap_or_default()
    }

    fn limits(&self, tenant: TenantId, user: Option<UserId>) -> Limits {
        let defaults = if user.is_some() { &self.defaults.user } else { &self.defaults.tenant };
        self.given(tenant, user).over(defaults)
    }

    /// Whether a user might send a message just now: asked before its file is moved. What counts is asked when it has come.
    ///
    /// # Errors
    /// The quota that is used up.
    pub fn may_send(&self, tenant: TenantId, user: UserId) -> Result<(), Refusal> {
        let too_many = |(exceeded, wait_ms): (_, u64)| Refusal::TooMany { exceeded, retry_s: wait_ms.div_ceil(1000) };
        self.may_spend(&self.spent(), &self.of(tenant, user), (tenant, user)).map_err(too_many)
    }

    /// Whether there is room for a file that is not here yet, likewise.
    ///
    /// # Errors
    /// The quota that is used up, or the database's.
    pub async fn may_store(&self, store: &Store, tenant: TenantId, user: UserId) -> Result<(), Refusal> {
        let (quota, resource) = (self.of(tenant, user), Resource::Storage);
        for (whose, user) in [(Whose::User, Some(user)), (Whose::Tenant, None)] {
            let (limits, limit) = (quota.of(whose), quota.of(whose).of(resource));
            if limit > 0 && !limits.admits(resource, store.has(tenant, user, resource).await?, 1) {
                return Err(Exceeded { resource, whose, limit }.into());
            }
        }
        Ok(())
    }

    fn spent(&self) -> MutexGuard<'_, Accounts> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one message more may be sent.
    fn may_spend(
        &self,
        spent: &Accounts,
        quota: &Quota,
        (tenant, user): (TenantId, UserId),
    ) -> Result<(), (Exceeded, u64)> {
        for (whose, user) in [(Whose::User, Some(user)), (Whose::Tenant, None)] {
            let limit = quota.of(whose).messages_per_minute;
            let wait = spent.get(&(tenant, user)).copied().unwrap_or_default().wait(limit, self.clock.now());
            if wait > 0 {
                return Err((Exceeded { resource: Resource::Messages, whose, limit }, wait));
            }
        }
        Ok(())
    }

    /// What a user, or a tenant itself, has of what they may have.
    ///
    /// # Errors
    /// The database's.
    pub async fn seen(&self, store: &Store, tenant: TenantId, user: Option<UserId>) -> Result<Value, PortError> {
        let (limits, given) = (self.limits(tenant, user), self.given(tenant, user));
        let messages = {
            let spent = self.spent().get(&(tenant, user)).copied().unwrap_or_default();
            spent.open(limits.messages_per_minute, self.clock.now())
        };
        let mut seen = serde_json::Map::new();
        for (name, resource, given) in [
            ("sessions", Resource::Sessions, given.sessions),
            ("messagesPerMinute", Resource::Messages, given.messages_per_minute),
            ("storageBytes", Resource::Storage, given.storage_bytes),
            ("webhooks", Resource::Webhooks, given.webhooks),
        ] {
            let used =
                if resource == Resource::Messages { messages } else { store.has(tenant, user, resource).await? };
            let limit = Some(limits.of(resource)).filter(|limit| *limit > 0);
            seen.insert(name.to_owned(), json!({"limit": limit, "used": used, "isDefault": given.is_none()}));
        }
        Ok(Value::Object(seen))
    }
}

impl Quotas for QuotaBook {
    fn of(&self, tenant: TenantId, user: UserId) -> Quota {
        Quota { user: self.limits(tenant, Some(user)), tenant: self.limits(tenant, None) }
    }

    fn spend(&self, tenant: TenantId, user: UserId) -> Result<(), (Exceeded, u64)> {
        let (quota, now) = (self.of(tenant, user), self.clock.now());
        let mut spent = self.spent();
        self.may_spend(&spent, &quota, (tenant, user))?;
        if spent.len() >= REMEMBERED {
            spent.retain(|_, spent| !spent.is_over(now));
        }
        for (limits, user) in [(quota.user, Some(user)), (quota.tenant, None)] {
            let limit = limits.messages_per_minute;
            if limit > 0 {
                let spent = spent.entry((tenant, user)).or_default();
                *spent = spent.and_one(limit, now);
            }
        }
        Ok(())
    }

    fn give_back(&self, tenant: TenantId, user: UserId) {
        let quota = self.of(tenant, user);
        let mut spent = self.spent();
        for (limits, user) in [(quota.user, Some(user)), (quota.tenant, None)] {
            if let Some(spent) = spent.get_mut(&(tenant, user)) {
                *spent = spent.less_one(limits.messages_per_minute);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardroom_actors::testing::SharedClock;

    #[test]
    fn a_user_s_messages_are_bounded_and_a_tenant_s_together() {
        let time = SharedClock::default();
        let none = config::Limited { sessions: 0, messages_per_minute: 0, storage_bytes: 0, webhooks: 0 };
        let of = |messages_per_minute| config::Limited { messages_per_minute, ..none.clone() };
        let book = QuotaBook::new(&config::Quotas { user: of(3), tenant: of(5) }, Arc::new(time.clone()));
        let (tenant, one, other) = (TenantId::generate(), UserId::generate(), UserId::generate());
        let sent = |user| (0..10).take_while(|_| book.spend(tenant, user).is_ok()).count();
        assert_eq!(sent(one), 3);
        let (exceeded, wait) = book.spend(tenant, one).unwrap_err();
        assert_eq!((exceeded.whose, exceeded.limit, wait), (Whose::User, 3, 20_000));
        assert_eq!(sent(other), 2, "what the tenant has left");
        assert_eq!(book.spend(tenant, other).unwrap_err().0.whose, Whose::Tenant);
        assert!(book.spend(TenantId::generate(), one).is_ok(), "another tenant");
        time.0.advance(20_000);
        assert!(book.spend(tenant, one).is_ok() && book.spend(tenant, one).is_err());
        book.give_back(tenant, one);
        assert!(
            book.spend(tenant, one).is_ok() && book.spend(tenant, one).is_err(),
            "what was not accepted counts for nothing"
        );
    }
}
