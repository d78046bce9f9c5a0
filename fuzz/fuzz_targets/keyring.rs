//! Arbitrary texts as sealed secrets: no panic, nothing opens that the ring did not seal, no preview of more than it shows.

#![no_main]

use hookwire::keyring::{Key, KeyRing};
use hookwire::{SealedSecret, Secret, SecretUse, StoredSecret, SubscriptionId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let ring = KeyRing::new("2026-11", Key::from_bytes([7; 32])).expect("id is right");
    let id = SubscriptionId::from_u128(7);

    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<Key>();
        let _ = StoredSecret::from_storage(text);
        let _ = KeyRing::new(text, Key::from_bytes([8; 32]));
        // As it is, and behind what every sealed secret begins with.
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
    // One byte of it anywhere is another, as the input has it.
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
