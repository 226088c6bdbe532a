//! Tenants and keys, sessions, the journal, chats and their agents, the outbox.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, binary, binary_null, boolean, boolean_null, integer, small_integer,
    small_integer_null, string, string_null, uuid, uuid_null,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

pub(crate) fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).to_owned()
}

pub(crate) fn key(columns: &[&'static str]) -> IndexCreateStatement {
    let mut key = Index::create();
    for column in columns {
        key.col(*column);
    }
    key.primary().to_owned()
}

pub(crate) fn index(
    name: &'static str,
    on: &'static str,
    columns: &[&'static str],
    unique: bool,
) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(on);
    for column in columns {
        index.col(*column);
    }
    if unique { index.unique().to_owned() } else { index.to_owned() }
}

fn identity() -> Vec<TableCreateStatement> {
    vec![
        // What belongs to the database as a whole: its id, the key check value.
        table("meta").col(string("key").primary_key()).col(binary("value")).to_owned(),
        table("nodes")
            .col(uuid("id").primary_key())
            .col(big_integer("epoch"))
            .col(big_integer("started_at"))
            .to_owned(),
        table("tenants")
            .col(uuid("id").primary_key())
            .col(string("name").unique_key())
            .col(big_integer("created_at"))
            .to_owned(),
        table("users")
            .col(uuid("tenant_id"))
            .col(uuid("id"))
            .col(string("name"))
            .col(binary("dek"))
            .col(big_integer("created_at"))
            .primary_key(&mut key(&["tenant_id", "id"]))
            .to_owned(),
        table("api_keys")
            .col(uuid("tenant_id"))
            .col(uuid("id"))
            .col(uuid("user_id"))
            .col(binary("hash"))
            .col(boolean("is_admin"))
            .col(big_integer("created_at"))
            .primary_key(&mut key(&["tenant_id", "id"]))
            .to_owned(),
        // A person's stay on the dashboard.
        table("sign_ins")
            .col(uuid("tenant_id"))
            .col(uuid("id"))
            .col(uuid("key_id"))
            .col(binary("hash"))
            .col(big_integer("expires_at"))
            .primary_key(&mut key(&["tenant_id", "id"]))
            .to_owned(),
    ]
}

fn sessions() -> Vec<TableCreateStatement> {
    vec![
        table("sessions")
            .col(uuid("tenant_id"))
            .col(uuid("id"))
            .col(uuid("user_id"))
            .col(string("name"))
            .col(string("engine"))
            .col(string("network"))
            .col(binary("config"))
            .col(boolean("desired_running"))
            .col(integer("link_epoch"))
            .col(big_integer_null("linked_at"))
            .col(binary_null("account"))
            .col(uuid_null("worker_id"))
            .col(uuid("owner_node"))
            .col(big_integer("owner_epoch"))
            .col(big_integer("created_at"))
            .col(big_integer_null("deleted_at"))
            .primary_key(&mut key(&["tenant_id", "id"]))
            .to_owned(),
        table("chats")
            .col(uuid("tenant_id"))
            .col(uuid("session_id"))
            .col(uuid("id"))
            .col(binary_null("name"))
            .col(big_integer("last_seq"))
            .col(big_integer("last_at"))
            .primary_key(&mut key(&["tenant_id", "session_id", "id"]))
            .to_owned(),
        table("chat_aliases")
            .col(uuid("tenant_id"))
            .col(uuid("session_id"))
            .col(string("alias"))
            .col(uuid("chat_id"))
            .primary_key(&mut key(&["tenant_id", "session_id", "alias"]))
            .to_owned(),
    ]
}

fn records() -> Vec<TableCreateStatement> {
    vec![
        // Signals and events in order. `seq` is given out by the node's one journal writer.
        table("journal")
            .col(uuid("tenant_id"))
            .col(big_integer("seq"))
            .col(uuid("session_id"))
            .col(uuid_null("chat_id"))
            .col(integer("link_epoch"))
            .col(string("dedupe"))
            .col(string("kind"))
            .col(string("event_id"))
            .col(big_integer("at"))
            .col(string_null("message_id"))
            .col(boolean_null("from_me"))
            .col(big_integer_null("timestamp"))
            .col(small_integer_null("ack"))
            .col(binary("payload"))
            .primary_key(&mut key(&["tenant_id", "seq"]))
            .to_owned(),
        table("agent_state")
            .col(uuid("tenant_id"))
            .col(uuid("session_id"))
            .col(uuid("chat_id"))
            .col(big_integer("handled_seq"))
            .col(binary_null("state"))
            .primary_key(&mut key(&["tenant_id", "session_id", "chat_id"]))
            .to_owned(),
        table("outbox")
            .col(uuid("tenant_id"))
            .col(big_integer("id"))
            .col(uuid("session_id"))
            .col(uuid_null("chat_id"))
            .col(string("kind"))
            .col(string("dedupe"))
            .col(string_null("alias"))
            .col(string_null("message_id"))
            .col(binary("payload"))
            .col(small_integer("state"))
            .col(string_null("code"))
            .col(integer("attempts"))
            // For webhooks: which one, the event in the journal, and the name under which it is told.
            .col(string_null("hook"))
            .col(big_integer_null("seq"))
            .col(string_null("name"))
            .col(big_integer("created_at"))
            .col(big_integer("updated_at"))
            .primary_key(&mut key(&["tenant_id", "id"]))
            .to_owned(),
        // Signals whose handling panicked too often; the signal itself stands in the journal.
        table("dead_letters")
            .col(uuid("tenant_id"))
            .col(uuid("session_id"))
            .col(uuid("chat_id"))
            .col(big_integer("seq"))
            .col(big_integer("at"))
            .primary_key(&mut key(&["tenant_id", "session_id", "chat_id", "seq"]))
            .to_owned(),
    ]
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index("users_name", "users", &["tenant_id", "name"], true),
        index("api_keys_hash", "api_keys", &["hash"], true),
        index("sign_ins_hash", "sign_ins", &["hash"], true),
        index("sessions_user", "sessions", &["tenant_id", "user_id"], false),
        index("chat_aliases_chat", "chat_aliases", &["tenant_id", "session_id", "chat_id"], false),
        index("journal_dedupe", "journal", &["tenant_id", "session_id", "link_epoch", "dedupe"], true),
        index("journal_chat", "journal", &["tenant_id", "session_id", "chat_id", "seq"], false),
        index("journal_message", "journal", &["tenant_id", "session_id", "message_id"], false),
        index("journal_at", "journal", &["at"], false),
        index("outbox_dedupe", "outbox", &["tenant_id", "session_id", "dedupe"], true),
        index("outbox_waiting", "outbox", &["tenant_id", "session_id", "kind", "state", "id"], false),
    ]
}

/// The query builder knows no partial index.
const PARTIAL: [&str; 2] = [
    // A name is free again as soon as its session is buried.
    "CREATE UNIQUE INDEX sessions_name ON sessions (tenant_id, name) WHERE deleted_at IS NULL",
    // What webhooks have still to be told is found without walking what they were told.
    "CREATE INDEX outbox_lane ON outbox (tenant_id, session_id, hook, chat_id, id) WHERE hook IS NOT NULL AND state = 0",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in identity().into_iter().chain(sessions()).chain(records()) {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        for partial in PARTIAL {
            manager.get_connection().execute_unprepared(partial).await?;
        }
        Ok(())
    }
}
