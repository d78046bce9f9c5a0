//! [`KeyRing`]: secrets encrypted at rest.
//!
//! # Without a key ring
//!
//! A store keeps in the clear what it needs to sign: the secrets of a subscription, the credentials of its
//! [`Authentication`](crate::subscription::Authentication) and the key of its client certificate. They stand
//! in the columns `secrets` and `options` of the table `subscriptions` (SQLite and PostgreSQL) or in the
//! process's memory. Anyone who reads the database, its log or a backup can sign as you. Only the disk's
//! encryption and the database's permissions protect them.
//!
//! # With a key ring
//!
//! All of them are sealed before they reach a store, with XChaCha20-Poly1305
//! ([RFC 8439](https://www.rfc-editor.org/rfc/rfc8439)'s construction with a nonce of 192 bits, which may be
//! random however many secrets there are), under a key that the store never sees. Associated data binds a
//! sealed secret to its subscription and its use: it does not open in another subscription's row, nor as a
//! password where it was a signing secret. The preview of a signing secret is stored beside it in the clear,
//! so that reading a subscription takes no key. An opened secret lives for one attempt.
//!
//! Secrets that were stored in the clear before stay where a database leaves overwritten data: in free pages,
//! in its log, in backups. Seal from the start, or have customers rotate every secret that was ever stored in
//! the clear.
//!
//! A key ring does not seal URLs, filters, the user names of Basic authentication, the values of extra
//! headers ([`Options::with_header`](crate::subscription::Options::with_header); put credentials into the
//! authentication instead), or events. It protects against those who can read the database. Those who can
//! write to it can point a subscription at an endpoint of their own, and can replace a sealed secret by a
//! plain one, since plain ones are read too.
//!
//! # Calls
//!
//! - Seal a subscription that was created or rotated before you store it:
//!   `ring.seal_subscription(subscription)`.
//! - Check at the start that the ring is the store's: `ring.check(&store)`.
//! - Give the dispatcher the ring: `Dispatcher::with_key_ring`. A secret that does not open is this side's
//!   own fault: nothing is sent, nothing is held against the endpoint, no attempt is spent, and other
//!   subscriptions go on.
//! - To move to another key, or away from plain secrets: give every process a ring that opens both, then one
//!   that seals with the new key, then call `ring.reseal_all(&store, ..)`. When it reports that nothing is
//!   left, remove the old key.
//!
//! ```
//! use hookwire::keyring::{Key, KeyRing};
//! use hookwire::signature::SecretUse;
//! use hookwire::{Secret, SubscriptionId};
//!
//! // From wherever the application keeps its keys; `Key::generate()` makes one.
//! let old: Key = "h5xZ7mV1oIqk3jXc0tT9uW2yQ4eR6pL8sD1fG3hJ5kM=".parse()?;
//! let ring = KeyRing::new("2026-11", Key::generate())?.with_key("2025-01", old)?;
//!
//! let (id, secret) = (SubscriptionId::generate(), Secret::generate());
//! let sealed = ring.seal(&secret, id, SecretUse::Signing)?;
//! assert_eq!((sealed.key_id(), sealed.preview()), (Some("2026-11"), secret.preview()));
//! assert_eq!(ring.open(&sealed, id, SecretUse::Signing)?, secret);
//! assert!(ring.open(&sealed, SubscriptionId::generate(), SecretUse::Signing).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg(feature = "keyring")]

mod key;
mod ring;
mod subscription;

pub use self::key::Key;
pub use self::ring::{KeyRing, OpenError};
