use super::*;
use std::io::{Read, Write};

fn vault() -> (Vault, Label) {
    let vault = Vault::new(Kek::parse(&"07".repeat(32), "test").unwrap());
    let (tenant, user) = (TenantId::generate(), UserId::generate());
    let _ = vault.new_dek(tenant, user);
    (vault, Label { tenant, user, kind: Kind::Config, item: "one".into() })
}

#[test]
fn an_item_opens_only_under_its_own_label() {
    let (vault, label) = vault();
    let sealed = vault.seal(&label, b"secret").unwrap();
    assert_eq!(vault.open(&label, &sealed).unwrap(), b"secret");
    let moved = [
        Label { kind: Kind::Journal, ..label.clone() },
        Label { item: "two".into(), ..label.clone() },
        Label { tenant: TenantId::generate(), ..label.clone() },
        Label { user: UserId::generate(), ..label.clone() },
    ];
    for other in moved {
        assert_eq!(vault.open(&other, &sealed), Err(Sealed));
    }
    for place in 0..sealed.len() {
        let mut broken = sealed.clone();
        broken[place] ^= 1;
        assert_eq!(vault.open(&label, &broken), Err(Sealed), "byte {place}");
    }
}

#[test]
fn a_user_cannot_be_given_another_users_data_key() {
    let (vault, label) = vault();
    let wrapped = vault.new_dek(label.tenant, label.user);
    assert_eq!(vault.admit(label.tenant, label.user, &wrapped), Ok(()));
    assert_eq!(vault.admit(label.tenant, UserId::generate(), &wrapped), Err(Sealed));
    let other = Vault::new(Kek::parse(&"08".repeat(32), "test").unwrap());
    assert_eq!(other.admit(label.tenant, label.user, &wrapped), Err(Sealed));
}

#[test]
fn the_check_value_knows_its_master_key() {
    let (vault, _) = vault();
    let value = vault.check_value();
    assert!(vault.check(&value));
    assert!(!Vault::new(Kek::parse(&"08".repeat(32), "test").unwrap()).check(&value));
    assert!(!vault.check(b""));
}

fn sealed_stream(vault: &Vault, label: &Label, plain: &[u8]) -> Vec<u8> {
    let mut sealer = vault.sealer(label, vec![]).unwrap();
    sealer.write_all(plain).unwrap();
    sealer.finish().unwrap()
}

fn opened(vault: &Vault, label: &Label, sealed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut plain = vec![];
    vault.opener(label, sealed)?.read_to_end(&mut plain)?;
    Ok(plain)
}

#[test]
fn streams_of_every_length_around_a_chunk_come_back() {
    let (vault, label) = vault();
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let plain: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
        let sealed = sealed_stream(&vault, &label, &plain);
        assert_eq!(opened(&vault, &label, &sealed).unwrap(), plain, "{length}");
    }
}

#[test]
fn a_stream_that_was_cut_or_reordered_does_not_open() {
    let (vault, label) = vault();
    let sealed = sealed_stream(&vault, &label, &vec![7; 3 * 65_536]);
    let chunk = 4 + 65_536 + 16;
    let header = 33;
    assert!(opened(&vault, &label, &sealed[..header + chunk]).is_err(), "cut after a whole chunk");
    assert!(opened(&vault, &label, &sealed[..sealed.len() - 1]).is_err(), "cut inside a chunk");
    let (head, body) = sealed.split_at(header);
    let swapped = [head, &body[chunk..2 * chunk], &body[..chunk], &body[2 * chunk..]].concat();
    assert!(opened(&vault, &label, &swapped).is_err(), "reordered");
    let other = Label { item: "two".into(), ..label };
    assert!(opened(&vault, &other, &sealed).is_err(), "moved");
}

#[test]
fn a_key_file_says_what_is_wrong_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    assert!(matches!(Kek::read(&path), Err(KekError::Missing(_))));
    Kek::create(&path).unwrap();
    assert!(Kek::read(&path).is_ok());
    assert!(matches!(Kek::create(&path), Err(KekError::Io { .. })), "never replaced");
    std::fs::write(&path, "not hex").unwrap();
    assert!(matches!(Kek::read(&path), Err(KekError::Malformed(_))));
    std::os::unix::fs::chown(&path, None, None).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(matches!(Kek::read(&path), Err(KekError::Exposed(_))));
    assert!(!format!("{:?}", Kek::parse(&"07".repeat(32), "t").unwrap()).contains("0707"));
}

#[test]
fn a_program_prints_the_key_or_says_why_not() {
    let given = |arguments: &[&str]| KekCommand(arguments.iter().map(|one| (*one).to_owned()).collect()).kek();
    let digits = "07".repeat(32);
    assert_eq!(given(&["echo", &digits]).unwrap().id(), Kek::parse(&digits, "test").unwrap().id());
    assert!(matches!(given(&["echo", "no key"]), Err(KekError::Malformed(_))));
    assert!(matches!(given(&["false"]), Err(KekError::Command(why)) if why.contains("exit status")));
    assert!(matches!(given(&["/no/such/program"]), Err(KekError::Command(_))));
    assert!(matches!(given(&["yes"]), Err(KekError::Command(_))), "more than a key");
    assert!(given(&[]).is_err());
}

#[test]
fn a_data_key_that_was_followed_opens_until_it_is_retired() {
    let (vault, label) = vault();
    let (tenant, user) = (label.tenant, label.user);
    let (old, mark) = (vault.seal(&label, b"secret").unwrap(), vault.fingerprint(&label, b"x").unwrap());
    let mut sealer = vault.sealer(&label, vec![]).unwrap();
    let fresh = vault.follow_dek(tenant, user).unwrap().unwrap();
    let stored = fresh.wrapped.clone();
    vault.install(fresh);
    assert!(vault.follow_dek(tenant, user).unwrap().is_none());
    assert!(!vault.is_sealed_now(&label, &old).unwrap());
    let new = vault.reseal(&label, &old).unwrap();
    assert!(vault.is_sealed_now(&label, &new).unwrap());
    assert!(matches!(vault.retire_deks(tenant, user), Ok(Retired::Busy)), "a stream is being sealed");
    sealer.write_all(b"secret").unwrap();
    let stream = sealer.finish().unwrap();
    assert_eq!(opened(&vault, &label, &stream).unwrap(), b"secret");
    // What is stored says the same to the next start.
    vault.admit(tenant, user, &stored).unwrap();
    assert_eq!(
        (vault.open(&label, &old).unwrap(), vault.open(&label, &new).unwrap()),
        (b"secret".to_vec(), b"secret".to_vec())
    );
    let Ok(Retired::Fresh(alone)) = vault.retire_deks(tenant, user) else { panic!("nothing holds it") };
    vault.install(alone);
    assert!(matches!(vault.retire_deks(tenant, user), Ok(Retired::Already)));
    assert_eq!(vault.open(&label, &old), Err(Sealed));
    assert_eq!(vault.open(&label, &new).unwrap(), b"secret");
    assert_eq!(vault.fingerprint(&label, b"x").unwrap(), mark, "what follows from it stays");
    vault.forget(tenant, user);
    assert!(vault.open(&label, &new).is_err() && !vault.knows(tenant, user));
}
