//! Randomness that can be repeated.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// Environment variable that repeats a run.
pub const SEED_VARIABLE: &str = "CULVERT_TEST_SEED";

/// The seed of this run: taken from `CULVERT_TEST_SEED` when that is set, else a new one. Printed,
/// so that the output of a failed test says how to repeat it.
pub fn seed() -> u64 {
    let seed = match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE} is not a number: {text}")),
        Err(_) => rand::random(),
    };
    eprintln!("repeat with {SEED_VARIABLE}={seed}");
    seed
}

/// A generator that makes the same numbers for the same seed.
pub fn generator(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}
