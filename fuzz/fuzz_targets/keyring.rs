//! Opens arbitrary texts as sealed secrets: no panic, only the ring's own secrets open, and previews stay
//! short.

#![no_main]

use hookwire::keyring::{Key, KeyRing};
use hookwire::signature::{SealedSecret, SecretUse, StoredSecret};
use hookwire::{Secret, SubscriptionId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let ring = KeyRing::new("2026-11", Key::from_bytes([7; 32])).expect("id is right");
    let id = SubscriptionId::from_u128(7);

    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Key>();
        let _ = StoredSecret::from_storage(text);
        let _ = KeyRing::new(text, Key::from_bytes([8; 32]));
        // The text alone, and after the prefix of every sealed secret.
        for text in [text.to_owned(), format!("v1.2026-11.{text}"), format!("v1.2026-11.d2g.{text}")] {
            let sealed = SealedSecret::from_text(text);
            assert!(ring.open(&sealed, id, SecretUse::Signing).is_err(), "nobody here has the key");
            assert!(sealed.preview().ends_with("..."));
            let _ = (sealed.key_id(), format!("{sealed:?}"));
            let stored = StoredSecret::from(sealed);
            assert!(StoredSecret::from_storage(&stored.to_storage()).expect("what was stored is read") == stored);
        }
    }

    let secret = Secret::from_bytes(bytes);
    let sealed = ring.seal_with_nonce(&secret, id, SecretUse::Signing, [5; 24]);
    assert!(ring.open(&sealed, id, SecretUse::Signing).expect("what was sealed opens") == secret);
    // The input says which byte changes, and into which.
    if let [at, other, ..] = bytes {
        let mut text = sealed.as_str().as_bytes().to_vec();
        let at = usize::from(*at) % text.len();
        if text[at] != *other {
            text[at] = *other;
            if let Ok(text) = String::from_utf8(text) {
                assert!(ring.open(&SealedSecret::from_text(text), id, SecretUse::Signing).is_err());
            }
        }
    }
});
