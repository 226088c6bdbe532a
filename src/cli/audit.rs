//! What was done: chains that are looked along, and told to whoever keeps a copy.

use super::AuditCommand;
use super::operate::{blocking, store};
use crate::config::Config;
use crate::store::Store;
use crate::store::repo::audit::{Base, Edge, Link, Personal, Walk};
use crate::store::repo::own::SERVER;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use uuid::Uuid;
use wardroom_actors::domain::ids::TenantId;

/// What the server's own chain is called.
const OWN: &str = "(server)";

/// A line of an exported chain.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    /// The first.
    Chain {
        tenant: Uuid,
        name: String,
        key: String,
        begins: Option<Begins>,
    },
    Record(Box<Record>),
    /// The last.
    End {
        seq: i64,
        hash: String,
    },
}

/// Where a chain begins whose first records are gone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begins {
    behind: i64,
    hash: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    seq: i64,
    at: i64,
    user: Option<Uuid>,
    record: String,
    personal: Option<String>,
    proof: Option<String>,
    hash: String,
    signature: String,
}

impl From<&Link> for Line {
    fn from(link: &Link) -> Self {
        Self::Record(Box::new(Record {
            seq: link.seq,
            at: link.at_ms,
            user: link.user,
            record: link.record.clone(),
            personal: match &link.personal {
                Personal::Open(text) => Some(text.clone()),
                Personal::None | Personal::Lost => None,
            },
            proof: link.proof.as_ref().map(hex::encode),
            hash: hex::encode(&link.hash),
            signature: hex::encode(&link.signature),
        }))
    }
}

pub(super) fn run(config: impl FnOnce() -> anyhow::Result<Config>, what: AuditCommand) -> anyhow::Result<()> {
    match what {
        AuditCommand::Verify { file: Some(file), key, .. } => verify_file(&file, key.as_deref()),
        AuditCommand::Verify { tenant, .. } => verify(config()?, tenant),
        AuditCommand::Export { tenant, to } => export(config()?, tenant, to.as_deref()),
    }
}

/// Something that an operator did on the command line.
pub(super) async fn told(
    store: &Store,
    tenant: Option<TenantId>,
    what: &str,
    about: Option<Uuid>,
) -> anyhow::Result<()> {
    crate::auth::audit::told(store, tenant, what, about, None).await.context("what was done is not recorded")
}

/// A tenant's chain by its name, or its id: a deleted tenant has no name any more.
async fn chain_of(store: &Store, name: &str) -> anyhow::Result<TenantId> {
    if let Some(id) = store.tenant_named(name).await? {
        return Ok(id);
    }
    let id = name.parse().map(TenantId).ok();
    let known = store.chains().await?;
    id.filter(|id| known.contains(id)).with_context(|| format!("there is no tenant named {name}"))
}

/// What a chain is called.
async fn name_of(store: &Store, tenant: TenantId) -> anyhow::Result<String> {
    if tenant == SERVER.0 {
        return Ok(OWN.to_owned());
    }
    let tenants = store.all_tenants().await?;
    Ok(tenants.into_iter().find(|one| one.id == tenant).map_or_else(|| tenant.to_string(), |one| one.name))
}

/// One line of a chain; false when it does not hold.
fn tell(name: &str, walk: &Walk) -> bool {
    match &walk.trouble {
        Some(trouble) => println!("{name}: {trouble}"),
        None => println!("{name}: {} records up to {} hold", walk.records, walk.last.seq),
    }
    walk.trouble.is_none()
}

fn verify(config: Config, tenant: Option<String>) -> anyhow::Result<()> {
    blocking(async {
        let store = store(&config).await?;
        let chains = match tenant {
            Some(name) => vec![chain_of(&store, &name).await?],
            None => store.chains().await?,
        };
        let mut sound = true;
        for id in chains {
            sound &= tell(&name_of(&store, id).await?, &store.walk_chain(id, |_| Ok(())).await?);
        }
        println!("They are signed by {}.", hex::encode(store.audit_public()));
        if !sound {
            bail!("not everything that was recorded is what it was");
        }
        Ok(())
    })
}

fn export(config: Config, tenant: Option<String>, to: Option<&Path>) -> anyhow::Result<()> {
    let file = to.map(|path| File::create_new(path).with_context(|| path.display().to_string())).transpose()?;
    let out: Box<dyn Write> = match &file {
        Some(file) => Box::new(file),
        None => Box::new(std::io::stdout()),
    };
    let mut out = BufWriter::new(out);
    blocking(async {
        let store = store(&config).await?;
        let id = match tenant {
            Some(name) => chain_of(&store, &name).await?,
            None => SERVER.0,
        };
        if let Some(trouble) = write(&store, id, &mut out).await?.trouble {
            bail!("it is written, but {trouble}");
        }
        Ok(())
    })?;
    out.flush()?;
    drop(out);
    Ok(file.map_or(Ok(()), |file| file.sync_all())?)
}

/// Writes a chain, and looks along it.
async fn write(store: &Store, id: TenantId, out: &mut impl Write) -> anyhow::Result<Walk> {
    let mut put = |line: &Line| writeln!(out, "{}", json!(line));
    let begins = store.chain(id).await?.0.map(|base| Begins {
        behind: base.edge.seq,
        hash: hex::encode(base.edge.hash),
        signature: hex::encode(base.signature),
    });
    let name = name_of(store, id).await?;
    put(&Line::Chain { tenant: id.0, name, key: hex::encode(store.audit_public()), begins })?;
    let walk = store.walk_chain(id, |link| put(&link.into())).await?;
    put(&Line::End { seq: walk.last.seq, hash: hex::encode(&walk.last.hash) })?;
    Ok(walk)
}

fn verify_file(path: &Path, key: Option<&str>) -> anyhow::Result<()> {
    let file = || File::open(path).map_err(anyhow::Error::from);
    let read = file().and_then(|file| read(BufReader::new(file), key));
    let (walk, name) = read.with_context(|| path.display().to_string())?;
    if key.is_none() {
        println!("The key was taken from the file itself: --key says that it is the server's.");
    }
    if !tell(&name, &walk) {
        bail!("not everything that was recorded is what it was");
    }
    Ok(())
}

/// Looks along a chain that was written, and says what it is called.
fn read(written: impl BufRead, key: Option<&str>) -> anyhow::Result<(Walk, String)> {
    let mut walk: Option<(Walk, String)> = None;
    let mut ended = false;
    for (number, line) in written.lines().enumerate() {
        let at = || format!("line {}", number + 1);
        let bytes = |text: String| hex::decode(text).with_context(at);
        let line: Line = serde_json::from_str(&line?).with_context(at)?;
        match (line, &mut walk) {
            _ if ended => bail!("{}: something comes behind the end", at()),
            (Line::Chain { tenant, name, key: own, begins }, None) => {
                // Without a key that is known from elsewhere, whoever changed the file may have signed it.
                let key = key.map_or(own, str::to_owned);
                let base = match begins {
                    Some(Begins { behind: seq, hash, signature }) => {
                        Some(Base { edge: Edge { seq, hash: bytes(hash)? }, signature: bytes(signature)? })
                    }
                    None => None,
                };
                walk = Some((Walk::new(TenantId(tenant), &bytes(key)?, base.as_ref()), name));
            }
            (Line::Record(record), Some((walk, _))) => {
                let Record { seq, at: at_ms, user, record, personal, proof, hash, signature } = *record;
                let (proof, hash, signature) = (proof.map(bytes).transpose()?, bytes(hash)?, bytes(signature)?);
                let personal = personal.map_or(Personal::None, Personal::Open);
                walk.record(&Link { seq, at_ms, user, record, proof, hash, signature, personal });
            }
            (Line::End { seq, hash }, Some((walk, _))) => {
                walk.end(&Edge { seq, hash: bytes(hash)? });
                ended = true;
            }
            _ => bail!("{}: a chain begins with its first line, and there is one", at()),
        }
    }
    let walk = walk.context("it is empty")?;
    if !ended {
        bail!("it was cut off: it has no end");
    }
    Ok(walk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::repo::audit::Fact;
    use crate::store::testing;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use serde_json::Value;
    use std::sync::{Arc, LazyLock};
    use wardroom_actors::testing::SharedClock;

    /// What a chain of four says, and whose key signed it.
    static WRITTEN: LazyLock<(String, String)> = LazyLock::new(|| {
        blocking(async {
            let store = testing::store(Arc::new(SharedClock::default())).await;
            let tenant = store.create_tenant("anna").await?.context("it is the first")?;
            let user = store.user_named(tenant, "owner").await?;
            let facts = ["née", "\"", "", "{}"].map(|said| Fact {
                tenant: Some(tenant),
                user: Some(user),
                at_ms: store.unix_ms(),
                record: json!({"what": said}).to_string(),
                personal: [("address".to_owned(), json!(said))].into_iter().filter(|_| !said.is_empty()).collect(),
            });
            store.audit(facts.into()).await?;
            let mut written = vec![];
            write(&store, tenant, &mut written).await?;
            Ok((String::from_utf8(written)?, hex::encode(store.audit_public())))
        })
        .unwrap()
    });

    /// Whether it is read, and is what it was.
    fn holds(written: &[u8]) -> bool {
        read(written, Some(&WRITTEN.1)).is_ok_and(|(walk, _)| walk.trouble.is_none() && walk.records == 4)
    }

    /// What a line says that counts: not what the chain is called, nor in which letters digits are written.
    fn said(written: &[u8]) -> Option<Vec<Value>> {
        let one = |line: &str| {
            let mut line: Value = serde_json::from_str(line).ok()?;
            for (_, fields) in line.as_object_mut()? {
                let fields = fields.as_object_mut()?;
                fields.retain(|field, value| !["name", "key"].contains(&field.as_str()) && !value.is_null());
                for field in ["hash", "signature", "proof", "tenant", "user"] {
                    if let Some(Value::String(text)) = fields.get_mut(field) {
                        text.make_ascii_lowercase();
                    }
                }
            }
            Some(line)
        };
        std::str::from_utf8(written).ok()?.lines().map(one).collect()
    }

    fn numbers() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), Just(i64::MAX), Just(i64::MIN), 0..6_i64]
    }

    proptest! {
        #[test]
        fn an_exported_chain_is_as_it_was_or_refused(place in any::<Index>(), byte in any::<u8>()) {
            let whole = WRITTEN.0.as_bytes();
            prop_assert!(holds(whole));
            let mut changed = whole.to_vec();
            changed[place.index(whole.len())] = byte;
            if holds(&changed) {
                prop_assert_eq!(said(&changed), said(whole));
            }
        }

        #[test]
        fn an_exported_chain_has_its_own_lines_or_refused((one, two) in any::<(Index, Index)>(), other in "\\PC{0,60}") {
            let whole: Vec<_> = WRITTEN.0.lines().collect();
            let (one, two) = (one.index(whole.len()), two.index(whole.len()));
            let holds = |lines: Vec<&str>| holds(lines.join("\n").as_bytes());
            let with = |change: &dyn Fn(&mut Vec<&str>)| {
                let mut lines = whole.clone();
                change(&mut lines);
                lines
            };
            let without = with(&|lines| {
                lines.remove(one);
            });
            prop_assert!(!holds(without), "{} is missing", one);
            let swapped = with(&|lines| lines.swap(one, two));
            prop_assert_eq!(holds(swapped), one == two);
            let twice = with(&|lines| lines.insert(one, whole[two]));
            prop_assert!(!holds(twice), "{} comes twice", two);
            // NUL stands in no line of JSON.
            let other = format!("\0{other}");
            let mut more: Vec<&str> = whole.clone();
            more.insert(one, &other);
            prop_assert!(!holds(more));
        }

        #[test]
        fn what_looks_like_an_exported_chain_is_one_or_refused(
            fields in prop::collection::vec((numbers(), "[0-9a-f]{0,4}|[0-9a-f]{64}|.{0,4}"), 1..6), base in any::<bool>(),
        ) {
            let begins = base.then(|| json!({"behind": fields[0].0, "hash": fields[0].1, "signature": fields[0].1}));
            let chain = json!({"chain": {"tenant": uuid::Uuid::nil(), "name": "x", "key": WRITTEN.1, "begins": begins}});
            let records = fields.iter().map(|(number, text)| {
                json!({"record": {
                    "seq": number, "at": number, "user": null, "record": text, "personal": text, "proof": text,
                    "hash": text, "signature": text,
                }})
            });
            let end = json!({"end": {"seq": fields[0].0, "hash": fields[0].1}});
            let lines: Vec<_> = std::iter::once(chain).chain(records).chain([end]).map(|line| line.to_string()).collect();
            prop_assert!(!holds(lines.join("\n").as_bytes()));
        }
    }
}
