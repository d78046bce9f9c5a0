//! Secrets: accepted texts, previews, and no leaks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookwire::{Error, ErrorKind, Scheme, Secret, Signer, Verifier};
use proptest::prelude::*;

use super::signature::SCHEMES;

#[test]
fn text_is_taken_as_it_is() {
    for text in
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "It's a Secret to Everybody", "é", "v1,", "v1,hush"]
    {
        assert_eq!(secret(text).expose(), text);
    }
}

#[test]
fn a_pasted_version_is_cut_off() {
    assert_eq!(secret("v1,whsec_abc").expose(), "whsec_abc");
    assert_eq!(secret("v1a,whsk_abc").expose(), "whsk_abc");
    assert_eq!(secret("v1a,whpk_abc").expose(), "whpk_abc");
    // No platform shows this prefix, so it may be a part of the secret.
    assert_eq!(secret("v1a,whsec_abc").expose(), "v1a,whsec_abc");
}

#[test]
fn an_ed25519_key_behind_the_wrong_version_is_no_hmac_key_either() {
    for text in ["v1,whpk_abc", "v1,whsk_abc"] {
        for scheme in [Scheme::ALLISON, Scheme::GITHUB, Scheme::STANDARD_WEBHOOKS] {
            let error = Verifier::new(scheme, &secret(text)).unwrap_err();
            assert!(error.to_string().contains("is an Ed25519 key"), "{error}");
        }
    }
}

#[test]
fn a_refused_text_is_told_why() {
    let cases = [
        ("", "secret is empty, expected at least one character"),
        (" hush", "secret begins or ends with white space, expected text without"),
        ("hush\u{a0}", "secret begins or ends with white space, expected text without"),
        ("hush\n", "secret holds a control character, such as a line break, expected text without"),
        ("hu\0sh", "secret holds a control character, such as a line break, expected text without"),
    ];
    for (text, message) in cases {
        let error = text.parse::<Secret>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Secret);
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_base64_scheme_needs_16_bytes_of_canonical_base64_with_or_without_its_padding() {
    let judge = |text: &str| Verifier::new(Scheme::STANDARD_WEBHOOKS, &secret(text));
    let sixteen = STANDARD.encode([7; 16]);
    judge(&format!("whsec_{sixteen}")).unwrap();
    judge(&sixteen).unwrap();
    judge(sixteen.trim_end_matches('=')).unwrap();

    let error = judge(&format!("whsec_{}", STANDARD.encode([7; 15]))).unwrap_err();
    assert_eq!(error.to_string(), "secret is a key of 15 bytes, standard_webhooks expects at least 16");
    for text in ["whsec_", "whsec_hush hush hush hush hush", "BwcHBwcHBwcHBwcHBwcHBx==", "whsec_whsec_AAAA"] {
        let error = judge(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Secret);
    }
    assert_eq!(
        judge("BwcHBwcHBwcHBwcHBwcHBx==").unwrap_err().to_string(),
        "secret is not canonical base64 after whsec_, as standard_webhooks expects it"
    );
}

#[test]
fn a_text_scheme_takes_the_whole_text_prefix_included() {
    let sign = |secret: &Secret| {
        let now = time::OffsetDateTime::UNIX_EPOCH;
        Signer::new(Scheme::ALLISON, secret).unwrap().signature("evt_1", now, b"{}").unwrap()
    };
    assert_eq!(sign(&secret("whsec_abc")), sign(&Secret::from_bytes("whsec_abc")));
    assert_ne!(sign(&secret("whsec_abc")), sign(&secret("abc")));
    assert_eq!(sign(&secret("x")), sign(&Secret::from_bytes("x")));
}

#[test]
fn raw_bytes_are_the_key_under_every_scheme() {
    let raw = Secret::from_bytes([7; 32]);
    let now = time::OffsetDateTime::UNIX_EPOCH;
    let sign =
        |scheme, secret: &Secret| Signer::new(scheme, secret).unwrap().signature("i", now, b"").unwrap();
    let text = secret(&format!("whsec_{}", STANDARD.encode([7; 32])));
    assert_eq!(raw.expose(), text.expose());
    assert_eq!(sign(Scheme::STANDARD_WEBHOOKS, &raw), sign(Scheme::STANDARD_WEBHOOKS, &text));
    assert_ne!(sign(Scheme::ALLISON, &raw), sign(Scheme::ALLISON, &text));
    assert_ne!(raw, text);
}

#[test]
fn raw_bytes_are_judged_by_length() {
    for scheme in SCHEMES {
        assert_eq!(Verifier::new(scheme, &Secret::from_bytes([])).unwrap_err().kind(), ErrorKind::Secret);
    }
    Verifier::new(Scheme::GITHUB, &Secret::from_bytes([7])).unwrap();
    Verifier::new(Scheme::SVIX, &Secret::from_bytes([7; 15])).unwrap_err();
    Verifier::new(Scheme::SVIX, &Secret::from_bytes([7; 16])).unwrap();
}

#[test]
fn an_ed25519_key_is_never_an_hmac_key() {
    let text = STANDARD.encode([7; 32]);
    for scheme in SCHEMES {
        for secret in [secret(&format!("whpk_{text}")), secret(&format!("whsk_{text}"))] {
            let errors = [Signer::new(scheme, &secret).map(drop), Verifier::new(scheme, &secret).map(drop)];
            for error in errors {
                assert_eq!(
                    error.unwrap_err().to_string(),
                    format!(
                        "secret is an Ed25519 key (whsk_ or whpk_) and {} signs with HMAC, expected a whsec_ \
                         secret or the scheme standard_webhooks_ed25519",
                        scheme.name()
                    )
                );
            }
        }
    }
}

#[test]
fn a_generated_secret_is_32_random_bytes_and_good_for_every_scheme() {
    let fresh = Secret::generate();
    assert_ne!(fresh, Secret::generate());
    let encoded = fresh.expose().strip_prefix("whsec_").unwrap();
    assert_eq!(STANDARD.decode(encoded).unwrap().len(), 32);
    assert_eq!(fresh.decoded_len(), Some(32));
    for scheme in SCHEMES {
        Signer::new(scheme, &fresh).unwrap();
    }
}

#[test]
fn the_decoded_length_is_had_only_from_base64() {
    assert_eq!(secret(&format!("whsec_{}", STANDARD.encode([0; 24]))).decoded_len(), Some(24));
    assert_eq!(secret(&STANDARD.encode([0; 64])).decoded_len(), Some(64));
    assert_eq!(Secret::from_bytes([0; 5]).decoded_len(), Some(5));
    assert_eq!(secret("whpk_AAAA").decoded_len(), None);
    assert_eq!(secret("no base64").decoded_len(), None);
}

#[test]
fn a_preview_keeps_the_prefix_and_at_most_a_quarter() {
    let cases = [
        ("whsec_ABC12345XYZ67890abcdefghijklmnop", "whsec_ABC12345..."),
        ("whsec_ABC12345XYZ", "whsec_AB..."),
        ("whsec_ABC", "whsec_..."),
        ("whsk_ABC12345XYZ67890abcdefghijklmnop", "whsk_ABC12345..."),
        ("whpk_ABC1", "whpk_A..."),
        ("hush", "h..."),
        ("é", "..."),
        ("ééééüüüü", "éé..."),
    ];
    for (text, preview) in cases {
        assert_eq!(secret(text).preview(), preview);
    }
}

#[test]
fn equality_is_of_the_whole() {
    assert_eq!(secret("hush"), secret("hush"));
    assert_ne!(secret("hush"), secret("husk"));
    assert_ne!(secret("hush"), secret("hushh"));
}

#[test]
fn a_stored_secret_in_an_unknown_form_is_refused_without_repeating_it() {
    for stored in ["", "hush-hush", "raw:hush-hush", "raw:whsec_hush-hush", "TEXT:hush-hush", "text:"] {
        let error = Secret::from_storage(stored).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Secret);
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[test]
fn a_secret_is_read_by_serde_from_text_alone_and_an_error_does_not_repeat_it() {
    let read = serde_json::from_str::<Secret>;
    assert_eq!(read(r#""v1,whsec_abc""#).unwrap().expose(), "whsec_abc");
    assert_eq!(read(r#""es\u0063aped""#).unwrap().expose(), "escaped");
    let value = serde_json::json!("hush");
    assert_eq!(serde_json::from_value::<Secret>(value).unwrap().expose(), "hush");

    for json in [
        "8675309",
        "-8675309",
        "8675309.5",
        "86753098675309867530986753098675309",
        r#"" 8675309""#,
        r#""8675309\n""#,
        r#"["8675309"]"#,
        r#"{"8675309":"8675309"}"#,
        "true",
        "null",
    ] {
        let error = read(json).unwrap_err().to_string();
        assert!(!error.contains("8675309") && !error.contains("true"), "{json}: {error}");
        let Ok(value) = serde_json::from_str::<serde_json::Value>(json) else { continue };
        let error = serde_json::from_value::<Secret>(value).unwrap_err().to_string();
        assert!(!error.contains("8675309") && !error.contains("true"), "{json}: {error}");
    }
}

#[test]
fn debug_shows_no_key_material() {
    for secret in secrets() {
        let mut shown = vec![format!("{secret:?} {secret:#?}")];
        for scheme in SCHEMES {
            let Ok(signer) = Signer::new(scheme, &secret) else { continue };
            let verifier = Verifier::new(scheme, &secret).unwrap();
            shown.push(format!("{signer:?} {signer:#?} {verifier:?} {verifier:#?}"));
            let now = time::OffsetDateTime::UNIX_EPOCH;
            let headers = signer.sign("i", now, b"payload").unwrap();
            let verified = verifier.verify_at(&headers, b"payload", now).unwrap();
            shown.push(format!("{verified:?} {:?}", verifier.dangerous()));
            assert!(!format!("{verified:?}").contains("payload"));
        }
        for text in shown {
            assert_hides(&text, &secret);
        }
    }
}

#[test]
fn no_error_shows_key_material() {
    for secret in secrets() {
        let mut errors: Vec<Error> = Vec::new();
        for scheme in SCHEMES {
            errors.extend(Signer::new(scheme, &secret).err());
            errors.extend(Verifier::new(scheme, &secret).err());
            let Ok(signer) = Signer::new(scheme, &secret) else { continue };
            errors.extend(signer.sign("", time::OffsetDateTime::UNIX_EPOCH, b"").err());
        }
        errors.extend(format!("{}\n", secret.expose()).parse::<Secret>().err());
        errors.extend(format!(" {}", secret.expose()).parse::<Secret>().err());
        errors.extend(Secret::from_storage(secret.expose()).err());
        assert!(errors.len() >= 3);
        for error in errors {
            assert_hides(&format!("{error} {error:?} {error:#?}"), &secret);
        }
    }
}

proptest! {
    #[test]
    fn a_preview_never_shows_more_than_a_quarter(text in "\\PC{1,80}") {
        let Ok(secret) = text.parse::<Secret>() else { return Ok(()) };
        let whole = secret.expose();
        let prefix = ["whsec_", "whsk_", "whpk_"].into_iter().find(|prefix| whole.starts_with(prefix)).unwrap_or("");
        let preview = secret.preview();
        let shown = preview.strip_prefix(prefix).unwrap().strip_suffix("...").unwrap();
        let rest = whole.strip_prefix(prefix).unwrap();
        prop_assert!(rest.starts_with(shown));
        prop_assert!(shown.chars().count() <= 8 && shown.chars().count() * 4 <= rest.chars().count());
    }

    #[test]
    fn storing_loses_neither_text_nor_raw_bytes(text in "\\PC{1,80}", bytes in any::<Vec<u8>>()) {
        let mut secrets = vec![Secret::from_bytes(bytes)];
        secrets.extend(text.parse());
        for secret in secrets {
            prop_assert_eq!(&Secret::from_storage(&secret.to_storage()).unwrap(), &secret);
        }
    }

    #[test]
    fn an_exposed_text_parses_to_the_same_secret(text in "(v1,|v1a,)?(whsec_|whsk_|whpk_)?\\PC{0,40}") {
        let Ok(secret) = text.parse::<Secret>() else { return Ok(()) };
        prop_assert_eq!(secret.expose().parse::<Secret>().unwrap(), secret);
    }
}

fn assert_hides(shown: &str, secret: &Secret) {
    let text = secret.expose();
    let rest =
        ["whsec_", "whsk_", "whpk_"].into_iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    let mut forms =
        vec![text.to_owned(), rest.to_owned(), hex::encode(text), hex::encode(rest), STANDARD.encode(text)];
    if let Ok(key) = STANDARD.decode(rest) {
        forms.extend([hex::encode(&key), format!("{key:?}"), STANDARD.encode(&key)]);
    }
    forms.push(format!("{:?}", text.as_bytes()));
    for form in forms {
        assert!(!shown.to_lowercase().contains(&form.to_lowercase()), "{form} is in {shown}");
    }
}

fn secrets() -> Vec<Secret> {
    let key = STANDARD.encode(*b"thirty-two bytes of key material");
    vec![
        secret(&format!("whsec_{key}")),
        secret(&key),
        secret("It's a Secret to Everybody"),
        secret("whsec_dG9vIHNob3J0"),
        secret(&format!("whsk_{key}")),
        secret(&format!("whpk_{key}")),
        Secret::from_bytes(b"thirty-two bytes of key material"),
        Secret::from_bytes(b"too short"),
    ]
}

fn secret(text: &str) -> Secret {
    text.parse().unwrap()
}
