//! A database of its own for a test.

use super::{Options, Role, Store};
use crate::vault::{Kek, Vault};
use std::sync::Arc;
use wardroom_actors::domain::ids::NodeId;
use wardroom_actors::ports::clock::Clock;

/// One in memory, with nobody in it.
pub(crate) async fn store(clock: Arc<dyn Clock>) -> Store {
    let options = Options { url: "sqlite::memory:".to_owned(), max_connections: 2 };
    let vault = Arc::new(Vault::new(Kek::parse(&"07".repeat(32), "a test").unwrap()));
    Box::pin(Store::open(&options, vault, clock, NodeId::generate(), Role::Server)).await.unwrap()
}
