//! The key ring that seals secrets in the store.

use std::error::Error;
use std::fs;
use std::num::NonZeroU32;
use std::sync::Arc;

use hookwire::keyring::Key;
use hookwire::{KeyRing, Subscriptions};
use zeroize::Zeroizing;

/// Reads lines with a key's id and the key. The first key seals. Empty lines and lines that begin with `#`
/// are skipped.
pub(crate) fn read(file: &str) -> Result<KeyRing, Box<dyn Error>> {
    let text = fs::read_to_string(file).map_err(|error| format!("--key-ring cannot be read: {error}"))?;
    let text = Zeroizing::new(text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut ring: Option<KeyRing> = None;
    for line in lines {
        let (id, key) = line.split_once(char::is_whitespace).ok_or(FORM)?;
        let key: Key = key.trim().parse()?;
        ring = Some(match ring {
            None => KeyRing::new(id, key)?,
            Some(ring) => ring.with_key(id, key)?,
        });
    }
    Ok(ring.ok_or(FORM)?)
}

/// Refuses a ring, or none, that opens no secret of the store: every delivery would wait.
pub(crate) async fn check<S: Subscriptions>(ring: Option<&KeyRing>, store: &S) -> Result<(), Box<dyn Error>> {
    let none;
    let ring = match ring {
        Some(ring) => ring,
        // A key that nothing is sealed with.
        None => {
            none = KeyRing::new("none", Key::generate())?;
            &none
        }
    };
    let report = ring.check(store).await?;
    let keys: Vec<_> = report.unopened.keys().map(String::as_str).collect();
    if report.is_wrong_ring() {
        let message = "no secret in the store opens, expected the keys that seal them in --key-ring: ";
        return Err(format!("{message}{}", keys.join(", ")).into());
    }
    if !keys.is_empty() {
        let secrets: u64 = report.unopened.values().sum();
        eprintln!("secrets that do not open: {secrets}, sealed with {}; see --key-ring", keys.join(", "));
    }
    Ok(())
}

/// Seals the secrets that are in the clear or under an old key with the present key, while the program runs.
pub(crate) async fn reseal<S: Subscriptions>(ring: Arc<KeyRing>, store: Arc<S>) {
    let left = |id, error: &hookwire::Error| eprintln!("the secrets of {id} are left as they were: {error}");
    match ring.reseal_all(&store, BATCH, left).await {
        Ok(resealed) if resealed.sealed > 0 => eprintln!("subscriptions sealed anew: {}", resealed.sealed),
        Ok(_) => {}
        Err(error) => eprintln!("the store was not sealed anew: {error}"),
    }
}

const FORM: &str = "--key-ring has no line of a key's id and 32 bytes in base64, expected one for each key";
const BATCH: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
