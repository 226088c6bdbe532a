//! What tenants and users may have, in the database itself. A running server notices within a second.

use super::audit::told;
use super::operate::{blocking, store};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::quotas::QuotaBook;
use crate::store::Store;
use crate::store::repo::quotas::{Given, MOST};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use std::sync::Arc;
use wardroom_actors::domain::ids::{TenantId, UserId};

#[derive(Subcommand)]
pub(super) enum QuotasCommand {
    /// Show what somebody may have, and has.
    Show(Whose),
    /// Change what somebody may have; what is not named stays. What they have already stays, too.
    Set {
        #[command(flatten)]
        whose: Whose,
        /// Sessions; 0 = any number, `default` = what the config says.
        #[arg(long, value_parser = limit)]
        sessions: Option<Limit>,
        /// Messages that are accepted in a minute.
        #[arg(long, value_parser = limit)]
        messages_per_minute: Option<Limit>,
        /// Bytes of files.
        #[arg(long, value_parser = limit)]
        storage_bytes: Option<Limit>,
        /// Webhooks in the configs of sessions.
        #[arg(long, value_parser = limit)]
        webhooks: Option<Limit>,
    },
}

#[derive(Args)]
pub(super) struct Whose {
    /// The tenant's name.
    #[arg(long, default_value = "default")]
    tenant: String,
    /// A user's name [default: the tenant with all of its users].
    #[arg(long)]
    user: Option<String>,
}

/// `None` = the default.
#[derive(Clone, Copy)]
pub(super) struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "default" {
        return Ok(Limit(None));
    }
    let number = text.parse().ok().filter(|number| *number <= MOST);
    number.map(|number| Limit(Some(number))).ok_or_else(|| format!("a number up to {MOST}, or `default`"))
}

pub(super) fn run(config: Config, verb: QuotasCommand) -> anyhow::Result<()> {
    blocking(async {
        let store = store(&config).await?;
        let book = QuotaBook::new(&config.quotas, Arc::new(SystemClock::start()));
        book.read(&store).await?;
        match verb {
            QuotasCommand::Show(whose) => {
                let (tenant, user) = found(&store, &whose).await?;
                show(&store, &book, tenant, user).await
            }
            QuotasCommand::Set { whose, sessions, messages_per_minute, storage_bytes, webhooks } => {
                let (tenant, user) = found(&store, &whose).await?;
                let was = book.given(tenant, user);
                let given = Given {
                    sessions: sessions.map_or(was.sessions, |limit| limit.0),
                    messages_per_minute: messages_per_minute.map_or(was.messages_per_minute, |limit| limit.0),
                    storage_bytes: storage_bytes.map_or(was.storage_bytes, |limit| limit.0),
                    webhooks: webhooks.map_or(was.webhooks, |limit| limit.0),
                };
                store.give_quota(tenant, user, given).await?;
                told(&store, Some(tenant), "quota changed", user.map(|user| user.0)).await?;
                book.read(&store).await?;
                show(&store, &book, tenant, user).await
            }
        }
    })
}

async fn found(store: &Store, whose: &Whose) -> anyhow::Result<(TenantId, Option<UserId>)> {
    let tenant = store.tenant_named(&whose.tenant).await?;
    let tenant = tenant.with_context(|| format!("there is no tenant named {}", whose.tenant))?;
    let Some(name) = &whose.user else { return Ok((tenant, None)) };
    let person = store.people(tenant).await?.into_iter().find(|person| &person.name == name);
    Ok((tenant, Some(person.with_context(|| format!("there is no user named {name}"))?.id)))
}

async fn show(store: &Store, book: &QuotaBook, tenant: TenantId, user: Option<UserId>) -> anyhow::Result<()> {
    let seen = book.seen(store, tenant, user).await?;
    for (name, what) in [
        ("sessions", "sessions"),
        ("messagesPerMinute", "messages a minute"),
        ("storageBytes", "bytes of files"),
        ("webhooks", "webhooks"),
    ] {
        let Some(part) = seen.get(name) else { continue };
        let limit = part["limit"].as_u64().map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
        let default = if part["isDefault"] == true { "  (default)" } else { "" };
        // Messages are counted by the server.
        let used = if name == "messagesPerMinute" { "-".to_owned() } else { part["used"].to_string() };
        println!("{what:<20} {used:>14} of {limit}{default}");
    }
    Ok(())
}
