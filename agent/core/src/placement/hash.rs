//! The planner's only randomness: hashes of ids.

/// Mixes two words; the finaliser of SplitMix64 (Steele, Lea, Flood 2014) over their combination.
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A word from an id: ids are hashes already.
pub(crate) const fn seed(id: &[u8; 16]) -> u64 {
    let id = u128::from_le_bytes(*id);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the id are wanted")]
    mix(id as u64, (id >> 64) as u64)
}

/// FNV-1a, mixed.
pub(crate) fn hash_text(text: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(text.bytes().fold(0xcbf2_9ce4_8422_2325, fold), 0)
}

/// A number below `bound`, which is not 0, from a hash.
pub(crate) fn below(hash: u64, bound: usize) -> usize {
    let scaled = (u128::from(hash) * bound as u128) >> 64;
    usize::try_from(scaled).expect("less than the bound, which is a usize")
}
