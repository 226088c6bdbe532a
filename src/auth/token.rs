//! Access tokens: JSON Web Tokens of some minutes that say who stays where (RFC 9068). One signature algorithm, keys of our own; what a
//! token says of keys or of other algorithms is not believed. What somebody may do is not in it: that is looked up.

use crate::store::Store;
use crate::store::repo::identity::Holder;
use crate::store::repo::signing::SigningKey;
use anyhow::Context as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError, RwLock};
use uuid::Uuid;
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::ports::clock::Clock;
use zeroize::Zeroizing;

/// Longer than that none is good, whatever was set when it was signed.
const MOST_S: i64 = 3600;
/// By how much a clock elsewhere may go wrong, in seconds.
const LEEWAY_S: i64 = 5;
/// How long a key signs, in milliseconds: 30 days.
const SIGNS_MS: i64 = 30 * 24 * 3600 * 1000;
const ISSUER: &str = "wardroom";
const AUDIENCE: &str = "wardroom-api";
const TYPE: &str = "at+jwt";
/// Longer texts are no tokens of ours.
const LONGEST: usize = 2048;

/// What a token says.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    tenant_id: Uuid,
    /// The stay.
    sid: Uuid,
    jti: Uuid,
    iat: i64,
    exp: i64,
    roles: Vec<String>,
}

/// Whose a token is, and in which stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whose.
    pub tenant: TenantId,
    /// Which stay.
    pub stay: Uuid,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It was good.
    Expired,
    /// It never was.
    Invalid,
}

struct Signer {
    id: Uuid,
    private: EncodingKey,
    public: DecodingKey,
    created_ms: i64,
}

/// Who makes tokens and knows them again.
pub struct Tokens {
    /// The newest first.
    signers: RwLock<Vec<Arc<Signer>>>,
    clock: Arc<dyn Clock>,
    /// How long a token is good, in seconds.
    pub life_s: i64,
}

impl Tokens {
    /// One who knows no key; nothing is signed before [`Self::renew`].
    #[must_use]
    pub fn new(life_s: u32, clock: Arc<dyn Clock>) -> Self {
        Self { signers: RwLock::default(), clock, life_s: i64::from(life_s).clamp(1, MOST_S) }
    }

    /// Reads the keys, and makes a new one where the newest has signed for a month; to be called at the start, and every hour.
    ///
    /// # Errors
    /// The database's.
    pub async fn renew(&self, store: &Store) -> anyhow::Result<()> {
        let mut keys = store.signing_keys().await.context("the keys that sign tokens")?;
        let now = self.clock.unix_ms();
        if keys.first().is_none_or(|key| now - key.created_ms > SIGNS_MS) {
            let private = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
                .map_err(|_| anyhow::anyhow!("no key that signs tokens can be made"))?;
            let pair = Ed25519KeyPair::from_pkcs8(private.as_ref())
                .map_err(|_| anyhow::anyhow!("no key that signs tokens can be made"))?;
            let made = || SigningKey {
                id: Uuid::new_v4(),
                public: pair.public_key().as_ref().to_vec(),
                private: Zeroizing::new(private.as_ref().to_vec()),
                created_ms: now,
            };
            let key = made();
            let kept = SigningKey { id: key.id, ..made() };
            // The one before signed until now, and is believed until that has expired.
            let before = keys.first().map_or(now, |key| key.created_ms);
            store.add_signing_key(key, before).await.context("the keys that sign tokens")?;
            keys.retain(|key| key.created_ms >= before);
            keys.insert(0, kept);
        }
        let signer = |key: SigningKey| {
            Arc::new(Signer {
                id: key.id,
                private: EncodingKey::from_ed_der(&key.private),
                public: DecodingKey::from_ed_der(&key.public),
                created_ms: key.created_ms,
            })
        };
        *self.signers.write().unwrap_or_else(PoisonError::into_inner) = keys.into_iter().map(signer).collect();
        Ok(())
    }

    fn signers(&self) -> Vec<Arc<Signer>> {
        self.signers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A token for a person who stays; `None` for somebody else, and where there is no key.
    #[must_use]
    pub fn make(&self, holder: &Holder) -> Option<String> {
        let (signer, now) = (self.signers().into_iter().next()?, self.clock.unix_ms() / 1000);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: holder.user.0,
            tenant_id: holder.tenant.0,
            sid: holder.stay?,
            jti: Uuid::new_v4(),
            iat: now,
            exp: now + self.life_s,
            roles: vec![holder.role?.name().to_owned()],
        };
        let header =
            Header { typ: Some(TYPE.to_owned()), kid: Some(signer.id.to_string()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &signer.private).ok()
    }

    /// What a token says, if it is one of ours.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, token: &str) -> Result<Said, Bad> {
        if token.len() > LONGEST {
            return Err(Bad::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Bad::Invalid)?;
        let strange = header.jwk.is_some() || header.jku.is_some() || header.x5u.is_some() || header.x5c.is_some();
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) || strange || header.crit.is_some() {
            return Err(Bad::Invalid);
        }
        let now_ms = self.clock.unix_ms();
        let signers = self.signers();
        let place = signers.iter().position(|signer| header.kid.as_deref() == Some(signer.id.to_string().as_str()));
        let place = place.ok_or(Bad::Invalid)?;
        // Since the next one was made it signs nothing.
        let next = place.checked_sub(1).and_then(|place| signers.get(place));
        if next.is_some_and(|next| now_ms - next.created_ms > (self.life_s + LEEWAY_S) * 1000) {
            return Err(Bad::Expired);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // By the server's own clock, below.
        validation.validate_exp = false;
        let signer = signers.get(place).ok_or(Bad::Invalid)?;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &signer.public, &validation).map_err(|_| Bad::Invalid)?.claims;
        let now = now_ms / 1000;
        if claims.iat > now + LEEWAY_S || claims.exp - claims.iat > MOST_S {
            return Err(Bad::Invalid);
        }
        if claims.exp <= now {
            return Err(Bad::Expired);
        }
        Ok(Said { tenant: TenantId(claims.tenant_id), stay: claims.sid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::repo::identity::Actions;
    use crate::store::repo::people::Role;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use wardroom_actors::domain::ids::UserId;
    use wardroom_actors::testing::SharedClock;

    fn signer(created_ms: i64) -> (Arc<Signer>, Vec<u8>) {
        let private = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let signer = Signer {
            id: Uuid::new_v4(),
            private: EncodingKey::from_ed_der(private.as_ref()),
            public: DecodingKey::from_ed_der(&public),
            created_ms,
        };
        (Arc::new(signer), public)
    }

    fn person() -> Holder {
        let stay = Uuid::new_v4();
        Holder {
            key: stay,
            stay: Some(stay),
            role: Some(Role::Viewer),
            has_second_factor: false,
            tenant: TenantId::generate(),
            user: UserId::generate(),
            is_admin: false,
            session: None,
            actions: Actions::NONE,
            files: false,
        }
    }

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    struct Ground {
        tokens: Tokens,
        clock: SharedClock,
        public: Vec<u8>,
    }

    fn ground() -> Ground {
        let clock = SharedClock::default();
        let tokens = Tokens::new(600, Arc::new(clock.clone()));
        let (signer, public) = signer(clock.unix_ms());
        tokens.signers.write().unwrap().push(signer);
        Ground { tokens, clock, public }
    }

    impl Ground {
        /// A token with another header or other claims, signed as it should be.
        fn signed(&self, header: &Value, claims: &Value) -> String {
            let text = format!("{}.{}", part(header), part(claims));
            let key = &self.tokens.signers()[0].private;
            let signature = jsonwebtoken::crypto::sign(text.as_bytes(), key, Algorithm::EdDSA).unwrap();
            format!("{text}.{signature}")
        }

        fn parts(&self, token: &str) -> (Value, Value) {
            let read = |place| {
                let text = URL_SAFE_NO_PAD.decode(token.split('.').nth(place).unwrap()).unwrap();
                serde_json::from_slice(&text).unwrap()
            };
            (read(0), read(1))
        }
    }

    fn with(value: &Value, field: &str, other: Value) -> Value {
        let mut value = value.clone();
        value[field] = other;
        value
    }

    proptest! {
        #[test]
        fn a_token_is_read_or_refused(
            text in ".{0,200}|([A-Za-z0-9_-]{0,90}\\.){2}[A-Za-z0-9_-]{0,90}",
            (place, other) in (any::<prop::sample::Index>(), "[A-Za-z0-9_.=-]"),
        ) {
            let Ground { tokens, .. } = ground();
            prop_assert!(tokens.read(&text).is_err());
            let token = tokens.make(&person()).unwrap();
            prop_assert!(tokens.read(&token).is_ok());
            let place = place.index(token.len());
            let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
            prop_assert_eq!(tokens.read(&changed).is_ok(), changed == token, "{}", changed);
        }
    }

    #[tokio::test]
    async fn a_key_signs_for_a_month_and_every_node_knows_it() {
        const DAY: u64 = 24 * 3600 * 1000;
        let clock = SharedClock::default();
        let store = crate::store::testing::store(Arc::new(clock.clone())).await;
        let [here, there] = [0, 1].map(|_| Tokens::new(600, Arc::new(clock.clone())));
        assert!(here.make(&person()).is_none(), "nothing is signed before there is a key");
        let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid;
        let both = async || {
            here.renew(&store).await.unwrap();
            there.renew(&store).await.unwrap();
            here.make(&person()).unwrap()
        };
        let first = both().await;
        assert!(there.read(&first).is_ok());
        clock.0.advance(30 * DAY);
        let late = both().await;
        assert_eq!(kid(&late), kid(&first), "it signs for a month");
        clock.0.advance(1000);
        let next = both().await;
        assert_ne!(kid(&next), kid(&first));
        for tokens in [&here, &there] {
            assert!(tokens.read(&late).is_ok() && tokens.read(&next).is_ok(), "what was signed is good until its end");
            assert_eq!(tokens.read(&first), Err(Bad::Expired));
        }
        clock.0.advance(31 * DAY);
        both().await;
        assert_eq!(store.signing_keys().await.unwrap().len(), 2, "the oldest is gone");
        assert_eq!(there.read(&late), Err(Bad::Invalid));
    }

    #[test]
    fn a_token_is_good_for_ten_minutes() {
        let Ground { tokens, clock, .. } = ground();
        let holder = person();
        let token = tokens.make(&holder).unwrap();
        let said = Said { tenant: holder.tenant, stay: holder.stay.unwrap() };
        assert_eq!(tokens.read(&token), Ok(said));
        clock.0.advance(599_000);
        assert_eq!(tokens.read(&token), Ok(said));
        clock.0.advance(1_000);
        assert_eq!(tokens.read(&token), Err(Bad::Expired));
        assert_eq!(tokens.make(&Holder { role: None, ..holder }), None, "a key is no person");
    }

    #[test]
    fn what_is_not_exactly_ours_is_nothing() {
        let ground = ground();
        let token = ground.tokens.make(&person()).unwrap();
        let (header, claims) = ground.parts(&token);
        assert!(ground.tokens.read(&ground.signed(&header, &claims)).is_ok(), "the test signs well");
        let iat = claims["iat"].as_i64().unwrap();
        let kid = header["kid"].clone();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&ground.public)});
        for (what, text) in [
            ("nothing", String::new()),
            ("two parts", token.rsplit_once('.').unwrap().0.to_owned()),
            ("no signature", format!("{}.", token.rsplit_once('.').unwrap().0)),
            ("too long", format!("{token}{}", "a".repeat(LONGEST))),
            ("another type", ground.signed(&with(&header, "typ", json!("JWT")), &claims)),
            ("no type", ground.signed(&with(&header, "typ", Value::Null), &claims)),
            ("a key of its own", ground.signed(&with(&header, "jwk", jwk), &claims)),
            ("a key elsewhere", ground.signed(&with(&header, "jku", json!("https://evil.example.com/keys")), &claims)),
            ("must be understood", ground.signed(&with(&header, "crit", json!(["exp"])), &claims)),
            ("an unknown key", ground.signed(&with(&header, "kid", json!(Uuid::new_v4().to_string())), &claims)),
            ("a key's path", ground.signed(&with(&header, "kid", json!("../../etc/passwd")), &claims)),
            ("no key", ground.signed(&with(&header, "kid", Value::Null), &claims)),
            ("for somebody else", ground.signed(&header, &with(&claims, "aud", json!("other")))),
            ("for nobody", ground.signed(&header, &with(&claims, "aud", Value::Null))),
            ("from somebody else", ground.signed(&header, &with(&claims, "iss", json!("other")))),
            ("of tomorrow", {
                let later = with(&claims, "iat", json!(iat + 3600));
                ground.signed(&header, &with(&later, "exp", json!(iat + 4200)))
            }),
            ("for ever", ground.signed(&header, &with(&claims, "exp", json!(iat + 86_400)))),
            ("without an end", ground.signed(&header, &with(&claims, "exp", Value::Null))),
            ("no stay", ground.signed(&header, &with(&claims, "sid", json!("x")))),
        ] {
            assert_eq!(ground.tokens.read(&text), Err(Bad::Invalid), "{what}");
        }
        // None, and a signature by the public key as if it were a shared secret.
        for alg in ["none", "None", "HS256"] {
            let text = format!("{}.{}", part(&json!({"alg": alg, "typ": TYPE, "kid": kid})), part(&claims));
            let secret = EncodingKey::from_secret(&ground.public);
            let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &secret, Algorithm::HS256).unwrap();
            for signature in ["", &signature] {
                assert_eq!(ground.tokens.read(&format!("{text}.{signature}")), Err(Bad::Invalid), "{alg}");
            }
        }
        // Each bit counts.
        let (text, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for place in 0..signature.len() {
            let mut other = signature.clone();
            other[place] ^= 1;
            assert_eq!(ground.tokens.read(&format!("{text}.{}", URL_SAFE_NO_PAD.encode(other))), Err(Bad::Invalid));
        }
    }

    #[test]
    fn a_key_that_signs_no_more_is_believed_until_its_last_token_has_expired() {
        let ground = ground();
        let token = ground.tokens.make(&person()).unwrap();
        let (next, _) = signer(ground.clock.unix_ms());
        ground.tokens.signers.write().unwrap().insert(0, next);
        let newer = ground.tokens.make(&person()).unwrap();
        assert!(ground.tokens.read(&token).is_ok() && ground.tokens.read(&newer).is_ok());
        ground.clock.0.advance((600 + LEEWAY_S + 1).unsigned_abs() * 1000);
        // Also one that its key would sign later.
        let late = {
            let old = Arc::clone(&ground.tokens.signers()[1]);
            let tokens = Tokens::new(600, Arc::new(ground.clock.clone()));
            tokens.signers.write().unwrap().push(old);
            tokens.make(&person()).unwrap()
        };
        assert_eq!(ground.tokens.read(&late), Err(Bad::Expired));
    }
}
