//! Bodies compressed by gzip, for senders that compress and do not ask.
#![cfg(feature = "gzip")]

use std::io::Read;

use flate2::read::MultiGzDecoder;

use crate::receive::decoder::Decoder;
use crate::receive::receiver::Receiver;
use crate::receive::rejection::Rejection;

impl<I> Receiver<I> {
    /// Decodes bodies with `Content-Encoding: gzip`, up to `max_decoded` bytes. Without this setting they are
    /// answered 415.
    ///
    /// The proof is that of the bytes as they were sent, so nothing is decoded for a stranger. A body that is
    /// longer than `max_decoded` bytes when it is decoded is answered 413, and no more of it is decoded.
    ///
    /// ```
    /// use hookwire::receive::Receiver;
    /// use hookwire::{Contract, Secret};
    ///
    /// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?.with_gzip(4 << 20);
    /// # let _ = receiver;
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    pub fn with_gzip(mut self, max_decoded: usize) -> Self {
        self.decoder = Some(Decoder { decode: gunzip, limit: max_decoded });
        self
    }
}

/// Decodes every member of a gzip file (RFC 1952 section 2.2), up to `limit` bytes.
fn gunzip(body: &[u8], limit: usize) -> Result<Vec<u8>, Rejection> {
    let mut decoded = Vec::with_capacity(body.len().saturating_mul(4).min(limit));
    // One byte more than the limit tells that there is more.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body).take(most).read_to_end(&mut decoded).map_err(Rejection::Undecodable)?;
    match decoded.len() <= limit {
        true => Ok(decoded),
        false => Err(Rejection::DecodedTooLarge { limit }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::{Rejection, gunzip};

    #[test]
    fn a_body_is_decoded_up_to_the_limit_and_no_further() {
        let zeros = gzipped(&vec![0; 1 << 20]);
        assert!(zeros.len() < 2_000, "a bomb of {} bytes", zeros.len());
        assert_eq!(gunzip(&zeros, 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(
            gunzip(&zeros, (1 << 20) - 1),
            Err(Rejection::DecodedTooLarge { limit: 1_048_575 })
        ));
        assert!(matches!(gunzip(&zeros, 0), Err(Rejection::DecodedTooLarge { limit: 0 })));
        assert_eq!(gunzip(&gzipped(b""), 0).unwrap(), b"");
    }

    #[test]
    fn members_follow_each_other_and_a_broken_one_is_refused() {
        let two = [gzipped(b"{\"a\":"), gzipped(b"1}")].concat();
        assert_eq!(gunzip(&two, 100).unwrap(), b"{\"a\":1}");
        let whole = gzipped(b"{\"a\":1}");
        for len in 0..whole.len() {
            let cut = gunzip(&whole[..len], 100);
            assert!(matches!(cut, Err(Rejection::Undecodable(_))) || len == 0, "{len}: {cut:?}");
        }
        let mut wrong = whole.clone();
        // The checksum.
        let at = wrong.len() - 6;
        wrong[at] ^= 1;
        assert!(matches!(gunzip(&wrong, 100), Err(Rejection::Undecodable(_))));
        assert!(matches!(gunzip(b"{}", 100), Err(Rejection::Undecodable(_))));
    }

    fn gzipped(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }
}
