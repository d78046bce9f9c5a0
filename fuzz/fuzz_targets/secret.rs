//! Reads arbitrary texts and bytes as secrets: no panic, no preview of more than a quarter, and nothing is
//! lost when stored.

#![no_main]

use hookwire::{Scheme, Secret, Signer, Verifier};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let raw = Secret::from_bytes(bytes);
    assert_eq!(raw.decoded_len(), Some(bytes.len()));
    check(&raw);

    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Secret::from_storage(text);
    if let Ok(secret) = text.parse::<Secret>() {
        check(&secret);
        assert_eq!(secret.expose().parse::<Secret>().expect("what was taken is taken again"), secret);
    }
});

fn check(secret: &Secret) {
    let preview = secret.preview();
    let whole = secret.expose();
    let prefix = PREFIXES.into_iter().find(|prefix| whole.starts_with(prefix)).unwrap_or_default();
    let rest = &whole[prefix.len()..];
    let shown = preview
        .strip_prefix(prefix)
        .and_then(|shown| shown.strip_suffix("..."))
        .expect("a preview is the prefix, some characters and three dots");
    assert!(rest.starts_with(shown));
    assert!(shown.chars().count() <= 8 && shown.chars().count() * 4 <= rest.chars().count());
    assert_eq!(format!("{secret:?}"), "Secret(..)");

    let stored = secret.to_storage();
    assert_eq!(&Secret::from_storage(&stored).expect("what was stored is read"), secret);

    for scheme in SCHEMES {
        let _ = Signer::new(scheme, secret);
        let _ = Verifier::new(scheme, secret);
    }
}

const PREFIXES: [&str; 3] = ["whsec_", "whsk_", "whpk_"];
const SCHEMES: [Scheme; 3] = [Scheme::ALLISON, Scheme::STANDARD_WEBHOOKS, Scheme::STANDARD_WEBHOOKS_ED25519];
