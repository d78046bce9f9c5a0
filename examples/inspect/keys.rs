//! Makes the keys that a secret may stand for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookwire::{Scheme, Secret, Verifier};

use crate::mistakes::Try;
use crate::schemes::scheme_for;

/// The secret as it was given, and after it the secret as it may have been before somebody copied it.
pub(crate) fn keys(scheme: Scheme, given: &str) -> Vec<Try<Verifier>> {
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    for Try { value: text, mistakes } in texts(given) {
        let parsed = text.parse::<Secret>().ok();
        // A scheme of our own: this one with the other form of the key.
        let (other, mistake) = if scheme == scheme.with_base64_key() {
            (verifier(scheme, Some(Secret::from_bytes(&text))), TEXT_KEY)
        } else {
            (verifier(scheme.with_base64_key(), parsed.clone()), BASE64_KEY)
        };
        let mistaken = mistakes.iter().copied().chain([mistake]).collect();
        others.extend(other.map(|value| Try { value, mistakes: mistaken }));
        keys.extend(verifier(scheme, parsed).map(|value| Try { value, mistakes }));
    }
    // Keys in the scheme's own form come first, because they are the likelier explanation.
    keys.extend(others);
    keys
}

fn verifier(scheme: Scheme, secret: Option<Secret>) -> Option<Verifier> {
    let secret = secret?;
    Verifier::new(scheme_for(scheme, &secret), &secret).ok()
}

/// The texts that a secret may have been before somebody copied it.
pub(crate) fn texts(given: &str) -> Vec<Try<String>> {
    let mut texts: Vec<Try<String>> = Vec::new();
    let mut add = |value: String, mistakes: Vec<&'static str>| {
        if !value.is_empty() && texts.iter().all(|known| known.value != value) {
            texts.push(Try { value, mistakes });
        }
    };
    // The secret itself comes first, so that no mistake is reported if it is right.
    add(given.to_owned(), vec![]);
    let trimmed = given.trim();
    add(trimmed.to_owned(), vec![AROUND]);
    let bare = trimmed.trim_matches(['"', '\'']);
    add(bare.to_owned(), vec![QUOTED]);
    // A file in which `\n` means a line break. White space of the secret's own stays.
    add(bare.replace("\\n", "").replace("\\r", ""), vec![INSIDE]);
    // A secret that is broken over lines.
    let whole = bare.replace("\\n", "").replace("\\r", "").replace(char::is_whitespace, "");
    add(whole.clone(), vec![INSIDE]);
    let standard = whole.replace('-', "+").replace('_', "/").replacen("whsec/", "whsec_", 1);
    add(standard.clone(), vec![URL_SAFE]);
    if let padding @ 1..=2 = standard.trim_start_matches("whsec_").len().wrapping_neg() % 4 {
        add(standard + &"=".repeat(padding), vec![UNPADDED]);
    }
    let unpacked = STANDARD.decode(&whole).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(text) = unpacked.filter(|text| text.trim().chars().all(|char| char.is_ascii_graphic())) {
        add(text.trim().to_owned(), vec![TWICE]);
    }
    let (prefixed, mistake) = match whole.strip_prefix("whsec_") {
        Some(rest) => (rest.to_owned(), WITHOUT_PREFIX),
        None => (format!("whsec_{whole}"), WITH_PREFIX),
    };
    let besides = if whole == given { None } else { Some(AROUND_OR_INSIDE) };
    add(prefixed, besides.into_iter().chain([mistake]).collect());
    texts
}

const AROUND: &str = "the secret was given with white space around it; without, the signature is right";
const QUOTED: &str = "the secret was given with quotes around it; without, the signature is right";
const INSIDE: &str =
    "the secret was given with white space or a line break inside; without, the signature is right";
const AROUND_OR_INSIDE: &str = "the secret was given with white space or quotes, which do not belong to it";
const URL_SAFE: &str =
    "the secret was given with - and _ where base64 has + and /; with those, the signature is right";
const UNPADDED: &str = "the secret was given without the = at its end; with it, the signature is right";
const TWICE: &str = "the secret was given in base64 once more, as Kubernetes shows its secrets; decoded, the signature is right";
const WITHOUT_PREFIX: &str = "the signature is right without the whsec_ before the secret";
const WITH_PREFIX: &str = "the signature is right with whsec_ before the secret, which belongs to it";
const BASE64_KEY: &str = "the signature is right when the key is what the secret decodes to as base64 (after whsec_): \
                          the sender takes another form of key than this scheme has";
const TEXT_KEY: &str = "the signature is right when the key is the secret's text, not decoded as base64: the sender \
                        takes another form of key than this scheme has";
