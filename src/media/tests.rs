use super::*;
use crate::store::{Options, Role};
use crate::vault::Kek;
use object_store::memory::InMemory;
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::draft::{Content, Draft, Shown};
use wardroom_actors::domain::ids::{NodeId, SessionName, TenantId};
use wardroom_actors::domain::message::Media;
use wardroom_actors::domain::quota::{Limits, Quota};
use wardroom_actors::domain::spec::{EngineName, Network};
use wardroom_actors::ports::store::{Delivery, NewSession, OutboxStore as _, SessionStore as _, Wanted};
use wardroom_actors::testing::{ManualClock, SharedClock};

const LIMIT: u64 = 4 << 20;

struct Ground {
    files: Files,
    spec: SessionSpec,
    store: Store,
    objects: Arc<InMemory>,
    clock: Arc<ManualClock>,
}

/// Room for eight of the longest.
const QUOTA: Quota = Quota {
    user: Limits { sessions: 0, messages_per_minute: 0, storage_bytes: 8 * LIMIT, webhooks: 0 },
    tenant: Limits { sessions: 0, messages_per_minute: 0, storage_bytes: 0, webhooks: 0 },
};

async fn ground() -> Ground {
    let vault = Arc::new(Vault::new(Kek::parse(&"07".repeat(32), "test").unwrap()));
    let options = Options { url: "sqlite::memory:".to_owned(), max_connections: 1 };
    let clock = SharedClock::default();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let opening = Store::open(&options, Arc::clone(&vault), Arc::clone(&shared), NodeId::generate(), Role::Server);
    let store = Box::pin(opening).await.unwrap();
    let tenant = store.create_tenant("t").await.unwrap().unwrap();
    let user = store.user_named(tenant, "owner").await.unwrap();
    let new = NewSession {
        tenant,
        user,
        name: SessionName::parse("s").unwrap(),
        engine: EngineName::Web,
        network: Network::Simulator,
        config: "{}".to_owned(),
        desired_running: false,
    };
    let spec = store.create(new, Quota::default()).await.unwrap();
    let objects = Arc::new(InMemory::new());
    let io = tokio::runtime::Handle::current();
    let kept = Objects { store: Arc::clone(&objects) as _, part: 5 << 20 };
    let files = Files::new(store.clone(), vault, kept, shared, LIMIT, Arc::new(QUOTA), io);
    Ground { files, spec, store, objects, clock: clock.0 }
}

impl Ground {
    async fn keep(&self, bytes: &[u8]) -> Result<FileId, TakeError> {
        let mut intake = self.files.take_in(&self.spec);
        for part in bytes.chunks(100_000) {
            intake.write(part).await?;
        }
        intake.finish().await
    }

    async fn whole(&self, file: FileId) -> Vec<u8> {
        let mut whole = vec![];
        for index in 0.. {
            let piece = self.files.piece(&self.spec, file, index).await.unwrap();
            if piece.is_empty() {
                break;
            }
            whole.extend(piece);
        }
        whole
    }

    async fn objects(&self) -> Vec<Path> {
        self.objects.list(None).map_ok(|object| object.location).try_collect().await.unwrap()
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[tokio::test]
async fn files_of_every_length_around_a_piece_come_back_and_nothing_of_them_lies_open() {
    let ground = ground().await;
    for length in [1, CHUNK - 1, CHUNK, CHUNK + 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + CHUNK + 5] {
        let file = ground.keep(&bytes(length)).await.unwrap();
        assert_eq!(ground.store.file_size(ground.spec.key(), file).await.unwrap(), Some(length as u64));
        assert!(ground.whole(file).await == bytes(length), "{length}");
        let stored = ground.objects.get(&object(ground.spec.key(), file)).await.unwrap().bytes().await.unwrap();
        assert!(length < 64 || !stored.windows(16).any(|window| window == &bytes(16)[..]), "{length} lies open");
    }
    let nothing = ground.files.piece(&ground.spec, FileId::generate(), 0).await;
    assert_eq!(nothing, Err(PortError::Conflict));
}

#[tokio::test]
async fn a_content_is_kept_once_and_what_was_given_up_not_at_all() {
    let ground = ground().await;
    let first = ground.keep(b"the same").await.unwrap();
    assert_eq!(ground.keep(b"the same").await.unwrap(), first);
    assert_ne!(ground.keep(b"another").await.unwrap(), first);
    assert_eq!(ground.objects().await.len(), 2);
    ground.objects.delete(&object(ground.spec.key(), first)).await.unwrap();
    let again = ground.keep(b"the same").await.unwrap();
    assert!(ground.whole(again).await == b"the same", "bytes that were lost are taken in again");
    let mut given_up = ground.files.take_in(&ground.spec);
    given_up.write(&bytes(PIECE)).await.unwrap();
    drop(given_up);
    let too_long = ground.keep(&bytes(usize::try_from(LIMIT).unwrap() + 1)).await;
    assert_eq!(too_long, Err(TakeError::TooLarge { limit: LIMIT }));
    assert_eq!(ground.objects().await.len(), 2);
}

#[tokio::test]
async fn a_file_that_finds_no_room_leaves_no_bytes() {
    let ground = ground().await;
    let large = |n| vec![n; usize::try_from(LIMIT).unwrap()];
    for n in 0..8 {
        ground.keep(&large(n)).await.unwrap();
    }
    assert!(matches!(ground.keep(b"one byte more, and more").await, Err(TakeError::Quota(_))));
    assert_eq!(ground.objects().await.len(), 8);
    ground.keep(&large(3)).await.unwrap();
}

#[tokio::test]
async fn a_file_whose_bytes_were_changed_or_cut_is_not_read() {
    let ground = ground().await;
    let file = ground.keep(&bytes(2 * CHUNK)).await.unwrap();
    let path = object(ground.spec.key(), file);
    let sound = ground.objects.get(&path).await.unwrap().bytes().await.unwrap();
    let mut changed = sound.to_vec();
    changed[HEADER + CHUNK + 50] ^= 1;
    for bad in [changed, sound[..sound.len() - 1].to_vec(), sound[..HEADER + 10].to_vec()] {
        ground.objects.put(&path, bad.into()).await.unwrap();
        assert!(ground.files.piece(&ground.spec, file, 0).await.is_err());
    }
    // Another file's bytes in its place.
    let other = ground.keep(&bytes(2 * CHUNK + 1)).await.unwrap();
    ground.objects.copy(&object(ground.spec.key(), other), &path).await.unwrap();
    assert_eq!(ground.files.piece(&ground.spec, file, 0).await, Err(PortError::Corrupt));
}

#[tokio::test]
async fn old_files_go_but_not_those_of_messages_that_wait() {
    let ground = ground().await;
    let (old, waiting) = (ground.keep(b"old").await.unwrap(), ground.keep(b"waiting").await.unwrap());
    ground.files.attach(&ground.spec, "true_1@c.us_A", old).await.unwrap();
    assert_eq!(ground.files.attached(&ground.spec, "true_1@c.us_A").await.unwrap(), Some(old));
    let media = Media { mimetype: "text/plain".into(), filename: None, size: Some(7) };
    let content = Content::File {
        file: waiting,
        media,
        shown: Shown::Document,
        caption: String::new(),
        mentions: vec![],
        audience: vec![],
        said: None,
    };
    let wanted = Wanted {
        chat: ChatId::parse("1@c.us").unwrap(),
        draft: Draft { content, reply_to: None },
        message_id: "B".into(),
        dedupe: "id:B".into(),
    };
    let accepted = ground.store.accept(&ground.spec, &wanted, 10).await.unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(ground.files.forget_old(hour).await.unwrap(), 0);
    ground.clock.advance(3_600_001);
    assert_eq!(ground.files.forget_old(hour).await.unwrap(), 1);
    assert_eq!(ground.files.attached(&ground.spec, "true_1@c.us_A").await.unwrap(), None);
    assert_eq!(ground.objects().await, [object(ground.spec.key(), waiting)]);
    let sent = Delivery::Sent { id: "true_1@c.us_B".into() };
    ground.store.finish(ground.spec.key(), accepted.outgoing.id, sent).await.unwrap();
    assert_eq!(ground.files.forget_old(hour).await.unwrap(), 1);
    assert!(ground.objects().await.is_empty());
}

#[tokio::test]
async fn the_broom_takes_what_no_row_knows_and_a_deleted_session_takes_all() {
    let ground = ground().await;
    let kept = ground.keep(b"kept").await.unwrap();
    let stray = object(ground.spec.key(), FileId::generate());
    let foreign = [Path::from("what/is/this"), Path::from(format!("{}/a/b", TenantId::generate()))];
    for path in foreign.iter().chain([&stray]) {
        ground.objects.put(path, "x".into()).await.unwrap();
    }
    // Objects have the machine's time.
    let written = ground.objects.head(&stray).await.unwrap().last_modified.timestamp_millis();
    let until = |ms: i64| u64::try_from(written + ms - ground.files.clock.unix_ms()).unwrap();
    ground.clock.advance(until(10));
    assert_eq!(ground.files.sweep().await.unwrap(), 0, "it may be on its way in");
    ground.clock.advance(until(3_600_010));
    assert_eq!(ground.files.sweep().await.unwrap(), 1);
    assert!(ground.objects().await.contains(&object(ground.spec.key(), kept)));
    ground.store.purge(ground.spec.key()).await.unwrap();
    while ground.objects().await.len() > foreign.len() {
        tokio::task::yield_now().await;
    }
    assert!(ground.objects().await.iter().all(|path| foreign.contains(path)), "what is not ours stays");
}
