//! What only a real store has: the read side.

use super::Ground;
use crate::store::repo::chats::Page;
use wardroom_actors::domain::change::{Change, What};
use wardroom_actors::domain::event::EventKind;
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::domain::message::{Ack, AckChange};
use wardroom_actors::domain::spec::SessionSpec;
use wardroom_actors::ports::journal::Entry;

fn page(limit: u64, offset: u64, ascending: bool) -> Page {
    Page { limit, offset, ascending, ..Page::default() }
}

fn raised(ground: &Ground, spec: &SessionSpec, ack: Ack) -> Entry {
    let (message_id, chat) = ("false_9@c.us_a".into(), "9@c.us".into());
    let change = AckChange { message_id, chat, from_me: false, ack, participant: None };
    ground.entry(spec, &format!("ack:a:{}", i8::from(ack)), EventKind::Ack(change))
}

pub async fn shows_what_was_recorded(ground: &Ground) {
    let Some(store) = &ground.store else { return };
    let one = ground.session("r1").await;
    for (n, id) in ["a", "b", "c"].iter().enumerate() {
        ground.record(&one, id, "9@c.us", None, i64::try_from(n).unwrap()).await;
    }
    let acks = [Ack::Read, Ack::Device].map(|ack| raised(ground, &one, ack));
    ground.journal.append(acks.to_vec()).await.unwrap();
    let messages = store.messages(&one, Some("9@c.us"), page(10, 0, true)).await.unwrap();
    let shown: Vec<_> = messages.iter().map(|(_, one)| (one.body.as_str(), one.ack)).collect();
    assert_eq!(shown, [("body a", Ack::Read), ("body b", Ack::Server), ("body c", Ack::Server)], "no ack is lowered");
    let newest = store.messages(&one, Some("9@c.us"), page(1, 1, false)).await.unwrap();
    assert_eq!(newest[0].1.body, "body b");
    assert!(store.messages(&one, Some("10@c.us"), page(10, 0, true)).await.unwrap().is_empty());
    let chats = store.chats(&one, 10, 0, &[]).await.unwrap();
    assert_eq!((chats[0].id.as_str(), chats[0].name.as_deref()), ("9@c.us", Some("Name")));
    let events = store.events_after(ground.tenant, 0, 100).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.key == one.key()).count(), 5);
    assert!(store.events_after(TenantId::generate(), 0, 100).await.unwrap().is_empty());

    let changed = |message_id: &str, id: &str, what| {
        let change = Change {
            chat: "9@c.us".into(),
            chat_alias: None,
            id: id.into(),
            message_id: message_id.into(),
            from_me: false,
            participant: None,
            at_ms: 1,
            what,
        };
        ground.entry(&one, id, EventKind::Change(change))
    };
    let edited = What::Edited { body: "new".into() };
    let changes = vec![
        changed("false_9@c.us_b", "e1", What::Edited { body: "newer".into() }),
        changed("false_9@c.us_b", "e2", edited),
        changed("false_9@c.us_c", "e3", What::Revoked),
    ];
    ground.journal.append(changes).await.unwrap();
    let stand = store.messages(&one, Some("9@c.us"), page(10, 0, true)).await.unwrap();
    let bodies: Vec<_> = stand.iter().map(|(_, one)| (one.body.as_str(), one.kind.as_str())).collect();
    assert_eq!(bodies, [("body a", "chat"), ("new", "chat"), ("", "revoked")]);
    assert_eq!(store.message(&one, "false_9@c.us_b").await.unwrap().unwrap().body, "new");
    assert!(store.message(&one, "false_9@c.us_x").await.unwrap().is_none());
    ground.sessions.purge(one.key()).await.unwrap();
}

pub async fn finds_what_was_asked_for(ground: &Ground) {
    let Some(store) = &ground.store else { return };
    let one = ground.session("r2").await;
    for (n, chat) in ["9@c.us", "9@c.us", "8@c.us", "9@c.us", "8@c.us"].into_iter().enumerate() {
        let id = ["a", "b", "c", "d", "e"][n];
        ground.record(&one, id, chat, None, i64::try_from(n).unwrap()).await;
    }
    ground.journal.append(vec![raised(ground, &one, Ack::Read)]).await.unwrap();
    let bodies = async |chat: Option<&str>, page: Page| -> Vec<String> {
        let found = store.messages(&one, chat, page).await.unwrap();
        found.into_iter().map(|(_, one)| one.body.replace("body ", "")).collect()
    };
    let all = page(10, 0, true);
    assert_eq!(bodies(None, all).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(bodies(Some("9@c.us"), Page { from: Some(1), to: Some(3), ..all }).await, ["b", "d"]);
    assert_eq!(bodies(None, Page { ack: Some(Ack::Read), ..all }).await, ["a"]);
    assert!(bodies(None, Page { from_me: Some(true), ..all }).await.is_empty());
    for ascending in [true, false] {
        let (mut behind, mut seen) = (None, vec![]);
        loop {
            let found = store.messages(&one, None, Page { behind, ..page(2, 0, ascending) }).await.unwrap();
            seen.extend(found.iter().map(|(_, one)| one.body.replace("body ", "")));
            match found.last() {
                Some((last, _)) => behind = Some(*last),
                None => break,
            }
        }
        let expected = if ascending { ["a", "b", "c", "d", "e"] } else { ["e", "d", "c", "b", "a"] };
        assert_eq!(seen, expected);
    }
    ground.sessions.purge(one.key()).await.unwrap();
}
