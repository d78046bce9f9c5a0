//! Powers of numbers of 2048 bits, by Montgomery's multiplication: for signatures of tests, neither fast nor
//! in constant time.

/// The length of a number in bytes.
pub(super) const LEN: usize = 256;

/// `base` to the power of `exponent`, modulo `modulus`, which is odd and has 2048 bits.
pub(super) fn power(base: &[u8; LEN], exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let modulus = number(modulus);
    let inverse = negated_inverse(modulus[0]);
    // 2^4096 modulo the modulus takes a number into Montgomery's form.
    let square = (0..2 * 64 * LIMBS).fold(one(), |value, _| doubled(&value, &modulus));
    let times = |left: &Number, right: &Number| product(left, right, &modulus, inverse);
    let base = times(&number(base), &square);
    let mut power = times(&one(), &square);
    for bit in exponent.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
        power = times(&power, &power);
        if bit == 1 {
            power = times(&power, &base);
        }
    }
    times(&power, &one()).iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
}

/// The lowest limb first.
type Number = [u64; LIMBS];

const LIMBS: usize = LEN / 8;

fn one() -> Number {
    let mut one = [0; LIMBS];
    one[0] = 1;
    one
}

fn number(bytes: &[u8]) -> Number {
    let mut number = [0; LIMBS];
    for (limb, bytes) in number.iter_mut().zip(bytes.rchunks_exact(8)) {
        *limb = u64::from_be_bytes(bytes.try_into().expect("invariant: a limb has 8 bytes"));
    }
    number
}

/// The inverse of an odd number modulo 2^64, negated, by Newton's iteration.
fn negated_inverse(odd: u64) -> u64 {
    let inverse = (0..6).fold(1_u64, |x, _| x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x))));
    inverse.wrapping_neg()
}

fn doubled(value: &Number, modulus: &Number) -> Number {
    let mut doubled = [0; LIMBS];
    let mut carry = 0;
    for (limb, value) in doubled.iter_mut().zip(value) {
        *limb = value << 1 | carry;
        carry = value >> 63;
    }
    reduced(&doubled, carry, modulus)
}

/// `value + carry * 2^2048`, less the modulus if it is not below it.
fn reduced(value: &Number, carry: u64, modulus: &Number) -> Number {
    let mut rest = [0; LIMBS];
    let mut borrow = false;
    for ((rest, value), modulus) in rest.iter_mut().zip(value).zip(modulus) {
        let (first, under) = value.overflowing_sub(*modulus);
        let (second, again) = first.overflowing_sub(u64::from(borrow));
        (*rest, borrow) = (second, under || again);
    }
    if carry == 1 || !borrow { rest } else { *value }
}

/// Montgomery's product: `left * right / 2^2048` modulo the modulus.
fn product(left: &Number, right: &Number, modulus: &Number, inverse: u64) -> Number {
    let mut sum = [0_u64; LIMBS + 2];
    for digit in left {
        let mut carry = 0;
        for (limb, other) in sum.iter_mut().zip(right) {
            (*limb, carry) = add_product(*limb, *digit, *other, carry);
        }
        let (high, over) = sum[LIMBS].overflowing_add(carry);
        (sum[LIMBS], sum[LIMBS + 1]) = (high, u64::from(over));
        let factor = sum[0].wrapping_mul(inverse);
        let (_, mut carry) = add_product(sum[0], factor, modulus[0], 0);
        for at in 1..LIMBS {
            (sum[at - 1], carry) = add_product(sum[at], factor, modulus[at], carry);
        }
        let (high, over) = sum[LIMBS].overflowing_add(carry);
        (sum[LIMBS - 1], sum[LIMBS]) = (high, sum[LIMBS + 1] + u64::from(over));
    }
    let mut low = [0; LIMBS];
    low.copy_from_slice(&sum[..LIMBS]);
    reduced(&low, sum[LIMBS], modulus)
}

/// `limb + left * right + carry` in two limbs, the lower first.
fn add_product(limb: u64, left: u64, right: u64, carry: u64) -> (u64, u64) {
    let sum = u128::from(limb) + u128::from(left) * u128::from(right) + u128::from(carry);
    (sum as u64, (sum >> 64) as u64)
}
