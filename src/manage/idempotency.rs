//! [`IdempotencyKey`]: makes one subscription, or one event, of a request that is sent twice.

use sha2::{Digest as _, Sha256};

use super::error::ManageError;
use crate::event::EventId;
use crate::id::SubscriptionId;

/// A caller's name for one creation: the same key with the same request makes nothing new.
///
/// The id of the subscription or event is derived from the key. So only one of two simultaneous requests is
/// written, whichever processes they reach, and nothing else is stored. The key is valid for as long as the
/// subscription exists, or the event's id is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdempotencyKey {
    key: String,
    request: [u8; 32],
}

impl IdempotencyKey {
    /// The greatest length of a key, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Makes the key `key` of the request with the body `request`.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for a key that is empty, longer than [`MAX_LEN`](Self::MAX_LEN), or not
    /// visible ASCII.
    pub fn new(key: &str, request: &[u8]) -> Result<Self, ManageError> {
        let is_right =
            (1..=Self::MAX_LEN).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_right {
            let expected = format!("1 to {} visible ASCII characters, such as a UUID", Self::MAX_LEN);
            return Err(ManageError::refused("Idempotency-Key", "key cannot be used", expected));
        }
        Ok(Self { key: key.to_owned(), request: Sha256::digest(request).into() })
    }

    /// The id of the subscription that the key makes for this organization.
    pub(super) fn subscription(&self, organization: &str) -> SubscriptionId {
        let number = self.number(b"hookwire idempotency ", organization, None);
        SubscriptionId::from_u128(number & !VERSION_AND_VARIANT | VERSION_8)
    }

    /// The id of the event at this place of the request that the key makes for this organization.
    pub(super) fn event(&self, organization: &str, place: usize) -> EventId {
        let number = self.number(b"hookwire idempotency of events ", organization, Some(place));
        let id = format!("evt_{:032x}", number & !VERSION_AND_VARIANT | VERSION_8);
        id.parse().expect("invariant: hex digits are visible ASCII")
    }

    fn number(&self, purpose: &[u8], organization: &str, place: Option<usize>) -> u128 {
        let mut digest = Sha256::new()
            .chain_update(purpose)
            .chain_update(organization.len().to_be_bytes())
            .chain_update(organization)
            .chain_update(&self.key);
        if let Some(place) = place {
            digest.update([0]);
            digest.update(place.to_be_bytes());
        }
        let digest = digest.finalize();
        u128::from_be_bytes(std::array::from_fn(|at| digest[at]))
    }

    /// A number that distinguishes the request from others under the same key. Without the key it reveals
    /// nothing.
    pub(super) fn fingerprint(&self) -> u64 {
        let digest =
            Sha256::new().chain_update(&self.key).chain_update([0]).chain_update(self.request).finalize();
        u64::from_be_bytes(std::array::from_fn(|at| digest[at]))
    }
}

/// A UUID with bits that its maker chooses (RFC 9562 section 5.8).
const VERSION_AND_VARIANT: u128 = 0xf << 76 | 0b11 << 62;
const VERSION_8: u128 = 0x8 << 76 | 0b10 << 62;
