//! Key rings: a sealed secret opens only in its own place, and its text shows nothing.

use hookwire::keyring::{Key, KeyRing, OpenError};
use hookwire::signature::{SealedSecret, SecretUse, StoredSecret};
use hookwire::subscription::{Authentication, Options};
use hookwire::{Error, ErrorKind, Secret, SubscriptionId};
use proptest::prelude::*;

#[test]
fn the_stored_form_is_the_one_that_an_independent_implementation_wrote() {
    // Written by a separate program after RFC 8439 and draft-irtf-cfrg-xchacha-03; that program passes the
    // draft's vector A.3.1.
    let ring = KeyRing::new("2026-11", Key::from_bytes(std::array::from_fn(|at| at as u8))).unwrap();
    let nonce = std::array::from_fn(|at| at as u8);
    let written = [
        (
            SecretUse::Signing,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "v1.2026-11.d2hzZWNfTWZLUTlyOEcuLi4.AAECAwQFBgcICQoLDA0ODxAREhMUFRYX6qd3C6ql5d1WJ3mDrRn50Tl_b-6kp2-_CHBq\
             5nmVvBUOXP-LcytoKLTG2R6x2ZbN_TahiicuEN9OwD8",
        ),
        (
            SecretUse::Credential,
            "open sesame",
            "v1.2026-11..AAECAwQFBgcICQoLDA0ODxAREhMUFRYX6qd3C6q9_ctdZFWruDPFjbwZWHeR_CKD12ofrDx2T8w",
        ),
    ];
    for (used, secret, text) in written {
        let secret: Secret = secret.parse().unwrap();
        assert_eq!(ring.seal_with_nonce(&secret, ID, used, nonce).as_str(), text);
        assert_eq!(ring.open(&SealedSecret::from_text(text), ID, used).unwrap(), secret);
    }
}

#[test]
fn the_same_secret_is_sealed_another_way_each_time() {
    let ring = ring();
    let [one, two] = [(); 2].map(|()| ring.seal(&secret(), ID, SecretUse::Signing).unwrap());
    assert_ne!(one, two);
    assert_eq!(
        ring.open(&one, ID, SecretUse::Signing).unwrap(),
        ring.open(&two, ID, SecretUse::Signing).unwrap()
    );
}

#[test]
fn no_part_of_what_was_cut_short_opens() {
    for used in USES {
        let sealed = ring().seal(&secret(), ID, used).unwrap();
        for len in 0..sealed.as_str().len() {
            let cut = SealedSecret::from_text(&sealed.as_str()[..len]);
            let error = ring().open(&cut, ID, used).unwrap_err();
            assert!(matches!(error, OpenError::Malformed | OpenError::Altered), "{len}: {error:?}");
            let tail = SealedSecret::from_text(&sealed.as_str()[sealed.as_str().len() - len..]);
            ring().open(&tail, ID, used).unwrap_err();
        }
    }
}

#[test]
fn no_flipped_bit_is_taken() {
    for used in USES {
        let sealed = ring().seal(&secret(), ID, used).unwrap();
        let mut tried = 0;
        for at in 0..sealed.as_str().len() {
            for bit in 0..8 {
                let mut bytes = sealed.as_str().as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                // A flipped highest bit is invalid UTF-8, which no store can return as text.
                let Ok(text) = String::from_utf8(bytes) else {
                    assert_eq!(bit, 7);
                    continue;
                };
                ring().open(&SealedSecret::from_text(text), ID, used).unwrap_err();
                tried += 1;
            }
        }
        assert_eq!(tried, 7 * sealed.as_str().len());
    }
}

#[test]
fn what_is_sealed_for_one_subscription_or_use_opens_in_no_other() {
    let sealed = ring().seal(&secret(), ID, SecretUse::Signing).unwrap();
    let other = SubscriptionId::from_u128(ID.as_u128() ^ 1);
    assert_eq!(ring().open(&sealed, other, SecretUse::Signing), Err(OpenError::Altered));
    assert_eq!(ring().open(&sealed, ID, SecretUse::Credential), Err(OpenError::Altered));
    let credential = ring().seal(&secret(), ID, SecretUse::Credential).unwrap();
    assert_eq!(ring().open(&credential, ID, SecretUse::Signing), Err(OpenError::Altered));
}

#[test]
fn a_preview_of_another_secret_is_not_taken() {
    let [mine, other] = ["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"]
        .map(|text| ring().seal(&text.parse().unwrap(), ID, SecretUse::Signing).unwrap());
    let preview = |sealed: &SealedSecret| sealed.as_str().split('.').nth(2).unwrap().to_owned();
    let text = mine.as_str().replacen(&preview(&mine), &preview(&other), 1);
    let swapped = SealedSecret::from_text(text);
    assert_eq!(swapped.preview(), "whsec_BBBBBBBB...");
    assert_eq!(ring().open(&swapped, ID, SecretUse::Signing), Err(OpenError::Altered));
}

#[test]
fn one_key_seals_and_all_open() {
    let old = KeyRing::new("old", Key::from_bytes([1; 32])).unwrap();
    let ring = KeyRing::new("new", Key::from_bytes([2; 32]))
        .unwrap()
        .with_key("old", Key::from_bytes([1; 32]))
        .unwrap()
        .with_key("older", Key::from_bytes([3; 32]))
        .unwrap();
    let by_old = old.seal(&secret(), ID, SecretUse::Signing).unwrap();
    assert_eq!(ring.open(&by_old, ID, SecretUse::Signing).unwrap(), secret());
    assert!(!ring.is_current(&by_old) && old.is_current(&by_old));
    let by_new = ring.seal(&secret(), ID, SecretUse::Signing).unwrap();
    assert_eq!(by_new.key_id(), Some("new"));
    assert!(ring.is_current(&by_new));
    let error = old.open(&by_new, ID, SecretUse::Signing).unwrap_err();
    assert!(matches!(&error, OpenError::UnknownKey { id, .. } if id == "new"), "{error:?}");
    assert_eq!(
        error.to_string(),
        "secret is sealed with key new, which is not in the key ring, expected a ring with that key"
    );
    assert_eq!(ring.ids().collect::<Vec<_>>(), ["new", "old", "older"]);
    assert!(!ring.is_current(&SealedSecret::from_text("v1.new")), "it is of no form");
}

#[test]
fn another_key_of_the_same_id_does_not_open() {
    let sealed = ring().seal(&secret(), ID, SecretUse::Signing).unwrap();
    let other = KeyRing::new("2026-11", Key::from_bytes([8; 32])).unwrap();
    assert_eq!(other.open(&sealed, ID, SecretUse::Signing), Err(OpenError::Altered));
}

#[test]
fn a_later_version_is_told_as_one_that_cannot_be_read() {
    let sealed = ring().seal(&secret(), ID, SecretUse::Signing).unwrap();
    let later = SealedSecret::from_text(sealed.as_str().replacen("v1.", "v2.", 1));
    assert_eq!(ring().open(&later, ID, SecretUse::Signing), Err(OpenError::Malformed));
    assert_eq!((later.key_id(), later.preview().as_str()), (None, "..."));
    let error = Error::from(OpenError::Malformed);
    assert_eq!(error.kind(), ErrorKind::KeyRing);
    assert_eq!(
        error.to_string(),
        "sealed secret is damaged or of a newer version, expected a complete v1 text"
    );
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref::<OpenError>(), Some(&OpenError::Malformed));
}

#[test]
fn ids_of_keys_are_words_and_each_is_there_once() {
    let longest = "k".repeat(64);
    for id in ["a", "2026-11", "key_1", &longest] {
        KeyRing::new(id, key()).unwrap();
    }
    let too_long = "k".repeat(65);
    for id in ["", "a.b", "a b", "é", "a\n", &too_long] {
        let error = KeyRing::new(id, key()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyRing);
        assert_eq!(
            error.to_string(),
            "key id is not valid, expected 1 to 64 letters, digits, hyphens and underscores"
        );
    }
    let error = ring().with_key("2026-11", Key::from_bytes([9; 32])).unwrap_err();
    assert_eq!(error.to_string(), "key id 2026-11 is there already, expected one id for each key");
}

#[test]
fn a_key_is_32_bytes_of_base64_and_comes_back_as_it_was() {
    let text = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    assert_eq!(*key().expose(), text);
    for text in [text, text.trim_end_matches('=')] {
        assert_eq!(*text.parse::<Key>().unwrap().expose(), *key().expose());
    }
    let (short, long) = ("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBw==", format!("BwcH{text}"));
    for wrong in ["", short, &long, &text[1..], "correct horse battery staple", &text.replace('w', "*")] {
        let error = wrong.parse::<Key>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyRing);
        assert_eq!(error.to_string(), "key is not valid, expected 32 bytes in base64");
    }
    assert_ne!(*Key::generate().expose(), *Key::generate().expose());
}

#[test]
fn debug_and_errors_show_ids_of_keys_and_no_more() {
    let ring = ring().with_key("old", Key::from_bytes([1; 32])).unwrap();
    let sealed = ring.seal(&secret(), ID, SecretUse::Signing).unwrap();
    assert_eq!(format!("{ring:?}"), r#"KeyRing { seals: Some("2026-11"), opens: ["old"], .. }"#);
    assert_eq!(format!("{:?}", key()), "Key(..)");
    assert_eq!(format!("{sealed:?}"), "SealedSecret(key 2026-11, ..)");
    assert_eq!(format!("{:?}", StoredSecret::from(sealed)), "SealedSecret(key 2026-11, ..)");
    assert_eq!(format!("{:?}", StoredSecret::from(secret())), "Secret(..)");
    assert_eq!(format!("{:?}", SealedSecret::from_text("hush-hush")), "SealedSecret(key unknown, ..)");
}

#[test]
fn a_sealed_secret_goes_through_a_store_and_a_plain_one_beside_it() {
    let sealed = StoredSecret::from(ring().seal(&secret(), ID, SecretUse::Signing).unwrap());
    for stored in
        [sealed.clone(), StoredSecret::from(secret()), StoredSecret::from(Secret::from_bytes([7; 32]))]
    {
        assert_eq!(StoredSecret::from_storage(&stored.to_storage()).unwrap(), stored);
    }
    assert!(!sealed.to_storage().contains(secret().expose()));
    assert_eq!(sealed.preview(), secret().preview());
    let plain = StoredSecret::from(secret());
    assert!(sealed != secret() && plain == secret());
    for text in ["", "seal", "sealed", "enc:v9:garbled"] {
        let error = StoredSecret::from_storage(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Secret);
    }
}

#[test]
fn of_a_preview_that_no_secret_has_nothing_is_shown() {
    let long = format!("{}...", "x".repeat(39));
    for preview in ["whole secret", "\u{1b}[31m...", &long] {
        use base64::Engine as _;
        let preview = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(preview);
        assert_eq!(SealedSecret::from_text(format!("v1.one.{preview}.AAAA")).preview(), "...");
    }
    let credential = ring().seal(&secret(), ID, SecretUse::Credential).unwrap();
    assert_eq!(credential.preview(), "...", "of a credential no part is shown");
}

#[test]
fn a_sealed_credential_is_sent_by_nobody_who_has_not_opened_it() {
    let sealed = ring().seal(&"open sesame".parse().unwrap(), ID, SecretUse::Credential).unwrap();
    let subscription =
        subscription(Authentication::basic("Aladdin", "open sesame".parse().unwrap()).unwrap())
            .try_map_secrets(|_, _| Ok(sealed.clone().into()))
            .unwrap();
    let options = Options::from_storage(&subscription.options.to_storage()).unwrap();
    assert_eq!(options, subscription.options);
    assert_eq!(options.authentication().secret(), Some(&sealed.into()));
    let mut headers = http::HeaderMap::new();
    let error = options.apply(&mut headers, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "credentials are sealed, expected them opened by their key ring (`Dispatcher::with_key_ring`)"
    );
    assert!(headers.is_empty());
    assert!(options.with_header("authorization", "Basic x").is_err(), "it still has its header");
}

#[test]
fn a_credential_is_judged_when_it_is_opened() {
    let bearer = subscription(Authentication::bearer("mF_9".parse().unwrap()).unwrap());
    let error = bearer.try_map_secrets(|_, _| Ok("two words".parse::<Secret>()?.into())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Subscription);
    assert!(error.to_string().starts_with("bearer token is not valid"), "{error}");
}

proptest! {
    #[test]
    fn every_secret_comes_back(text in "\\PC{1,80}", bytes in any::<Vec<u8>>(), id in any::<u128>(), nonce in any::<[u8; 24]>()) {
        let mut secrets = vec![Secret::from_bytes(bytes)];
        secrets.extend(text.parse());
        let id = SubscriptionId::from_u128(id);
        for secret in secrets {
            for used in USES {
                let sealed = ring().seal_with_nonce(&secret, id, used, nonce);
                prop_assert_eq!(&ring().open(&sealed, id, used).unwrap(), &secret);
                prop_assert_eq!(sealed.key_id(), Some("2026-11"));
                let preview = if used == SecretUse::Signing { secret.preview() } else { "...".to_owned() };
                prop_assert_eq!(sealed.preview(), preview);
            }
        }
    }

    #[test]
    fn no_text_of_a_strangers_opens(text in "(v1\\.)?(2026-11\\.)?[A-Za-z0-9_-]{0,8}\\.?\\PC{0,80}") {
        let sealed = SealedSecret::from_text(text);
        prop_assert!(ring().open(&sealed, ID, SecretUse::Signing).is_err());
        prop_assert!(sealed.preview().ends_with("..."));
    }

    #[test]
    fn a_text_with_anything_else_in_a_place_does_not_open(at in any::<prop::sample::Index>(), other in any::<char>()) {
        let sealed = ring().seal_with_nonce(&secret(), ID, SecretUse::Signing, [5; 24]);
        let mut text: Vec<char> = sealed.as_str().chars().collect();
        let at = at.index(text.len());
        prop_assume!(text[at] != other);
        text[at] = other;
        let altered = SealedSecret::from_text(text.into_iter().collect::<String>());
        prop_assert!(ring().open(&altered, ID, SecretUse::Signing).is_err());
    }
}

fn subscription(authentication: Authentication) -> hookwire::Subscription {
    let url =
        hookwire::EndpointUrl::parse("https://hooks.example.com/", &hookwire::AddressPolicy::new()).unwrap();
    let options = Options::new().with_authentication(authentication).unwrap();
    hookwire::Subscription::new("org_1", &hookwire::Contract::allison(), url, hookwire::EventFilter::all())
        .with_options(options)
}

fn ring() -> KeyRing {
    KeyRing::new("2026-11", key()).unwrap()
}

fn key() -> Key {
    Key::from_bytes([7; 32])
}

fn secret() -> Secret {
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()
}

const ID: SubscriptionId = SubscriptionId::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001);
const USES: [SecretUse; 2] = [SecretUse::Signing, SecretUse::Credential];
