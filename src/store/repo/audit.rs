//! Who did what, in a chain for each tenant and one for the server itself, so that a record that is changed, removed or put in
//! between is noticed.
//!
//! A record's hash covers the one before it, and each hash is signed. Records that are too old go from the beginning; where the chain
//! begins from then on is signed, too. What is personal in a record is sealed, and the chain has only its digest: it still holds when
//! a user's data key is destroyed. Records are never changed, but that what is sealed in them may be sealed anew.

use super::own::SERVER;
use crate::store::entity::{audit, audit_heads};
use crate::store::{Failure, Mode, Reason, Store, Tx};
use crate::vault::{Kind, random};
use aws_lc_rs::signature::{ED25519, KeyPair as _, UnparsedPublicKey};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{ExprTrait as _, LockType, OnConflict};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use uuid::Uuid;
use wardroom_actors::domain::ids::{TenantId, UserId};
use wardroom_actors::ports::PortError;
use zeroize::Zeroizing;

/// Records that are looked at, or removed, at once.
const PAGE: u64 = 500;

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Whose chain; `None` is the server's own.
    pub tenant: Option<TenantId>,
    /// Whose data key seals what is personal; without one there is nothing personal in a tenant's chain.
    pub user: Option<UserId>,
    /// When it was over, Unix milliseconds.
    pub at_ms: i64,
    /// What it was, as JSON.
    pub record: String,
    /// What is personal in it.
    pub personal: Map<String, Value>,
}

/// A record as it stands in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Place, from 1.
    pub seq: i64,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// Whose data key sealed the personal part.
    pub user: Option<Uuid>,
    /// What it was, as JSON.
    pub record: String,
    /// Digest of the personal part.
    pub proof: Option<Vec<u8>>,
    /// What the next one covers.
    pub hash: Vec<u8>,
    /// Ed25519 over the hash, by the server's key.
    pub signature: Vec<u8>,
    /// The personal part.
    pub personal: Personal,
}

/// What there is of a personal part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Personal {
    /// It can be read: JSON.
    Open(String),
    /// There was none, or its key is destroyed.
    None,
    /// It should be there, and is not, or does not open.
    Lost,
}

/// Where a chain begins, if its first records are gone, or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Of which record.
    pub seq: i64,
    /// Its hash.
    pub hash: Vec<u8>,
}

/// An [`Edge`] behind which a chain begins, signed by the server's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The last record that is gone.
    pub edge: Edge,
    /// Ed25519.
    pub signature: Vec<u8>,
}

/// The hash before the first record.
fn genesis(tenant: TenantId) -> Vec<u8> {
    Sha256::digest([b"wardroom audit 1".as_slice(), tenant.0.as_bytes()].concat()).to_vec()
}

impl Link {
    /// The hash that it has behind another one.
    pub(in crate::store) fn hashed(&self, tenant: TenantId, before: &[u8]) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(before);
        hash.update(tenant.0.as_bytes());
        hash.update(self.seq.to_be_bytes());
        hash.update(self.at_ms.to_be_bytes());
        for part in [
            self.user.as_ref().map(|user| user.as_bytes().as_slice()),
            self.proof.as_deref(),
            Some(self.record.as_bytes()),
        ] {
            // What there is counts by its length, so that no two records read alike.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        hash.finalize().to_vec()
    }
}

/// What is signed of a record.
fn signed(hash: &[u8]) -> Vec<u8> {
    [b"wardroom audit record 1".as_slice(), hash].concat()
}

impl Edge {
    /// What is signed of a beginning.
    fn signed(&self, tenant: TenantId) -> Vec<u8> {
        let parts: [&[u8]; 4] =
            [b"wardroom audit begins behind 1", tenant.0.as_bytes(), &self.seq.to_be_bytes(), &self.hash];
        parts.concat()
    }
}

/// Looks along a chain.
#[derive(Debug)]
pub struct Walk {
    tenant: TenantId,
    public: Vec<u8>,
    /// Where it has come to.
    pub last: Edge,
    /// Records that are what they were.
    pub records: u64,
    /// What is wrong first.
    pub trouble: Option<String>,
}

impl Walk {
    /// Along a tenant's chain, which is signed by the holder of this key, from where it begins.
    #[must_use]
    pub fn new(tenant: TenantId, public: &[u8], base: Option<&Base>) -> Self {
        let last = base.map_or_else(|| Edge { seq: 0, hash: genesis(tenant) }, |base| base.edge.clone());
        let mut walk = Self { tenant, public: public.to_vec(), last, records: 0, trouble: None };
        if let Some(Base { edge, signature }) = base {
            let sound = walk.is_signed(&edge.signed(tenant), signature);
            walk.is(sound, || format!("records up to {} were removed by somebody else", edge.seq));
        }
        walk
    }

    fn is_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(text, signature).is_ok()
    }

    fn is(&mut self, sound: bool, what: impl FnOnce() -> String) {
        if !sound && self.trouble.is_none() {
            self.trouble = Some(what());
        }
    }

    /// The next record.
    pub fn record(&mut self, link: &Link) {
        let (seq, next) = (link.seq, self.last.seq.saturating_add(1));
        self.is(seq == next, || format!("records from {next} on are missing"));
        let hashed = link.hashed(self.tenant, &self.last.hash) == link.hash;
        let sound = hashed && self.is_signed(&signed(&link.hash), &link.signature);
        self.is(sound, || format!("record {seq} is not what it was"));
        let same = match &link.personal {
            Personal::Open(text) => link.proof.as_ref().is_some_and(|proof| **proof == *Sha256::digest(text)),
            Personal::None => true,
            Personal::Lost => false,
        };
        self.is(same, || format!("the personal part of record {seq} is not what it was"));
        self.records += u64::from(sound && same);
        self.last = Edge { seq, hash: link.hash.clone() };
    }

    /// The end, where it is known what stands there.
    pub fn end(&mut self, end: &Edge) {
        let next = self.last.seq.saturating_add(1);
        let same = self.last == *end;
        self.is(same, || format!("records from {next} on are missing"));
    }
}

impl Store {
    /// Records facts, in their order.
    ///
    /// # Errors
    /// The database's; then none was.
    pub async fn audit(&self, facts: Vec<Fact>) -> Result<(), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Audit, Mode::Write).await?;
            let mut tenants: Vec<_> = facts.iter().map(|fact| fact.tenant.unwrap_or(SERVER.0)).collect();
            // Whoever records for several locks them in one order.
            tenants.sort_unstable();
            tenants.dedup();
            let mut ends = vec![];
            for tenant in tenants {
                let theirs = facts.iter().filter(|fact| fact.tenant.unwrap_or(SERVER.0) == tenant);
                ends.push((tenant, store.lengthen(&tx, tenant, theirs).await?));
            }
            tx.commit().await?;
            ends.into_iter().for_each(|(tenant, end)| drop(store.chain_ends.insert(tenant, end)));
            Ok(())
        })
        .await
    }

    async fn lengthen(&self, tx: &Tx, tenant: TenantId, facts: impl Iterator<Item = &Fact>) -> Result<Edge, Failure> {
        let Some(own) = self.own.get() else { return Err(Failure::Strange) };
        let fresh = audit_heads::ActiveModel {
            tenant_id: Set(tenant.0),
            seq: Set(0),
            hash: Set(genesis(tenant)),
            base: Set(0),
            ..Default::default()
        };
        let known = OnConflict::column(audit_heads::Column::TenantId).do_nothing().to_owned();
        audit_heads::Entity::insert(fresh).on_conflict(known).try_insert().exec_without_returning(&**tx).await?;
        let head = audit_heads::Entity::find_by_id(tenant.0).lock(LockType::Update).one(&**tx).await?;
        let head = head.ok_or(Failure::Gone)?;
        let (mut seq, mut hash) = (head.seq, head.hash.clone());
        if self.chain_ends.get(&tenant).is_some_and(|end| end.seq > seq) {
            tracing::error!(%tenant, seq, "the end of an audit chain was cut off");
        }
        let mut rows = vec![];
        for fact in facts {
            seq += 1;
            let user = if tenant == SERVER.0 { Some(SERVER.1) } else { fact.user };
            let (personal, proof) = self.seal_personal(tx, (tenant, user, seq), &fact.personal).await?.unzip();
            let user = user.map(|user| user.0);
            let mut link = Link {
                seq,
                at_ms: fact.at_ms,
                user,
                record: fact.record.clone(),
                proof,
                hash: vec![],
                signature: vec![],
                personal: Personal::None,
            };
            hash = link.hashed(tenant, &hash);
            link.hash.clone_from(&hash);
            link.signature = own.audit.sign(&signed(&hash)).as_ref().to_vec();
            rows.push(audit::ActiveModel {
                tenant_id: Set(tenant.0),
                seq: Set(seq),
                at: Set(link.at_ms),
                user_id: Set(user),
                record: Set(link.record),
                personal: Set(personal),
                proof: Set(link.proof),
                hash: Set(link.hash),
                signature: Set(link.signature),
            });
        }
        audit::Entity::insert_many(rows).exec_without_returning(&**tx).await?;
        let mut head = head.into_active_model();
        head.seq = Set(seq);
        head.hash = Set(hash.clone());
        head.update(&**tx).await?;
        Ok(Edge { seq, hash })
    }

    /// What is personal, sealed, and its digest, which nobody can guess it by. Nothing for somebody who has no data key any more.
    async fn seal_personal(
        &self,
        tx: &Tx,
        (tenant, user, seq): (TenantId, Option<UserId>, i64),
        personal: &Map<String, Value>,
    ) -> Result<Option<(Vec<u8>, Vec<u8>)>, Failure> {
        let Some(user) = user.filter(|_| !personal.is_empty()) else { return Ok(None) };
        match self.need_dek(tx, tenant, user).await {
            Err(Failure::Gone) => return Ok(None),
            // That their key is damaged is nobody else's trouble.
            Err(Failure::Sealed(error)) => {
                tracing::error!(%tenant, %user, %error, "what they did is recorded without what is personal in it");
                return Ok(None);
            }
            other => other?,
        }
        let mut personal = personal.clone();
        personal.insert("salt".to_owned(), hex::encode(random::<16>()).into());
        let text = Zeroizing::new(Value::Object(personal).to_string());
        let sealed = self.vault.seal(&Self::label(tenant, user, Kind::Audit, seq), text.as_bytes())?;
        Ok(Some((sealed, Sha256::digest(text.as_bytes()).to_vec())))
    }

    async fn links(&self, tx: &Tx, tenant: TenantId, rows: Vec<audit::Model>) -> Result<Vec<Link>, Failure> {
        let mut links = Vec::with_capacity(rows.len());
        for row in rows {
            let personal = match (row.user_id.map(UserId), &row.proof) {
                (Some(user), Some(_)) => match self.need_dek(tx, tenant, user).await {
                    Err(Failure::Db(error)) => return Err(error.into()),
                    Err(Failure::Gone) => Personal::None,
                    _ => {
                        let label = Self::label(tenant, user, Kind::Audit, row.seq);
                        let plain = row.personal.and_then(|sealed| self.vault.open(&label, &sealed).ok());
                        plain.and_then(|plain| String::from_utf8(plain).ok()).map_or(Personal::Lost, Personal::Open)
                    }
                },
                _ => Personal::None,
            };
            links.push(Link {
                seq: row.seq,
                at_ms: row.at,
                user: row.user_id,
                record: row.record,
                proof: row.proof,
                hash: row.hash,
                signature: row.signature,
                personal,
            });
        }
        Ok(links)
    }

    /// The latest records of a tenant before a place, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn audited(&self, tenant: TenantId, before: Option<i64>, limit: u64) -> Result<Vec<Link>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows = audit::Entity::find()
                .filter(audit::Column::TenantId.eq(tenant.0))
                .filter(audit::Column::Seq.lt(before.unwrap_or(i64::MAX)))
                .order_by_desc(audit::Column::Seq)
                .limit(limit)
                .all(&*tx)
                .await?;
            store.links(&tx, tenant, rows).await
        })
        .await
    }

    /// Some records behind a place, in their order.
    ///
    /// # Errors
    /// The database's.
    pub async fn audited_behind(&self, tenant: TenantId, behind: i64) -> Result<Vec<Link>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let rows = audit::Entity::find()
                .filter(audit::Column::TenantId.eq(tenant.0))
                .filter(audit::Column::Seq.gt(behind))
                .order_by_asc(audit::Column::Seq)
                .limit(PAGE)
                .all(&*tx)
                .await?;
            store.links(&tx, tenant, rows).await
        })
        .await
    }

    /// Where a tenant's chain begins, if not with its first record, and ends.
    ///
    /// # Errors
    /// The database's.
    pub async fn chain(&self, tenant: TenantId) -> Result<(Option<Base>, Edge), PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::tenant(&store, tenant, Mode::Read).await?;
            let Some(head) = audit_heads::Entity::find_by_id(tenant.0).one(&*tx).await? else {
                return Ok((None, Edge { seq: 0, hash: genesis(tenant) }));
            };
            let base = head.base_hash.zip(head.base_signature);
            let base = base.map(|(hash, signature)| Base { edge: Edge { seq: head.base, hash }, signature });
            Ok((base, Edge { seq: head.seq, hash: head.hash }))
        })
        .await
    }

    /// Whose chains there are, deleted tenants' too.
    ///
    /// # Errors
    /// The database's.
    pub async fn chains(&self) -> Result<Vec<TenantId>, PortError> {
        let store = self.clone();
        self.on_io(async move {
            let tx = Tx::system(&store, Reason::Audit, Mode::Read).await?;
            let ids = audit_heads::Entity::find().select_only().column(audit_heads::Column::TenantId);
            let ids = ids.order_by_asc(audit_heads::Column::TenantId).into_tuple::<Uuid>().all(&*tx).await?;
            Ok(ids.into_iter().map(TenantId).collect())
        })
        .await
    }

    /// Looks along a tenant's chain; gives each record away.
    ///
    /// # Errors
    /// The database's, and those of whoever takes the records.
    pub async fn walk_chain(
        &self,
        tenant: TenantId,
        mut take: impl FnMut(&Link) -> std::io::Result<()>,
    ) -> anyhow::Result<Walk> {
        // What is recorded meanwhile is not looked at.
        let (base, end) = self.chain(tenant).await?;
        let mut walk = Walk::new(tenant, &self.audit_public(), base.as_ref());
        let mut behind = walk.last.seq;
        while behind < end.seq {
            let links = self.audited_behind(tenant, behind).await?;
            for link in links.iter().filter(|link| link.seq <= end.seq) {
                walk.record(link);
                take(link)?;
            }
            let Some(last) = links.last() else { break };
            behind = last.seq;
        }
        walk.end(&end);
        Ok(walk)
    }

    /// By which records are known to be this server's.
    #[must_use]
    pub fn audit_public(&self) -> Vec<u8> {
        self.own.get().map(|own| own.audit.public_key().as_ref().to_vec()).unwrap_or_default()
    }

    /// The ends of all chains that have grown since the last time; for the log, whose copies leave the machine.
    #[must_use]
    pub fn grown_chains(&self, told: &mut HashMap<TenantId, i64>) -> Vec<(TenantId, Edge)> {
        let ends: Vec<_> = self.chain_ends.iter().map(|end| (*end.key(), end.value().clone())).collect();
        ends.into_iter().filter(|(tenant, end)| told.insert(*tenant, end.seq) != Some(end.seq)).collect()
    }

    /// Removes some records from before a time, from the beginning of each chain; answers how many.
    pub(super) async fn forget_audited(&self, tx: &Tx, before_ms: i64) -> Result<u64, Failure> {
        let Some(own) = self.own.get() else { return Ok(0) };
        let mut gone = 0;
        for head in audit_heads::Entity::find().all(&**tx).await? {
            let tenant = TenantId(head.tenant_id);
            let theirs = audit::Column::TenantId.eq(tenant.0);
            let first = audit::Entity::find().filter(theirs.clone()).order_by_asc(audit::Column::Seq).limit(PAGE);
            let first =
                first.select_only().columns([audit::Column::Seq, audit::Column::At]).column(audit::Column::Hash);
            let first = first.into_tuple::<(i64, i64, Vec<u8>)>().all(&**tx).await?;
            let Some((seq, _, hash)) = first.into_iter().take_while(|(_, at, _)| *at < before_ms).last() else {
                continue;
            };
            let edge = Edge { seq, hash };
            let mut head = head.into_active_model();
            head.base = Set(seq);
            head.base_signature = Set(Some(own.audit.sign(&edge.signed(tenant)).as_ref().to_vec()));
            head.base_hash = Set(Some(edge.hash));
            head.update(&**tx).await?;
            let old = audit::Entity::delete_many().filter(theirs.and(audit::Column::Seq.lte(seq)));
            gone += old.exec(&**tx).await?.rows_affected;
            if gone >= PAGE {
                break;
            }
        }
        Ok(gone)
    }
}
