//! The key ring with which secrets are sealed in the store.

use std::error::Error;
use std::fs;
use std::num::NonZeroU32;
use std::sync::Arc;

use hookwire::keyring::Key;
use hookwire::{KeyRing, Store};
use zeroize::Zeroizing;

/// Reads lines of a key's id and the key. The first one seals; empty lines and what begins with `#` are passed over.
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

/// Moves what is in the clear or under an old key to the key that seals now, beside everything else.
pub(crate) async fn reseal<S: Store>(ring: Arc<KeyRing>, store: Arc<S>) {
    let left = |id, error: &hookwire::Error| eprintln!("the secrets of {id} are left as they were: {error}");
    match ring.reseal_all(&store, BATCH, left).await {
        Ok(told) if told.sealed > 0 => eprintln!("subscriptions sealed anew: {}", told.sealed),
        Ok(_) => {}
        Err(error) => eprintln!("the store was not sealed anew: {error}"),
    }
}

const FORM: &str = "--key-ring has no line of a key's id and 32 bytes in base64, expected one for each key";
const BATCH: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
