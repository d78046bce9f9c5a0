//! [`IdHash`]: hashes the ids and numbers that this crate makes itself.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Hashes ids and numbers that this crate makes itself and no peer chooses.
///
/// It takes two multiplications; the standard library's SipHash takes a tenth of the time that a delivery
/// costs a store in memory. Every map has a seed of its own.
#[derive(Clone, Debug)]
pub(crate) struct IdHash {
    seed: u64,
}

impl Default for IdHash {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(0_u8) }
    }
}

impl BuildHasher for IdHash {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher(self.seed)
    }
}

/// The hash so far.
#[derive(Debug)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u128(&mut self, id: u128) {
        self.write_u64(id as u64);
        self.write_u64((id >> 64) as u64);
    }

    fn write_u64(&mut self, number: u64) {
        // Use both halves of the product, so that every bit of the number changes the bits that a table uses.
        let product = u128::from(number ^ self.0) * u128::from(GOLDEN);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(16) {
            let mut whole = [0; 16];
            whole[..chunk.len()].copy_from_slice(chunk);
            self.write_u128(u128::from_ne_bytes(whole));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The golden ratio's fraction in 64 bits, an odd number: successive numbers are hashed far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use time::macros::datetime;

    use super::*;
    use crate::id::DeliveryId;

    /// The number of 1,024 buckets, and of 128 tags, that these ids are spread over.
    fn spread(hash: &IdHash, ids: impl Iterator<Item = DeliveryId>) -> (usize, usize) {
        let hashes: Vec<u64> = ids.map(|id| hash.hash_one(id)).collect();
        let buckets: HashSet<_> = hashes.iter().map(|hash| hash & 1023).collect();
        let tags: HashSet<_> = hashes.iter().map(|hash| hash >> 57).collect();
        (buckets.len(), tags.len())
    }

    #[test]
    fn ids_are_spread_over_a_table_whatever_part_of_them_differs() {
        // Random hashes would hit 647 of 1,024 buckets, give or take 12.
        let hash = IdHash::default();
        let noon = datetime!(2026-04-17 12:00 UTC);
        let made = (0..1024).map(|_| DeliveryId::generate_at(noon));
        let counted = (0..1024).map(DeliveryId::from_u128);
        let shifted = (0..1024).map(|number| DeliveryId::from_u128(number << 64));
        let later = (0..1024)
            .map(|number| DeliveryId::from_parts(noon + std::time::Duration::from_millis(number), [7; 10]));
        for (buckets, tags) in
            [spread(&hash, made), spread(&hash, counted), spread(&hash, shifted), spread(&hash, later)]
        {
            assert!(buckets > 500 && tags > 110, "{buckets} buckets, {tags} tags");
        }
    }
}
