//! Random draws that are the same for the same seed on every machine.
//!
//! What is made of them by `exp` and `ln` is so to the last bit only where these are the same: they are the platform's own.
//!
//! Xoshiro256++ (D. Blackman and S. Vigna, 2018), seeded through SplitMix64 as its authors advise. A stream for each number of a seed
//! makes request or person N without those before it.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

pub type Random = Xoshiro256PlusPlus;

/// The draws that belong to one number (a request's, a person's) of a seed; `stream` keeps apart what draws for different ends.
pub fn stream(seed: u64, stream: u64, number: u64) -> Random {
    // Odd constants spread neighbouring numbers over all bits before SplitMix64 mixes them.
    let mixed = seed ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Random::seed_from_u64(mixed)
}
