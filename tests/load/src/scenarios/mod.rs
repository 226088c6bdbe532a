//! Whole-system proofs, each with a size: small in `make test`, full in `make chaos`.

pub mod cycles;
pub mod kills;
pub mod moments;
pub mod mutations;
pub mod recovery;
pub mod sockets;
pub mod starvation;
pub mod store;
pub mod webhooks;

use crate::house::{House, KEY};
use crate::referee::Player;

/// Links `count` sessions, each with a phone of its own to talk with.
pub async fn link(house: &House, count: usize) -> Vec<Player> {
    let mut players = vec![];
    for n in 0..count {
        players.push(link_one(house, n).await);
    }
    players
}

/// Links the `n`-th session.
pub async fn link_one(house: &House, n: usize) -> Player {
    let player = Player {
        key: KEY.to_owned(),
        session: format!("s{n}"),
        number: format!("4917000{n:04}"),
        other: format!("4917999{n:04}"),
    };
    house.network.phone(&player.other, &format!("Customer {n}")).await;
    house.link(&player.session, &player.number).await;
    player
}
