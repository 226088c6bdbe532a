//! How people get in: address and password, then the second factor of those who have one. Whoever is not let in learns nothing but that:
//! an unknown address, a wrong password, somebody who is shut out are answered alike, after the same work. (Only a password that was
//! taken over from elsewhere takes longer, until its first use.)

use super::audit::{Actor, Shown};
use super::limits::Limits;
use super::password::Passwords;
use super::second_factor::SecondFactor;
use super::token::Tokens;
use super::{Door, unauthorized};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::repo::identity::Holder;
use crate::store::repo::people::{Login, normal_email};
use crate::store::repo::stays::About;
use crate::vault::Kek;
use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest};
use dashmap::DashMap;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use wardroom_actors::ports::clock::Clock;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How long a ticket is good, in milliseconds.
pub const TICKET_MS: u64 = 30_000;
/// Tickets that are out.
const TICKETS: usize = 10_000;
/// Of one key, or one stay.
const OWN_TICKETS: usize = 100;
/// Characters that are kept of what a client calls itself.
const AGENT: usize = 200;

/// What a person shows.
#[derive(Deserialize, ToSchema, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Their address.
    #[schema(example = "anna@example.com")]
    pub email: String,
    /// Their password.
    #[schema(example = "four blue chairs in the rain")]
    pub password: String,
    /// A code of their second factor, if they have one.
    #[schema(example = "123456")]
    pub code: Option<String>,
}

/// Who lets people in.
pub struct Access {
    /// Who looks at passwords.
    pub passwords: Passwords,
    /// Who makes tokens.
    pub tokens: Arc<Tokens>,
    /// How often somebody may try.
    pub limits: Limits,
    tickets: DashMap<String, (Holder, u64)>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

/// A secret that nobody can guess, named by how it begins.
#[must_use]
pub fn secret(prefix: &str) -> String {
    format!("{prefix}{}", Kek::generate().as_str())
}

impl Access {
    /// One who lets in by these.
    #[must_use]
    pub fn new(
        passwords: Passwords,
        tokens: Arc<Tokens>,
        limits: Limits,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { passwords, tokens, limits, tickets: DashMap::new(), clock, metrics }
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.clock.unix_ms() / 1000).unwrap_or_default()
    }

    fn refused(&self, reason: &'static str) -> ApiError {
        self.metrics.login_failed(reason);
        ApiError::new("unauthorized", "E-mail address, password or code is wrong")
    }

    /// Who it is that shows these.
    ///
    /// # Errors
    /// 401, 429; 503 when too many sign in at once; the database's.
    pub async fn admit(
        &self,
        door: &Door,
        store: &Store,
        request: &HttpRequest,
        shown: &Credentials,
    ) -> Result<Login, ApiError> {
        let begun = self.clock.now();
        let admitted = self.look(door, store, request, shown).await;
        self.metrics.signed_in_after(self.clock.now().saturating_sub(begun));
        admitted
    }

    async fn look(
        &self,
        door: &Door,
        store: &Store,
        request: &HttpRequest,
        shown: &Credentials,
    ) -> Result<Login, ApiError> {
        let often = |seconds| {
            self.metrics.login_failed("too_often");
            ApiError::new("too_many_requests", "Too many tries to sign in").retry(seconds)
        };
        // An address that is none has no account; it waits like one.
        let email = normal_email(&shown.email).unwrap_or_default();
        let (origin, known) = (door.origin(request), format!("sign-in {email}"));
        if let Some(origin) = origin {
            door.watch.admits(origin, &known).map_err(super::shut_out)?;
        }
        door.seldom(request).map_err(often)?;
        if origin.is_none_or(|origin| !door.watch.knows(origin, &known))
            && let Some(seconds) = door.watch.stuffed_s()
        {
            return Err(often(seconds.into()));
        }
        // Who was let in from there before is not kept out by others who try elsewhere.
        if origin.is_none_or(|origin| !door.watch.knows(origin, &known)) {
            self.limits.as_account(&email).map_err(often)?;
        }
        let failed = |reason| {
            if let Some(origin) = origin {
                door.watch.sign_in_failed(origin);
            }
            self.refused(reason)
        };
        let login = store.who_signs_in(&email).await?;
        if let Some(login) = &login {
            request.extensions_mut().insert(Actor::from(login));
        }
        let (hash, welcome) = match &login {
            Some(login) => (login.password.as_ref(), login.is_welcome),
            None => (None, false),
        };
        let right = self.passwords.is(Zeroizing::new(shown.password.clone()), hash).await?;
        let Some(login) = login else { return Err(failed("unknown")) };
        if !right {
            return Err(failed("password"));
        }
        if !welcome {
            return Err(failed("shut_out"));
        }
        request.extensions_mut().insert(Shown(&["password"]));
        self.second(store, &login, shown.code.as_deref(), failed).await?;
        if login.second_factor.is_some() {
            request.extensions_mut().insert(Shown(&["password", "code"]));
        }
        if let Some(origin) = origin {
            door.watch.succeeded(origin, &known);
        }
        if login.password.as_ref().is_some_and(|hash| self.passwords.is_old(hash)) {
            let hash = self.passwords.hash(Zeroizing::new(shown.password.clone())).await?;
            return Ok(store.hash_anew(login, &hash).await?);
        }
        Ok(login)
    }

    /// Looks at the second factor of whoever has one.
    async fn second(
        &self,
        store: &Store,
        login: &Login,
        code: Option<&str>,
        failed: impl Fn(&'static str) -> ApiError,
    ) -> Result<(), ApiError> {
        let Some(sealed) = &login.second_factor else { return Ok(()) };
        let Some(code) = code.filter(|code| !code.trim().is_empty()) else {
            return Err(ApiError::new("second_factor_needed", "A code of the second factor is needed"));
        };
        let kept = store.open_second_factor(login, sealed)?;
        let mut factor = SecondFactor::read(&kept).ok_or_else(|| ApiError::new("internal", ""))?;
        // Two who show one code at once: the database lets one through.
        if factor.uses(code, self.now_s()) && store.set_second_factor(login, Some(&factor.write())).await? {
            Ok(())
        } else {
            Err(failed("code"))
        }
    }

    /// Whether somebody who is in shows their password (and code) again, for what must not be done by whoever sits there.
    ///
    /// # Errors
    /// 401, 429; 503 when too many sign in at once; the database's.
    pub async fn again(
        &self,
        store: &Store,
        holder: Holder,
        password: &str,
        code: Option<&str>,
    ) -> Result<Login, ApiError> {
        let login = store.login_by_id(holder.tenant, holder.user).await?.ok_or_else(unauthorized)?;
        let account = format!("{}", holder.user);
        self.limits
            .as_account(&account)
            .map_err(|seconds| ApiError::new("too_many_requests", "Too many wrong passwords").retry(seconds))?;
        if !self.passwords.is(Zeroizing::new(password.to_owned()), login.password.as_ref()).await? {
            return Err(self.refused("password"));
        }
        self.second(store, &login, code, |reason| self.refused(reason)).await?;
        Ok(login)
    }

    /// A password that somebody chose, as it is kept.
    ///
    /// # Errors
    /// 400 for one that is too easy to guess or has leaked; 503 when too many sign in at once.
    pub async fn chosen(&self, login: &Login, password: &str) -> Result<String, ApiError> {
        self.passwords.choose(password, &login.words)?;
        self.passwords.hash(Zeroizing::new(password.to_owned())).await
    }

    /// Begins with a second factor: codes on paper, where the code is right.
    ///
    /// # Errors
    /// 400 for a wrong code, 422 when there is one already.
    pub async fn begin_second_factor(
        &self,
        store: &Store,
        login: &Login,
        secret: &str,
        code: &str,
    ) -> Result<Vec<String>, ApiError> {
        let taken = || ApiError::new("second_factor_set", "There is a second factor already: remove it first");
        if login.second_factor.is_some() {
            return Err(taken());
        }
        let begun = SecondFactor::begin(secret, code, self.now_s());
        let (factor, codes) = begun.ok_or_else(|| ApiError::invalid("code is not what this secret gives now"))?;
        if store.set_second_factor(login, Some(&factor.write())).await? { Ok(codes) } else { Err(taken()) }
    }

    /// A ticket with which whoever has it may open one socket, soon.
    ///
    /// # Errors
    /// 503 when there are too many.
    pub fn ticket(&self, holder: Holder) -> Result<String, ApiError> {
        let now = self.clock.now();
        let own = self.tickets.iter().filter(|ticket| ticket.0.key == holder.key && ticket.1 > now).count();
        if own >= OWN_TICKETS {
            return Err(ApiError::new("too_many_requests", "Too many tickets are out").retry(TICKET_MS / 1000));
        }
        if self.tickets.len() >= TICKETS {
            self.tickets.retain(|_, (_, until)| *until > now);
        }
        if self.tickets.len() >= TICKETS {
            return Err(ApiError::new("unavailable", "Too many tickets are out").retry(5));
        }
        let ticket = secret("wrt_");
        self.tickets.insert(ticket.clone(), (holder, now.saturating_add(TICKET_MS)));
        Ok(ticket)
    }

    /// Takes a ticket: it is good once.
    pub(super) fn take(&self, ticket: &str) -> Option<Holder> {
        let (_, (holder, until)) = self.tickets.remove(ticket)?;
        (until > self.clock.now()).then_some(holder)
    }

    /// Forgets what is over; to be called every minute or so.
    pub fn tidy(&self) {
        let now = self.clock.now();
        self.tickets.retain(|_, (_, until)| *until > now);
        self.limits.tidy();
    }
}

/// Where a stay begins.
#[must_use]
pub fn about(door: &Door, request: &HttpRequest) -> About {
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    About { address: door.address(request), agent: agent.chars().filter(|c| !c.is_control()).take(AGENT).collect() }
}
