//! Tenants and their people, in the database itself. A running server notices within half a second.

use super::UsersCommand;
use super::audit::told;
use super::operate::{blocking, store};
use crate::auth::access::secret;
use crate::auth::password::is_imported;
use crate::config::Config;
use crate::egress::Hosts;
use crate::store::Store;
use crate::store::repo::invitations::{Guest, Invited};
use crate::store::repo::people::{Change, Changed, Person, Role, Standing, is_user_name, normal_email};
use crate::store::repo::shredding::Shredded;
use anyhow::{Context as _, bail};
use wardroom_actors::domain::ids::TenantId;

/// What is told of somebody who was deleted.
const LEFT: &str = "What is left is removed by the server within seconds, or when it is started.";

/// How long an invitation is good.
const INVITATION_MS: i64 = crate::api::users::INVITATION_MS;

pub(super) fn tenants(config: Config) -> anyhow::Result<()> {
    blocking(async {
        for tenant in store(&config).await?.all_tenants().await? {
            println!("{:<30} {:<10} {}", tenant.name, tenant.standing.name(), tenant.id);
        }
        Ok(())
    })
}

pub(super) fn shut(config: Config, name: String, standing: Standing) -> anyhow::Result<()> {
    blocking(async {
        let store = store(&config).await?;
        let tenant = tenant_named(&store, &name).await?;
        if !store.set_standing(&name, standing).await? {
            bail!("{name} was deleted meanwhile");
        }
        told(&store, Some(tenant), &format!("tenant {}", standing.name()), None).await?;
        println!("{name} is {} now.", standing.name());
        Ok(())
    })
}

pub(super) fn hosts(config: Config, name: String, hosts: Vec<String>, any: bool) -> anyhow::Result<()> {
    blocking(async {
        let store = store(&config).await?;
        let tenant = tenant_named(&store, &name).await?;
        if any || !hosts.is_empty() {
            let hosts = (!any).then(|| Hosts::read(&hosts)).transpose().map_err(anyhow::Error::msg)?;
            store.give_hosts(tenant, hosts.as_ref().map(Hosts::list)).await?;
            told(&store, Some(tenant), "hosts changed", None).await?;
        }
        match store.hosts().await?.remove(&tenant) {
            Some(hosts) => hosts.iter().for_each(|host| println!("{host}")),
            None => println!("any"),
        }
        Ok(())
    })
}

async fn tenant_named(store: &Store, name: &str) -> anyhow::Result<TenantId> {
    store.tenant_named(name).await?.with_context(|| format!("there is no tenant named {name}"))
}

async fn named(store: &Store, tenant: TenantId, name: &str) -> anyhow::Result<Option<Person>> {
    Ok(store.people(tenant).await?.into_iter().find(|person| person.name == name))
}

pub(super) fn users(config: Config, verb: UsersCommand) -> anyhow::Result<()> {
    blocking(async {
        let store = store(&config).await?;
        match verb {
            UsersCommand::List { tenant } => {
                for one in store.people(tenant_named(&store, &tenant).await?).await? {
                    let email = one.email.unwrap_or_else(|| "(keys only)".to_owned());
                    println!("{:<20} {:<10} {:<10} {email}", one.name, one.role.name(), one.standing.name());
                }
                Ok(())
            }
            UsersCommand::Invite { tenant, name, email, role, bcrypt } => {
                let tenant = tenant_named(&store, &tenant).await?;
                let role = role.map(|role| Role::named(&role).with_context(|| format!("there is no role {role}")));
                let role = role.transpose()?;
                let link = |token: &str| crate::links::to_invitation(&config.http, token);
                invite(&store, tenant, (name, email, role), bcrypt, link).await
            }
            UsersCommand::Role { tenant, name, role } => {
                let tenant = tenant_named(&store, &tenant).await?;
                let role = Role::named(&role).with_context(|| format!("there is no role {role}"))?;
                let person = named(&store, tenant, &name).await?;
                let person = person.with_context(|| format!("there is no user named {name}"))?;
                let change = Change { was: person.role, role: Some(role), standing: None };
                change_person(&store, tenant, &person, change).await?;
                println!("{name} is {} now.", role.name());
                Ok(())
            }
            UsersCommand::TakeSecondFactor { tenant, name } => {
                let tenant = tenant_named(&store, &tenant).await?;
                let person = named(&store, tenant, &name).await?;
                let person = person.with_context(|| format!("there is no user named {name}"))?;
                if !store.take_second_factor(tenant, person.id).await? {
                    bail!("{name} has no second factor");
                }
                told(&store, Some(tenant), "second factor taken", Some(person.id.0)).await?;
                println!("{name} signs in with the password alone.");
                Ok(())
            }
            UsersCommand::Delete { tenant, name, yes } => delete(&store, &tenant, &name, yes).await,
            UsersCommand::Suspend { tenant, name } => stand(&store, &tenant, &name, Standing::Suspended).await,
            UsersCommand::Resume { tenant, name } => stand(&store, &tenant, &name, Standing::Active).await,
        }
    })
}

/// Deletes a tenant with all that it has.
pub(super) fn delete_tenant(config: Config, name: String, yes: bool) -> anyhow::Result<()> {
    blocking(async {
        let store = store(&config).await?;
        let tenant = tenant_named(&store, &name).await?;
        let people = store.count_people(tenant).await?;
        if !yes {
            bail!("{name} has {people} users. Nothing of theirs could be brought back: say --yes if it is meant so");
        }
        if !store.shred_tenant(&name).await? {
            bail!("{name} was deleted meanwhile");
        }
        told(&store, Some(tenant), "tenant deleted", None).await?;
        told(&store, None, "tenant deleted", Some(tenant.0)).await?;
        println!("The data keys of {people} users of {name} are destroyed. {LEFT}");
        Ok(())
    })
}

async fn delete(store: &Store, tenant: &str, name: &str, yes: bool) -> anyhow::Result<()> {
    let tenant = tenant_named(store, tenant).await?;
    let person = named(store, tenant, name).await?.with_context(|| format!("there is no user named {name}"))?;
    if !yes {
        bail!("nothing that {name} has could be brought back: say --yes if it is meant so");
    }
    match store.shred_person(tenant, person.id, person.role).await? {
        Shredded::Done => {
            told(store, Some(tenant), "user deleted", Some(person.id.0)).await?;
            println!("The data key of {name} is destroyed. {LEFT}");
        }
        Shredded::LastOwner => bail!("{name} is the only owner: make another one first, or delete the tenant"),
        Shredded::Nobody => bail!("{name} was changed meanwhile: try again"),
    }
    Ok(())
}

async fn stand(store: &Store, tenant: &str, name: &str, standing: Standing) -> anyhow::Result<()> {
    let tenant = tenant_named(store, tenant).await?;
    let person = named(store, tenant, name).await?.with_context(|| format!("there is no user named {name}"))?;
    let change = Change { was: person.role, role: None, standing: Some(standing) };
    change_person(store, tenant, &person, change).await?;
    println!("{name} is {} now.", standing.name());
    Ok(())
}

async fn change_person(store: &Store, tenant: TenantId, person: &Person, change: Change) -> anyhow::Result<()> {
    match store.change_person(tenant, person.id, change).await? {
        Changed::Person(now) => {
            let what = format!("user {} {}", now.role.name(), now.standing.name());
            told(store, Some(tenant), &what, Some(person.id.0)).await
        }
        Changed::LastOwner => bail!("{} is the only owner: make another one first", person.name),
        Changed::Nobody => bail!("{} was changed meanwhile: try again", person.name),
    }
}

async fn invite(
    store: &Store,
    tenant: TenantId,
    (name, email, role): (String, Option<String>, Option<Role>),
    bcrypt: bool,
    link: impl Fn(&str) -> String,
) -> anyhow::Result<()> {
    let hash = if bcrypt { Some(read_hash()?) } else { None };
    let token = secret("wri_");
    let known = named(store, tenant, &name).await?.filter(|person| person.email.is_some());
    let person = if let Some(known) = known {
        if email.is_some() || role.is_some() || hash.is_some() {
            bail!("{name} has an address already: leave out --email, --role and --bcrypt");
        }
        store.invite_again(tenant, known.id, &token, INVITATION_MS).await?;
        known
    } else {
        if !is_user_name(&name) {
            bail!("a name has 1 to 64 of: letters, digits, . _ -");
        }
        let email = email.context("an address is needed: --email anna@example.com")?;
        let email = normal_email(&email).with_context(|| format!("{email} is no address"))?;
        match store
            .invite(
                tenant,
                Guest { name: name.clone(), email, role: role.unwrap_or(Role::Operator) },
                &token,
                INVITATION_MS,
            )
            .await?
        {
            Invited::Person(person) => person,
            Invited::NameTaken => bail!("{name} has an address already"),
            Invited::EmailTaken => bail!("somebody has this address already"),
        }
    };
    if let Some(hash) = hash {
        let login = store.invited(&token).await?.context("the invitation was not written")?;
        store.accept_invitation(&token, &login, &hash).await?;
        told(store, Some(tenant), "user imported", Some(person.id.0)).await?;
        println!("{name} may sign in with the password that they had.");
        return Ok(());
    }
    told(store, Some(tenant), "user invited", Some(person.id.0)).await?;
    println!("Invited {name} ({}). Whoever opens this within three days chooses their password:", person.role.name());
    println!("{}", link(&token));
    Ok(())
}

/// A hash from standard input.
fn read_hash() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let hash = line.trim().to_owned();
    if !is_imported(&hash) {
        bail!("standard input must have a bcrypt hash of cost 10 to 12: $2b$10$ and 53 characters more");
    }
    Ok(hash)
}
