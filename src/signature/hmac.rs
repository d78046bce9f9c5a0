//! [`HmacKey`]: HMAC-SHA256 with its key taken in, so that a message costs the hash of its own bytes.

use std::sync::Arc;

use hmac::KeyInit as _;
use hmac::block_api::HmacCore;
use hmac::digest::Output;
use hmac::digest::block_api::{Buffer, FixedOutputCore as _, UpdateCore as _};
use sha2::Sha256;

use super::message::Content;

/// The state of an HMAC-SHA256 ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)) that has its key; each
/// message clones it.
///
/// It is the core without a buffer of its own: to clone, move and wipe an empty buffer takes a tenth of a
/// short message's time.
#[derive(Clone)]
pub(super) struct HmacKey(Arc<HmacCore<Sha256>>);

impl HmacKey {
    pub(super) fn from_bytes(key: &[u8]) -> Self {
        Self(Arc::new(HmacCore::new_from_slice(key).expect("invariant: HMAC takes any key")))
    }

    #[inline(always)]
    pub(super) fn tag(&self, content: &Content<'_>) -> [u8; 32] {
        let mut core = HmacCore::clone(&self.0);
        let mut buffer = Buffer::<HmacCore<Sha256>>::default();
        for piece in content.pieces() {
            buffer.digest_blocks(piece, |blocks| core.update_blocks(blocks));
        }
        let mut tag = Output::<HmacCore<Sha256>>::default();
        core.finalize_fixed_core(&mut buffer, &mut tag);
        tag.into()
    }
}
