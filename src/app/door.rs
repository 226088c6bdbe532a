//! What stands at the door, and what goes round behind it.

use super::Parts;
use crate::api::docs::is_route;
use crate::api::shape::sound_hook;
use crate::auth::Door;
use crate::auth::access::Access;
use crate::auth::address::Proxies;
use crate::auth::alarm::Alarm;
use crate::auth::audit::Auditor;
use crate::auth::leaked::Leaked;
use crate::auth::limits::Limits;
use crate::auth::password::Passwords;
use crate::auth::token::Tokens;
use crate::auth::watch::Watch;
use crate::renewal::{self, Renewal};
use crate::webhook::post::Poster;
use actix_web::web;
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use std::time::Duration;
use wardroom_actors::domain::webhook::{Hmac, Hook, Retries};
use wardroom_actors::handle::Handle;

impl Parts<'_> {
    /// The door; it forgets by and by, and its keys that sign tokens are renewed.
    pub(super) async fn door(&self, auditor: &Arc<Auditor>) -> anyhow::Result<web::Data<Door>> {
        let guard = &self.config.guard;
        let watch = Arc::new(Watch::new(guard.into(), Arc::clone(&self.clock), Arc::clone(&self.metrics)));
        watch.connect(Arc::new(self.alarm(Arc::clone(auditor))?));
        let proxies = Proxies::new(&guard.trusted_proxies);
        let proxies =
            proxies.map_err(|bad| anyhow::anyhow!("guard.trusted_proxies: {bad} is no address or network"))?;
        let tokens = Arc::new(Tokens::new(guard.token_s, Arc::clone(&self.clock)));
        tokens.renew(self.store).await?;
        let list = guard.leaked_passwords.clone();
        let leaked = self.io.spawn_blocking(move || Leaked::read(&list)).await??;
        let access = Access::new(
            Passwords::new(leaked)?,
            Arc::clone(&tokens),
            Limits::new(guard, is_route, &self.clock)
                .map_err(|bad| anyhow::anyhow!("guard.calls_per_route: {bad:?} is none"))?,
            Arc::clone(&self.clock),
            Arc::clone(&self.metrics),
        );
        let http = &self.config.http;
        let tls = !http.tls_chain.as_os_str().is_empty() || http.public_url.starts_with("https://");
        let door = web::Data::new(Door {
            watch,
            access,
            proxies,
            origins: http.cors_origins.clone(),
            second_factor_of: guard.second_factor_of,
            tls,
        });
        let (tidies, store, metrics) = (door.clone(), self.store.clone(), Arc::clone(&self.metrics));
        self.io.spawn(async move {
            let mut minute = tokio::time::interval(Duration::from_secs(60));
            for minutes in 0_u64.. {
                minute.tick().await;
                tidies.watch.tidy();
                tidies.access.tidy();
                match store.leaking_tables().await {
                    Ok(tables) if tables.is_empty() => {}
                    Ok(tables) => tidies.watch.count("isolation_violation", "high", || tables.join(", ")),
                    Err(error) => tracing::warn!(%error, "whether tenants are apart was not looked at"),
                }
                match store.count_stays().await {
                    Ok(count) => metrics.stays(count),
                    Err(error) => tracing::debug!(%error, "stays were not counted"),
                }
                if minutes % 60 == 59
                    && let Err(error) = tokens.renew(&store).await
                {
                    tracing::warn!(%error, "the keys that sign tokens were not looked at");
                }
            }
        });
        Ok(door)
    }

    /// Who tells operators of attacks.
    fn alarm(&self, auditor: Arc<Auditor>) -> anyhow::Result<Alarm> {
        let guard = &self.config.guard;
        let key = guard.alert_key.expose_secret();
        let hook = (!guard.alert_url.is_empty()).then(|| Hook {
            url: guard.alert_url.clone(),
            events: None,
            hmac: (!key.is_empty()).then(|| Hmac { key: Some(key.to_owned()) }),
            retries: Retries::default(),
            custom_headers: vec![],
            global: true,
        });
        if let Some(hook) = &hook {
            sound_hook(hook).map_err(|what| anyhow::anyhow!("guard.alert_url: {what}"))?;
        }
        let poster = Poster::new(Arc::clone(&self.egress), Duration::from_secs(self.config.webhooks.timeout_s.max(1)))?;
        let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
        Ok(Alarm::new(hook, poster, guard.alert_window_s, clock, metrics, auditor, self.io.clone()))
    }

    /// Cuts off clients that do not read, and those who may not hear any more what they hear.
    pub(super) fn watch_sockets(&self) {
        let sockets = Arc::clone(&self.sockets);
        self.io.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            loop {
                second.tick().await;
                sockets.watch();
            }
        });
        let (sockets, store) = (Arc::clone(&self.sockets), self.store.clone());
        self.io.spawn(async move {
            let mut half = tokio::time::interval(Duration::from_millis(500));
            half.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                half.tick().await;
                if let Err(error) = sockets.look_again(&store).await {
                    tracing::debug!(%error, "who listens was not looked at");
                }
            }
        });
    }

    /// Removes what is left of users who were deleted.
    fn see_off(&self, handle: &Handle) {
        let (handle, store) = (handle.clone(), self.store.clone());
        self.io.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut before = 0;
            loop {
                second.tick().await;
                match store.see_off().await {
                    // What does not end at once is asked again each minute, with all that is buried.
                    Ok(left) => {
                        if left > before {
                            handle.tidy();
                        }
                        before = left;
                    }
                    Err(error) => tracing::debug!(%error, "deleted users were not looked at"),
                }
            }
        });
    }

    /// Ends what runs of tenants that are shut, and starts it again when they are let in; at first before anything runs.
    pub(super) async fn follow_tenants(&self, handle: &Handle) -> anyhow::Result<()> {
        handle.shut_only(&self.store.shut_tenants().await?).await;
        self.see_off(handle);
        let (handle, store) = (handle.clone(), self.store.clone());
        self.io.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                second.tick().await;
                match store.shut_tenants().await {
                    Ok(shut) => handle.shut_only(&shut).await,
                    Err(error) => tracing::debug!(%error, "tenants were not looked at"),
                }
            }
        });
        Ok(())
    }

    /// Reads what operators give to tenants and users while the server runs.
    pub(super) fn follow_gifts(&self) {
        let (quotas, egress, store) = (Arc::clone(&self.quotas), Arc::clone(&self.egress), self.store.clone());
        self.io.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                second.tick().await;
                let hosts = store.hosts().await.map(|hosts| egress.set_tenants(hosts));
                if let Err(error) = quotas.read(&store).await.and(hosts) {
                    tracing::debug!(%error, "quotas and hosts were not looked at");
                }
            }
        });
    }

    /// Wraps data keys anew when another master key takes the place of the one that wraps, and renews them when that is wanted.
    pub(super) fn follow_keys(&self) {
        let store = self.store.clone();
        self.io.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                second.tick().await;
                if let Err(error) = store.follow_handover().await {
                    tracing::warn!(%error, "the master key that is to come was not looked at");
                }
            }
        });
        let (store, snapshots, files) = (self.store.clone(), self.snapshots.clone(), self.files.clone());
        let renewal = Renewal { store, snapshots, files, settled: renewal::SETTLED };
        self.io.spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                second.tick().await;
                if let Err(error) = renewal.follow().await {
                    tracing::warn!(%error, "data keys were not renewed; it is tried again");
                }
            }
        });
    }
}
