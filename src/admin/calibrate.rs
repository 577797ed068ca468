//! How dear a password check may be on this machine.

use std::time::{Duration, Instant};

use super::AdminError;
use sealane_core::accounts::{HashCost, Hasher};

/// Memory beyond which more passes are better than more memory: logins come several at once.
const ENOUGH_KIB: u32 = 64 * 1024;
const MOST_ITERATIONS: u32 = 10;

/// A cost and how long one evaluation of it takes here.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// The cost.
    pub cost: HashCost,
    /// Time of one evaluation, the best of three.
    pub takes: Duration,
}

/// Looks for a cost that takes about `target`, never below the default one. Best on an idle
/// machine.
///
/// # Errors
/// [`AdminError::Hash`].
pub fn calibrate(target: Duration) -> Result<Calibration, AdminError> {
    let floor = HashCost::default();
    let at_floor = measure(floor)?;
    let cost = cost_for(target.as_secs_f64() / at_floor.as_secs_f64().max(1e-6));
    let takes = if cost == floor { at_floor } else { measure(cost)? };
    Ok(Calibration { cost, takes })
}

/// The cost with `factor` times the work of the default one.
fn cost_for(factor: f64) -> HashCost {
    let floor = HashCost::default();
    let memory = (f64::from(floor.memory_kib) * factor).clamp(0.0, f64::from(ENOUGH_KIB)) as u32;
    // Whole MiB; the default is a whole number of them.
    let memory_kib = (memory / 1024 * 1024).max(floor.memory_kib);
    let work = f64::from(floor.memory_kib) * f64::from(floor.iterations) * factor;
    let passes = (work / f64::from(memory_kib)).round().clamp(2.0, f64::from(MOST_ITERATIONS));
    HashCost { memory_kib, iterations: passes as u32, parallelism: 1 }
}

fn measure(cost: HashCost) -> Result<Duration, AdminError> {
    let hasher = Hasher::new(cost)?;
    hasher.warm_up();
    let once = || {
        let start = Instant::now();
        hasher.spend();
        start.elapsed()
    };
    Ok([once(), once(), once()].into_iter().min().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_first_and_the_floor_holds() {
        let pair = |factor| (cost_for(factor).memory_kib, cost_for(factor).iterations);
        assert_eq!(pair(0.1), (19456, 2));
        assert_eq!(pair(1.0), (19456, 2));
        assert_eq!(pair(2.0), (38912, 2));
        assert_eq!(pair(5.0), (65536, 3));
        assert_eq!(pair(1e9), (65536, 10));
    }
}
