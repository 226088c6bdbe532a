//! What reads what comes from outside, given anything: it never panics, and what it takes means one thing.
//!
//! `make fuzz` asks each of them many more times; `PROPTEST_CASES` says how often.

#![expect(clippy::unwrap_used, reason = "a test says that something is wrong by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;
use reqwest::Url;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use wardroom::auth::address::Proxies;
use wardroom::auth::second_factor::SecondFactor;
use wardroom::egress::{Egress, Hosts, is_private};
use wardroom::frames;
use wardroom::simulator::script::Script;
use wardroom::store::repo::people::{is_user_name, normal_email};
use wardroom::vault::{CHUNK, Kek, Kind, Label, Vault};
use wardroom::webhook::post::waha_signature;
use wardroom_actors::domain::chat::ChatId;
use wardroom_actors::domain::fetching::Fetching;
use wardroom_actors::domain::ids::{SessionName, TenantId, UserId};
use wardroom_actors::domain::ignoring::Ignored;
use wardroom_actors::domain::webhook::Hooks;

/// Texts that look like what is meant, beside any text at all.
fn texts(like: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![".{0,200}", like]
}

/// Any JSON, not too deep.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "https?://[a-z.]{1,12}(:[0-9]{1,5})?/[a-z?&=]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let names = prop_oneof![
            "webhooks|events|url|hmac|key|retries|delaySeconds|attempts|policy|customHeaders|name|value|media|ignore|status|groups",
            "[a-z]{1,6}",
        ];
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((names, inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn vault() -> (Vault, Label) {
    let vault = Vault::new(Kek::parse(&"07".repeat(32), "a test").unwrap());
    let label = Label { tenant: TenantId::generate(), user: UserId::generate(), kind: Kind::Journal, item: "1".into() };
    let _ = vault.new_dek(label.tenant, label.user);
    (vault, label)
}

proptest! {
    #[test]
    fn a_chat_id_is_read_in_one_way(text in texts("[0-9-]{1,20}(@(c\\.us|lid|g\\.us|s\\.whatsapp\\.net|newsletter|broadcast))?")) {
        if let Ok(chat) = ChatId::parse(&text) {
            let again = ChatId::parse(chat.as_str()).unwrap();
            prop_assert_eq!(again.as_str(), chat.as_str());
            let plain = |c: char| c.is_ascii_alphanumeric() || "@.-".contains(c);
            prop_assert!(chat.as_str().chars().all(plain) && chat.as_str().matches('@').count() == 1);
        }
    }

    #[test]
    fn a_session_name_is_no_path(text in texts("[A-Za-z0-9._-]{1,60}")) {
        if let Ok(name) = SessionName::parse(&text) {
            prop_assert!(!name.as_str().starts_with('.') && !name.as_str().contains(['/', '\\', '%', '\0']));
            prop_assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn an_address_of_a_person_is_normal_once(text in texts("[ ]{0,2}[A-Za-z.+]{1,10}@[A-Za-z.-]{1,12}[ ]{0,2}")) {
        if let Some(email) = normal_email(&text) {
            let again = normal_email(&email);
            prop_assert_eq!(again, Some(email));
        }
        if is_user_name(&text) {
            prop_assert!(!text.contains(['/', '\n', ' ']));
        }
    }

    #[test]
    fn a_cursor_is_what_was_given_out(seq in 0..i64::MAX, text in texts("[A-Za-z0-9_=-]{0,40}")) {
        prop_assert_eq!(frames::read_cursor(&frames::cursor(seq)), Some(seq));
        if let Some(read) = frames::read_cursor(&text) {
            prop_assert_eq!(frames::read_cursor(&frames::cursor(read)), Some(read));
        }
    }

    #[test]
    fn a_config_is_read_or_refused(config in values()) {
        let _ = (Hooks::of_config(&config), Fetching::of_config(&config), Ignored::of_config(&config));
        let config = json!({"webhooks": config, "media": config, "ignore": config});
        if let Ok(hooks) = Hooks::of_config(&config) {
            let again = Hooks::of_config(&config).unwrap();
            prop_assert!(hooks.iter().map(|(id, _)| id).eq(again.iter().map(|(id, _)| id)), "ids stay");
        }
        let _ = (Fetching::of_config(&config), Ignored::of_config(&config));
    }

    #[test]
    fn a_second_factor_is_read_or_not(bytes in vec(any::<u8>(), 0..200), value in values()) {
        let _ = (SecondFactor::read(&bytes), SecondFactor::read(value.to_string().as_bytes()));
    }

    #[test]
    fn a_client_behind_proxies_is_never_one_of_them(
        hops in vec(prop_oneof!["[0-9.:a-f]{0,20}", "10\\.0\\.0\\.[0-9]{1,2}", "203\\.0\\.113\\.[0-9]{1,2}(:[0-9]{1,5})?"], 0..6),
    ) {
        let proxies = Proxies::new(&["10.0.0.0/8".to_owned()]).unwrap();
        let outside: IpAddr = "198.51.100.7".parse().unwrap();
        // Whom nobody listed, nobody believes.
        prop_assert_eq!(proxies.client(outside, hops.iter().map(String::as_str)), outside);
        let inside: IpAddr = "10.0.0.1".parse().unwrap();
        let header = hops.join(", ");
        let _ = proxies.client(inside, [header.as_str()].into_iter());
    }

    #[test]
    fn no_url_leads_inside(text in texts("https?://([a-z]{0,8}@)?([0-9a-fx.]{1,16}|\\[[0-9a-f:.]{2,24}\\]|[a-z.]{1,12}\\.?)(:[0-9]{1,5})?/.{0,10}")) {
        let egress = Egress::new(&[], &[80, 443], false);
        if let Ok(url) = egress.url(None, &text) {
            prop_assert!(matches!(url.scheme(), "http" | "https"));
            prop_assert!(matches!(url.port_or_known_default(), Some(80 | 443)));
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            if let Ok(address) = host.parse::<IpAddr>() {
                prop_assert!(!is_private(address), "{}", url);
            }
            prop_assert_eq!(Url::parse(&text).unwrap(), url);
        }
    }

    #[test]
    fn a_tenant_s_host_is_one_and_the_same_when_it_is_read_again(text in texts("(\\*\\.)?([0-9a-fx.]{1,16}|\\[?[0-9a-f:.]{2,24}\\]?|[a-zA-Zü.%-]{1,12}\\.?)(:[0-9]{1,3})?[/#?]?")) {
        let Ok(hosts) = Hosts::read(&[text]) else { return Ok(()) };
        prop_assert_eq!(Hosts::read(hosts.list()), Ok(hosts.clone()));
        let host = hosts.list()[0].replace("*.", "below.");
        let (egress, tenant) = (Egress::new(&[], &[], true), TenantId::generate());
        egress.set_tenants([(tenant, hosts.list().to_vec())].into());
        prop_assert!(egress.url(Some(tenant), &format!("https://{host}:8443/x")).is_ok(), "{}", host);
        prop_assert!(egress.url(Some(tenant), &format!("https://{host}.evil.example/")).is_err(), "{}", host);
    }

    #[test]
    fn a_script_is_read_or_refused(text in texts("(\\[\\[?[a-z.]{1,10}\\]?\\]\n[a-z_]{1,8} = (\"[a-z0-9]{0,8}\"|[0-9]{1,5}|true)\n){0,4}")) {
        let _ = Script::read(&text);
    }

    #[test]
    fn a_signature_is_of_this_body_and_this_key(key in ".{0,40}", body in ".{0,200}", other in ".{0,200}") {
        let made = waha_signature(&key, &body);
        prop_assert_eq!(&made, &waha_signature(&key, &body));
        prop_assert_eq!(made == waha_signature(&key, &other), body == other);
    }

    #[test]
    fn a_master_key_is_64_digits(text in texts("[0-9a-fA-F]{62,66}")) {
        if Kek::parse(&text, "a test").is_ok() {
            prop_assert!(text.trim().len() == 64 && text.trim().bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn a_sealed_item_opens_whole_and_where_it_was_sealed(plain in vec(any::<u8>(), 0..300), place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (vault, label) = vault();
        let sealed = vault.seal(&label, &plain).unwrap();
        prop_assert_eq!(&vault.open(&label, &sealed).unwrap(), &plain);
        let mut changed = sealed.clone();
        changed[place.index(sealed.len())] ^= 1 << bit;
        prop_assert!(vault.open(&label, &changed).is_err());
        prop_assert!(vault.open(&label, &sealed[..place.index(sealed.len())]).is_err());
        let other = Label { item: "2".into(), ..label.clone() };
        prop_assert!(vault.open(&other, &sealed).is_err());
        let other = Label { kind: Kind::Outbox, ..label.clone() };
        prop_assert!(vault.open(&other, &sealed).is_err());
        let _ = vault.open(&label, &plain);
    }
}

/// 192 random bits, of which none is the same for two items: the same text never looks the same.
#[test]
fn no_nonce_comes_twice() {
    let (vault, label) = vault();
    let all: Vec<_> = (0..50_000).map(|_| vault.seal(&label, b"the same").unwrap()).collect();
    // Behind the version and the key's id.
    let nonces: std::collections::HashSet<_> = all.iter().map(|sealed| &sealed[17..41]).collect();
    assert_eq!(nonces.len(), all.len());
    for place in 0..24 {
        let bytes: std::collections::HashSet<_> = all.iter().map(|sealed| sealed[17 + place]).collect();
        assert_eq!(bytes.len(), 256, "byte {place} is always the same ones");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(8), ..ProptestConfig::default() })]

    #[test]
    fn a_sealed_stream_opens_whole(length in 0..3 * CHUNK, place in any::<prop::sample::Index>(), bit in 0..8_u8, is_backup in any::<bool>()) {
        let (vault, label) = vault();
        let plain: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let seal = || {
            let mut sealer = if is_backup { vault.backup_sealer(vec![]) } else { vault.sealer(&label, vec![]) }?;
            sealer.write_all(&plain)?;
            sealer.finish()
        };
        let open = |sealed: &[u8]| {
            let mut opened = vec![];
            let mut opener = if is_backup { vault.backup_opener(sealed) } else { vault.opener(&label, sealed) }?;
            opener.read_to_end(&mut opened).map(|_| opened)
        };
        let sealed = seal().unwrap();
        prop_assert_eq!(&open(&sealed).unwrap(), &plain);
        let place = place.index(sealed.len());
        let mut changed = sealed.clone();
        changed[place] ^= 1 << bit;
        prop_assert!(open(&changed).is_err());
        prop_assert!(open(&sealed[..place]).is_err());
    }

    #[test]
    fn what_is_no_backup_is_refused(start in prop_oneof![Just(0), Just(8), 0..80_usize], bytes in vec(any::<u8>(), 0..200)) {
        let (vault, _) = vault();
        let sealed = vault.backup_sealer(vec![]).unwrap().finish().unwrap();
        let other = [&sealed[..start.min(sealed.len())], &bytes].concat();
        let mut opened = vec![];
        let read = vault.backup_opener(&*other).and_then(|mut opener| opener.read_to_end(&mut opened));
        prop_assert!(read.is_err() || other == sealed);
    }
}
