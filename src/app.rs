//! The composition root: the only file that knows every adapter.

mod door;

use crate::api::shape::sound_hook;
use crate::api::{self, Api};
use crate::auth::audit::{Auditor, told};
use crate::auth::{Door, guard};
use crate::config::{self, Config, Docs, Environment};
use crate::connections::{self, Connections};
use crate::dashboard::files;
use crate::egress::Egress;
use crate::engine::web::{self, ChromiumLauncher, Snapshots, WebEngine};
use crate::error::ApiError;
use crate::fetch::Fetcher;
use crate::ffmpeg::Converter;
use crate::health::Health;
use crate::live::socket::{self, Sockets};
use crate::media::Files;
use crate::metrics::Metrics;
use crate::ops::{self, Ops};
use crate::pulse::Pulse;
use crate::quotas::QuotaBook;
use crate::requests::Patience;
use crate::store::repo::identity::OWNER;
use crate::store::repo::journal::JournalWriter;
use crate::store::repo::retention::Retention;
use crate::store::{Role, Store};
use crate::tls::Certificates;
use crate::vault::Kek;
use crate::webhook::post::Poster;
use crate::webhook::{Bounds, Dispatcher};
use crate::{ground, links, requests, simulator};
use actix_rt::Arbiter;
use actix_web::dev::Server;
use actix_web::middleware::{Condition, DefaultHeaders, from_fn};
use actix_web::{App, HttpServer, web as http};
use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use wardroom_actors::actor::arbiters::{Arbiters, STALLED_MS};
use wardroom_actors::actor::browser_pool::{self, PoolDoor, PoolTable};
use wardroom_actors::actor::living::Living;
use wardroom_actors::actor::{registry, session};
use wardroom_actors::agent::relay::Relays;
use wardroom_actors::domain::event::Event;
use wardroom_actors::domain::login::QrRotation;
use wardroom_actors::domain::webhook::{Header, Hmac, Hook, Hooks, Retries};
use wardroom_actors::handle::{ChatBell, Handle, Kernel, start_pool};
use wardroom_actors::policy::allowance::Rate;
use wardroom_actors::policy::backoff::BackoffPolicy;
use wardroom_actors::policy::breaker::BreakerPolicy;
use wardroom_actors::policy::restart::RestartPolicy;
use wardroom_actors::ports::clock::Clock;
use wardroom_actors::ports::engine::Engine;
use wardroom_actors::ports::journal::EventSink;
use wardroom_actors::supervise::{Delays, Supervision};

/// Longest body on the operators' listener, in bytes.
const OPS_BODY: usize = 16 << 10;
/// Connections of operators and of what watches the server.
const OPS_CONNECTIONS: usize = 256;
/// Time for sessions to end at a shutdown; the rest of the 20 s is for the servers.
const SESSIONS_END: Duration = Duration::from_secs(17);

/// A server that runs.
pub struct Running {
    handle: Handle,
    store: Store,
    ready: Arc<AtomicBool>,
    servers: Vec<actix_web::dev::ServerHandle>,
    auditor: Arc<Auditor>,
    _lock: File,
}

/// Where events go: metrics, plots, sockets and webhooks.
struct Fan {
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    sockets: Arc<Sockets>,
    webhooks: Dispatcher,
}

impl EventSink for Fan {
    fn publish(&self, event: Event) {
        tracing::debug!(session = %event.key.session, seq = event.seq, kind = ?std::mem::discriminant(&event.kind), "event");
        self.metrics.publish(event.clone());
        self.pulse.hear(&event);
        if event.seq.is_none() {
            self.webhooks.publish(event.clone());
        }
        self.sockets.publish(event);
    }
}

/// Starts everything. To be called inside an actix system; `io` is the runtime of everything that waits. `engine` stands in for
/// the one with browsers.
///
/// # Errors
/// A sentence that says what to do.
pub async fn start(
    config: Config,
    io: tokio::runtime::Handle,
    clock: Arc<dyn Clock>,
    engine: Option<Arc<dyn Engine>>,
) -> anyhow::Result<Running> {
    ground::keep_to_ourselves();
    ops::sound(&config)?;
    let dir = ground::data_dir(&config)?;
    let lock = ground::lock(&dir)?;
    ground::clear_import(&dir.join(ground::IMPORT))?;
    let opening = {
        let (config, dir, clock) = (config.clone(), dir.clone(), Arc::clone(&clock));
        io.spawn(async move { ground::store(&config, &dir, clock, Role::Server).await })
    };
    let (store, vault) = opening.await??;
    bootstrap(&config, &store).await?;
    let mut servers = vec![];
    let simulator = simulator(&config, &dir, &mut servers)?;
    let launcher = Arc::new(ChromiumLauncher::new(ground::launching(&config, &dir)?).map_err(anyhow::Error::msg)?);
    let metrics = Arc::new(Metrics::new()?);
    let pulse = Arc::new(Pulse::new(Arc::clone(&clock)));
    let sockets = Arc::new(Sockets::new(Arc::clone(&clock), Arc::clone(&metrics), config.limits.sockets_per_tenant));
    let egress = Arc::new(Egress::new(&config.egress.allow, &config.egress.ports, config.egress.allow_private));
    let poster = Poster::new(Arc::clone(&egress), Duration::from_secs(config.webhooks.timeout_s.max(1)))?;
    let bounds = Bounds { away_ms: config.webhooks.away_s.saturating_mul(1000), bytes: config.webhooks.max_bytes };
    let webhooks = Dispatcher::new(store.clone(), poster, bounds, Arc::clone(&clock), Arc::clone(&metrics), io.clone());
    links::set_base(&config.http);
    let objects = ground::objects(&config, &dir)?;
    let (limit, keys) = (config.media.max_bytes, Arc::clone(&vault));
    let quotas = Arc::new(QuotaBook::new(&config.quotas, Arc::clone(&clock)));
    quotas.read(&store).await?;
    egress.set_tenants(store.hosts().await?);
    let (allowed, time) = (Arc::clone(&quotas) as _, Arc::clone(&clock));
    let files = Files::new(store.clone(), keys, objects, time, limit, allowed, io.clone());
    let parts = Parts {
        config: &config,
        store: &store,
        snapshots: Snapshots::new(dir.join("snapshots"), vault),
        clock,
        launcher,
        metrics,
        pulse,
        sockets,
        webhooks,
        files,
        quotas,
        egress,
        io,
        simulator,
        engine,
    };
    let health = Arc::new(parts.kernel(&dir).await?);
    let handle = health.handle.clone();
    parts.sockets.connect(handle.clone());
    parts.watch_sockets();
    parts.follow_keys();
    parts.follow_gifts();
    parts.forget_old();
    parts.watch_arbiters(&handle);
    let ready = Arc::new(AtomicBool::new(false));
    let auditor = Auditor::start(parts.store.clone(), Arc::clone(&parts.clock), Arc::clone(&parts.metrics), &parts.io);
    let door = parts.door(&auditor).await?;
    let ops = Ops {
        auditor: Arc::clone(&auditor),
        health: Arc::clone(&health),
        metrics: Arc::clone(&parts.metrics),
        ready: Arc::clone(&ready),
        door: door.clone(),
        store: parts.store.clone(),
        quotas: Arc::clone(&parts.quotas),
        egress: Arc::clone(&parts.egress),
        token: config.ops.token.clone(),
    };
    for server in [parts.http(&health, door, Arc::clone(&auditor))?, parts.ops(ops)?] {
        servers.push(server.handle());
        actix_rt::spawn(server);
    }
    parts.follow_tenants(&handle).await?;
    handle.boot().await?;
    parts.webhooks.connect(handle.clone());
    ready.store(true, Ordering::Release);
    tracing::info!(http = config.http.listen, ops = config.ops.listen, "ready");
    Ok(Running { handle, store, ready, servers, auditor, _lock: lock })
}

impl Running {
    /// Ends everything, sessions first; names who did not end in time.
    pub async fn stop(self) {
        self.ready.store(false, Ordering::Release);
        let stragglers = self.handle.shut_down(SESSIONS_END).await;
        for session in stragglers {
            tracing::error!(%session, "did not end in time");
        }
        for server in self.servers {
            let _ = tokio::time::timeout(Duration::from_secs(1), server.stop(false)).await;
        }
        self.auditor.close().await;
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// The first tenant and its key.
async fn bootstrap(config: &Config, store: &Store) -> anyhow::Result<()> {
    let key = config.bootstrap.api_key.expose_secret();
    let made = key.is_empty() && config.environment == Environment::Development && !store.has_keys().await?;
    if key.is_empty() && !made {
        return Ok(());
    }
    let name = &config.bootstrap.tenant;
    let tenant = match store.tenant_named(name).await? {
        Some(tenant) => tenant,
        None => {
            let made = store.create_tenant(name).await?.context("the tenant's name was taken meanwhile")?;
            told(store, Some(made), "tenant created", None, None).await?;
            made
        }
    };
    let owner = store.user_named(tenant, OWNER).await?;
    let key = if made { format!("key_{}", Kek::generate().get(..40).unwrap_or_default()) } else { key.to_owned() };
    if store.add_first_key(tenant, owner, &key).await.context("bootstrap.api_key belongs to another tenant")? {
        told(store, Some(tenant), "key created", Some(owner.0), None).await?;
    }
    if made {
        let path = ground::data_dir(config)?.join("api-key.txt");
        std::fs::write(&path, format!("{key}\n"))?;
        tracing::warn!(path = %path.display(), "made an admin key for development; it is in this file");
    }
    Ok(())
}

/// The webhook of the server's own config, if it names one.
fn global_hooks(config: &config::Webhooks) -> anyhow::Result<Hooks> {
    let mut hooks = Hooks::default();
    let url = config.url.expose_secret();
    if url.is_empty() {
        return Ok(hooks);
    }
    let header = |(place, text): (usize, &SecretString)| {
        let parts = text.expose_secret().split_once(':');
        let (name, value) = parts.with_context(|| format!("webhooks.custom_headers[{place}] has no colon"))?;
        Ok(Header { name: name.trim().to_owned(), value: value.trim().to_owned() })
    };
    let key = config.hmac_key.expose_secret();
    let hook = Hook {
        url: url.to_owned(),
        global: true,
        events: Some(config.events.clone()),
        hmac: (!key.is_empty()).then(|| Hmac { key: Some(key.to_owned()) }),
        retries: Retries {
            policy: config.retries_policy,
            delay_seconds: config.retries_delay_s,
            attempts: config.retries_attempts,
        },
        custom_headers: config.custom_headers.iter().enumerate().map(header).collect::<anyhow::Result<_>>()?,
    };
    sound_hook(&hook).map_err(|what| anyhow::anyhow!("[webhooks]: {what}"))?;
    hooks.add(hook);
    Ok(hooks)
}

/// The simulated network: inside this server, elsewhere, or none.
fn simulator(
    config: &Config,
    dir: &std::path::Path,
    servers: &mut Vec<actix_web::dev::ServerHandle>,
) -> anyhow::Result<Option<String>> {
    if !config.simulator.url.is_empty() {
        return Ok(Some(config.simulator.url.clone()));
    }
    if !config.simulator.enabled {
        return Ok(None);
    }
    let options = simulator::Options {
        listen: config.simulator.listen.clone(),
        data_dir: dir.join("simulator"),
        qr_first: Duration::from_millis(config.login.qr_first_ms),
        qr_next: Duration::from_millis(config.login.qr_next_ms),
        qr_codes: config.login.qr_codes,
        script: simulator::script::Script::default(),
    };
    let listen = &config.simulator.listen;
    let running = simulator::start(options).with_context(|| format!("the simulator cannot listen on {listen}"))?;
    servers.push(running.handle);
    tracing::info!(phones = format!("http://{}/phones", running.address), "simulated WhatsApp");
    Ok(Some(format!("http://{}/", running.address)))
}

struct Parts<'a> {
    config: &'a Config,
    store: &'a Store,
    snapshots: Snapshots,
    clock: Arc<dyn Clock>,
    launcher: Arc<ChromiumLauncher>,
    metrics: Arc<Metrics>,
    pulse: Arc<Pulse>,
    sockets: Arc<Sockets>,
    webhooks: Dispatcher,
    files: Files,
    quotas: Arc<QuotaBook>,
    egress: Arc<Egress>,
    io: tokio::runtime::Handle,
    simulator: Option<String>,
    engine: Option<Arc<dyn Engine>>,
}

impl Parts<'_> {
    async fn kernel(&self, dir: &std::path::Path) -> anyhow::Result<Health> {
        let config = self.config;
        self.launcher.reap_orphans(&self.store.workers().await?).await;
        let living = Arc::new(Living { hooks: Arc::new(global_hooks(&config.webhooks)?), ..Living::default() });
        let supervision = self.supervision();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| Arbiter::new().handle()).collect();
        let first = threads.first().cloned().unwrap_or_else(Arbiter::current);
        let pool_table = Arc::new(PoolTable::new(config.pool.workers_per_node));
        let pool = start_pool(&first, Arc::clone(&supervision), self.pool(&pool_table));
        let bell = Arc::new(ChatBell::default());
        let sink: Arc<dyn EventSink> = Arc::new(Fan {
            metrics: Arc::clone(&self.metrics),
            pulse: Arc::clone(&self.pulse),
            sockets: Arc::clone(&self.sockets),
            webhooks: self.webhooks.clone(),
        });
        let bell_port: Arc<dyn wardroom_actors::ports::journal::NudgeSink> = Arc::clone(&bell) as _;
        let journal = Arc::new(JournalWriter::start(self.store.clone(), Arc::clone(&sink), bell_port));
        let lag = journal.lag();
        let kernel = Kernel {
            registry: registry::Deps {
                living: Arc::clone(&living),
                session: session::Deps {
                    clock: Arc::clone(&self.clock),
                    engine: self.engine.clone().unwrap_or_else(|| Arc::new(self.browsers())),
                    journal,
                    sink,
                    sessions: Arc::new(self.store.clone()),
                    outbox: Arc::new(self.store.clone()),
                    pool: Arc::new(PoolDoor(pool.clone())),
                    pool_actor: pool,
                    pool_table,
                    io: self.io.clone(),
                    stop_timeout: Duration::from_secs(20),
                },
                agent_store: Arc::new(self.store.clone()),
                agents: Arc::new(Relays(living)),
                arbiters: Arc::new(Arbiters::new(threads)),
                supervision,
                policy: registry::Policy {
                    restart: restart_policy(config),
                    session_inbox: config.limits.session_inbox,
                    chat_idle_ms: config.limits.chat_idle_ms,
                    poison_limit: config.limits.poison_limit,
                },
            },
            quotas: Arc::clone(&self.quotas) as _,
            outbox_limit: config.limits.outbox,
            outbox_retry_s: [config.pacing.session_per_minute, config.pacing.chat_per_minute]
                .map(|rate| 60_u64.checked_div(u64::from(rate)).unwrap_or(0).max(1))
                .into_iter()
                .max()
                .unwrap_or(1),
            registry_inbox: config.limits.registry_inbox,
        };
        let handle = kernel.start(&first);
        bell.connect(&handle);
        let (store, clock) = (self.store.clone(), Arc::clone(&self.clock));
        Ok(Health { handle, store, lag, clock, data_dir: dir.to_owned() })
    }

    fn pool(&self, table: &Arc<PoolTable>) -> browser_pool::Deps {
        let pool = &self.config.pool;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let at_once = if pool.launching_at_once == 0 { 2 * cores } else { pool.launching_at_once };
        browser_pool::Deps {
            clock: Arc::clone(&self.clock),
            launcher: Arc::clone(&self.launcher) as _,
            table: Arc::clone(table),
            io: self.io.clone(),
            policy: browser_pool::Policy {
                warm_spares: pool.warm_spares,
                launching_at_once: at_once,
                starts_per_second: pool.starts_per_second,
            },
        }
    }

    fn browsers(&self) -> WebEngine {
        let (browser, login, pacing) = (&self.config.browser, &self.config.login, &self.config.pacing);
        let options = web::Options {
            wa_js: browser.wa_js.clone().into(),
            simulator: self.simulator.clone(),
            rotation: QrRotation { first_ms: login.qr_first_ms, next_ms: login.qr_next_ms, codes: login.qr_codes },
            ready_timeout: Duration::from_secs(browser.ready_timeout_s),
            snapshot_every: Duration::from_secs(browser.snapshot_every_s),
            probe_every: Duration::from_secs(browser.probe_every_s),
            watch_every: Duration::from_secs(browser.watch_every_s.max(1)),
            memory: browser.memory_mb << 20,
            max_age: Duration::from_secs(browser.max_age_h.saturating_mul(3600)),
            quiet: Duration::from_secs(browser.quiet_s),
            keep: Duration::from_secs(self.config.retention.journal_days.saturating_mul(24 * 3600)),
            rates: (
                Rate { per_minute: pacing.session_per_minute, burst: pacing.session_burst },
                Rate { per_minute: pacing.chat_per_minute, burst: pacing.chat_burst },
            ),
            file_bytes: self.config.media.max_bytes,
            fetch: self.config.media.fetch,
            jitter: Duration::from_millis(pacing.jitter_ms),
        };
        WebEngine::new(
            options,
            Arc::clone(&self.clock),
            Arc::clone(&self.launcher),
            self.snapshots.clone(),
            Arc::new(self.files.clone()),
        )
    }

    fn supervision(&self) -> Arc<Supervision> {
        let metrics = Arc::clone(&self.metrics);
        Arc::new(Supervision {
            clock: Arc::clone(&self.clock),
            delays: Delays::default(),
            on_exit: Arc::new(move |actor, exit, next| {
                metrics.actor_exit(actor, exit);
                tracing::debug!(actor, ?exit, ?next, "actor exit");
            }),
        })
    }

    /// Names a thread of actors that does not turn, and finishes what was left over.
    fn watch_arbiters(&self, handle: &Handle) {
        let handle = handle.clone();
        self.io.spawn(async move {
            let mut half_second = tokio::time::interval(Duration::from_millis(500));
            let mut stalled = vec![];
            for turn in 0_u64.. {
                half_second.tick().await;
                handle.beat();
                let late: Vec<_> = handle.lateness().iter().map(|late| late.now_ms >= STALLED_MS).collect();
                for (arbiter, _) in
                    late.iter().enumerate().filter(|(place, late)| **late && stalled.get(*place) == Some(&false))
                {
                    tracing::error!(arbiter, "a thread of actors does not answer");
                }
                stalled = late;
                if turn % 120 == 119 {
                    handle.tidy();
                }
            }
        });
    }

    fn forget_old(&self) {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        let days = |days: u64| i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY_MS);
        let kept = &self.config.retention;
        let retention = Retention {
            journal_ms: days(kept.journal_days),
            outbox_ms: days(kept.outbox_days),
            dead_letters_ms: days(kept.dead_letter_days),
            audit_ms: days(kept.audit_days),
        };
        let (store, files) = (self.store.clone(), self.files.clone());
        let keep = Duration::from_secs(self.config.media.keep_h.max(1).saturating_mul(3600));
        self.io.spawn(async move {
            let mut hour = tokio::time::interval(Duration::from_secs(3600));
            loop {
                hour.tick().await;
                ground::keep_program_at_hand();
                let removed = files.forget_old(keep).await.and(files.sweep().await);
                if let Err(error) = removed {
                    tracing::warn!(%error, "no old files were removed");
                }
                match store.forget_old(retention).await {
                    Ok(0) => {}
                    Ok(rows) => tracing::info!(rows, "removed what was too old"),
                    Err(error) => tracing::warn!(%error, "nothing old was removed"),
                }
            }
        });
    }

    fn http(&self, health: &Arc<Health>, door: http::Data<Door>, auditor: Arc<Auditor>) -> anyhow::Result<Server> {
        let api = http::Data::new(Api {
            handle: health.handle.clone(),
            health: Arc::clone(health),
            store: self.store.clone(),
            status_wait: Duration::from_secs(self.config.http.status_wait_s),
            text_bytes: self.config.limits.text_bytes,
            reserved: api::docs::reserved_names(),
            files: Arc::new(self.files.clone()),
            webhooks: self.webhooks.clone(),
            quotas: Arc::clone(&self.quotas),
            fetcher: Fetcher::new(
                Arc::clone(&self.egress),
                Duration::from_secs(self.config.media.url_timeout_s.max(1)),
            )?,
            converter: Converter::new(&self.config.media.ffmpeg, self.config.media.max_bytes),
            file_bytes: self.config.media.max_bytes,
            uploads: Semaphore::new(self.config.media.uploads_at_once.max(1)),
            started_at_ms: self.clock.unix_ms(),
        });
        let store = http::Data::new(self.store.clone());
        let auditor = http::Data::from(auditor);
        let sockets = http::Data::from(Arc::clone(&self.sockets));
        let metrics = http::Data::from(Arc::clone(&self.metrics));
        let pulse = http::Data::from(Arc::clone(&self.pulse));
        let body_limit = self.config.http.body_limit;
        let patience = Patience {
            stall: Duration::from_secs(self.config.http.body_stall_s.max(1)),
            // A file comes in base64.
            most: self.config.media.max_bytes.saturating_mul(2).max(body_limit as u64),
        };
        let listen = &self.config.http.listen;
        let explorer = match self.config.http.docs {
            Docs::Auto => self.config.environment == Environment::Development,
            docs => docs == Docs::On,
        };
        let origins = self.config.http.cors_origins.clone();
        let foreign = !origins.is_empty();
        requests::sound_origins(&origins).map_err(|bad| anyhow::anyhow!("http.cors_origins: {bad} is no origin"))?;
        let proxies = door.proxies.clone();
        let stall = Duration::from_secs(self.config.http.answer_stall_s.max(1));
        let most = self.config.http.connections_per_address;
        let connections = Connections::new(most, stall, proxies, Arc::clone(&self.metrics));
        let (wanted, files) = (self.config.http.connections, ground::all_descriptors());
        let room = connections::room(wanted, files);
        if room < wanted {
            tracing::warn!(room, wanted, files, "this process may not open enough files for http.connections");
        }
        let server = HttpServer::new(move || {
            App::new()
                .app_data(api.clone())
                .app_data(store.clone())
                .app_data(door.clone())
                .app_data(auditor.clone())
                .app_data(sockets.clone())
                .app_data(metrics.clone())
                .app_data(pulse.clone())
                .app_data(requests::bodies(body_limit))
                .app_data(patience)
                .app_data(http::PayloadConfig::new(body_limit))
                .app_data(http::QueryConfig::default().error_handler(|error, _| requests::bad_input(&error).into()))
                .app_data(
                    http::PathConfig::default()
                        .error_handler(|_, _| ApiError::new("not_found", "There is no such path").into()),
                )
                .wrap(Condition::new(foreign, requests::cors(&origins)))
                .wrap(from_fn(requests::around))
                .configure(api::routes)
                .configure(|config| {
                    if explorer {
                        api::explorer::routes(config)
                    }
                })
                .route("/ws", http::get().to(socket::open).wrap(from_fn(guard)))
                .route("/dashboard/sign-in", http::post().to(files::sign_in))
                .route("/dashboard/sign-out", http::post().to(files::sign_out).wrap(from_fn(guard)))
                .route("/dashboard/{file}", http::get().to(files::serve))
                .route("/", http::get().to(files::serve))
                .default_service(http::to(api::not_found))
        })
        .on_connect(move |io, extensions| connections.connected(io, extensions))
        .max_connections(room.div_ceil(self.config.http.workers.max(1)))
        .workers(self.config.http.workers)
        .disable_signals()
        .shutdown_timeout(1);
        let server = match self.certificates()? {
            Some(certificates) => server.bind_rustls_0_23(listen, certificates.config()),
            None => server.bind(listen),
        };
        Ok(server.with_context(|| format!("cannot listen on {listen}"))?.run())
    }

    /// What the listener shows, where it speaks TLS.
    fn certificates(&self) -> anyhow::Result<Option<Arc<Certificates>>> {
        let (chain, key) = (&self.config.http.tls_chain, &self.config.http.tls_key);
        let none = |path: &std::path::Path| path.as_os_str().is_empty();
        anyhow::ensure!(none(chain) == none(key), "http.tls_chain and http.tls_key need each other");
        if none(chain) {
            return Ok(None);
        }
        let certificates = Certificates::open(chain.clone(), key.clone()).context("http.tls_chain, http.tls_key")?;
        self.io.spawn(Arc::clone(&certificates).follow());
        Ok(Some(certificates))
    }

    fn ops(&self, ops: Ops) -> anyhow::Result<Server> {
        let ops = http::Data::new(ops);
        let listen = &self.config.ops.listen;
        let server = HttpServer::new(move || {
            let said = requests::HEADERS.into_iter().fold(DefaultHeaders::new(), DefaultHeaders::add);
            let bodies = requests::bodies(OPS_BODY);
            App::new().app_data(ops.clone()).app_data(bodies).configure(ops::routes).wrap(said)
        })
        .workers(1)
        .max_connections(OPS_CONNECTIONS)
        .disable_signals()
        .shutdown_timeout(1)
        .bind(listen)
        .with_context(|| format!("cannot listen on {listen}"))?;
        Ok(server.run())
    }
}

fn restart_policy(config: &Config) -> RestartPolicy {
    let restart = &config.restart;
    RestartPolicy {
        backoff: BackoffPolicy {
            base_ms: restart.backoff_base_ms,
            cap_ms: restart.backoff_cap_ms,
            reset_after_ms: restart.reset_after_ms,
        },
        max_failures: restart.max_failures,
        window_ms: restart.window_ms,
        breaker: BreakerPolicy {
            open_ms: restart.open_ms,
            open_cap_ms: restart.open_cap_ms,
            probe_timeout_ms: restart.probe_timeout_ms,
        },
    }
}
