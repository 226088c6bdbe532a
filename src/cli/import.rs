//! `wardroom import`: logins that whatsapp-web.js or WAHA's browser engine keeps, so that nobody has to scan again.

use super::ImportCommand;
use super::operate::{blocking, store_with_vault};
use crate::config::Config;
use crate::engine::web::Snapshots;
use crate::ground;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::path::{Path, PathBuf};
use wardroom_actors::domain::ids::SessionName;
use wardroom_actors::domain::spec::{EngineName, Network};
use wardroom_actors::ports::store::{NewSession, SessionStore};

/// How deep profiles are looked for: WAHA keeps them two directories further down.
const DEPTH: u32 = 3;

pub(super) fn import(config: Config, what: ImportCommand) -> anyhow::Result<()> {
    let dir = ground::data_dir(&config)?;
    // A server would not learn of the new sessions.
    let _alone = ground::lock(&dir)?;
    let network = match what.network.as_str() {
        "whatsapp" => Network::Whatsapp,
        "simulator" => Network::Simulator,
        _ => bail!("--network is whatsapp or simulator"),
    };
    let mut profiles = vec![];
    find(&what.path, DEPTH, &mut profiles)?;
    if profiles.is_empty() {
        bail!(
            "{} holds no profile of Chromium (a directory with Default/IndexedDB in it); \
               archives of RemoteAuth have to be unpacked first",
            what.path.display()
        );
    }
    let named: Vec<_> = profiles.iter().map(|path| Ok((name_of(path)?, path))).collect::<anyhow::Result<_>>()?;
    for (place, (name, path)) in named.iter().enumerate() {
        if named.iter().take(place).any(|(other, _)| other == name) {
            bail!("two profiles are named {name}: rename one directory, or import them one after the other");
        }
        if let Some(user) = user_of(path) {
            bail!(
                "{user} is using the profile of {name}: stop it first. If it is stopped, remove {}/SingletonLock",
                path.display()
            );
        }
    }
    blocking(async {
        let (store, vault) = store_with_vault(&config).await?;
        let tenant = store.tenant_named(&what.tenant).await?;
        let tenant = tenant.with_context(|| format!("there is no tenant named {}", what.tenant))?;
        let user = store.user_named(tenant, &what.user).await?;
        let snapshots = Snapshots::new(dir.join("snapshots"), vault);
        for (name, path) in named {
            let new = NewSession {
                tenant,
                user,
                name: name.clone(),
                engine: EngineName::Web,
                network,
                config: json!({"network": what.network}).to_string(),
                // Not before its login is here.
                desired_running: false,
            };
            let spec = match store.create(new, config.pool.sessions_per_user).await {
                Ok(spec) => spec,
                Err(error) => bail!("{name}: {error}"),
            };
            let path = path.clone();
            let (kept, session) = (snapshots.clone(), spec.clone());
            let archived = tokio::task::spawn_blocking(move || kept.archive(&session, &path)).await?;
            if let Err(error) = archived {
                let _ = store.bury(&spec).await;
                return Err(error).with_context(|| format!("the profile of {name} cannot be read"));
            }
            store.set_desired(&spec, true).await?;
            println!("{name} is here; it starts with the server.");
        }
        Ok(())
    })
}

/// Profiles of Chromium at or below a directory.
fn find(dir: &Path, depth: u32, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if dir.join("Default/IndexedDB").is_dir() {
        into.push(dir.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let entries = std::fs::read_dir(dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    let mut dirs: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs.iter().try_for_each(|path| find(path, depth - 1, into))
}

/// whatsapp-web.js calls the directory `session`, or `session-` and the client's id.
fn name_of(profile: &Path) -> anyhow::Result<SessionName> {
    let dir = profile.canonicalize()?;
    let dir = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = match dir.strip_prefix("session") {
        Some("") => "default",
        Some(rest) => rest.strip_prefix('-').unwrap_or(rest),
        None => &dir,
    };
    SessionName::parse(name)
        .map_err(|_| anyhow::anyhow!("{dir}: {name} cannot be a session's name; rename the directory"))
}

/// The host and process whose browser holds a profile. A lock that was left behind on this machine names a process that is gone;
/// of another machine, or of a container, nobody can tell here.
fn user_of(profile: &Path) -> Option<String> {
    let lock = std::fs::read_link(profile.join("SingletonLock")).ok()?.to_string_lossy().into_owned();
    let (host, pid) = lock.rsplit_once('-')?;
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let gone = host == own.trim() && !Path::new(&format!("/proc/{pid}")).exists();
    (!gone).then(|| format!("process {pid} of {host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_and_named_as_their_makers_do() {
        let dir = tempfile::tempdir().unwrap();
        for path in
            ["webjs/default/session-default", "session", "session-shop", "Default-not", "too/deep/for/us/session-x"]
        {
            let inner = if path.contains("not") { "Default" } else { "Default/IndexedDB" };
            std::fs::create_dir_all(dir.path().join(path).join(inner)).unwrap();
        }
        let mut found = vec![];
        find(dir.path(), DEPTH, &mut found).unwrap();
        let names: Vec<_> = found.iter().map(|path| name_of(path).unwrap().to_string()).collect();
        assert_eq!(names, ["default", "shop", "default"]);
    }

    #[test]
    fn a_lock_counts_while_its_process_lives() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("SingletonLock");
        assert_eq!(user_of(dir.path()), None);
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim();
        for (text, held) in [
            (format!("{host}-4294967294"), false),
            (format!("{host}-{}", std::process::id()), true),
            ("another-host-4294967294".to_owned(), true),
        ] {
            std::os::unix::fs::symlink(&text, &lock).unwrap();
            assert_eq!(user_of(dir.path()).is_some(), held, "{text}");
            std::fs::remove_file(&lock).unwrap();
        }
    }
}
