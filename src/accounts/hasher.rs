//! The one place that evaluates argon2, and counts it.
//!
//! Evaluating takes tens of milliseconds and megabytes: callers see to it that few run at once.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Version};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::password::{CostError, HashCost, StoredPassword, WRAPPED_PREFIX, md5_of};

/// Hashes and verifies passwords at one cost. Share it by reference.
#[derive(Debug)]
pub struct Hasher {
    cost: HashCost,
    argon2: Argon2<'static>,
    /// Evaluated where there is nothing to verify; no password matches it.
    decoy: PasswordHash,
    evaluations: AtomicU64,
}

/// Hashing was impossible; says nothing about any password.
#[derive(Debug, Error)]
pub enum HashError {
    /// The configured cost is out of bounds.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// The system has no memory or no randomness left.
    #[error("argon2: {0}")]
    Failed(#[from] password_hash::Error),
}

impl Hasher {
    /// A hasher that makes new hashes of cost `cost`.
    ///
    /// # Errors
    /// [`HashError::Cost`] if `cost` is out of bounds, [`HashError::Failed`] without randomness.
    pub fn new(cost: HashCost) -> Result<Self, HashError> {
        let params = cost.params()?;
        let mut random = [0; 48];
        getrandom::fill(&mut random).map_err(|_| password_hash::Error::Crypto)?;
        let (salt, output) = random.split_at(Salt::RECOMMENDED_LENGTH);
        let decoy = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params)?,
            salt: Some(Salt::new(salt).map_err(password_hash::Error::from)?),
            hash: Some(Output::new(output).map_err(password_hash::Error::from)?),
        };
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self { cost, argon2, decoy, evaluations: AtomicU64::new(0) })
    }

    /// The cost of new hashes.
    #[must_use]
    pub fn cost(&self) -> HashCost {
        self.cost
    }

    /// How many times argon2 was evaluated since the start.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    /// A new native hash (`$argon2id$…`) with a random salt. One evaluation.
    ///
    /// # Errors
    /// [`HashError::Failed`].
    pub fn hash(&self, password: &str) -> Result<String, HashError> {
        self.count();
        let hash: PasswordHash = self.argon2.hash_password(password.as_bytes())?;
        Ok(hash.to_string())
    }

    /// A new wrapped hash (`{md5+argon2id}$argon2id$…`) of a stored MD5, for which the password
    /// need not be known. One evaluation.
    ///
    /// # Errors
    /// [`HashError::Failed`].
    pub fn wrap(&self, md5: &[u8; 16]) -> Result<String, HashError> {
        Ok(format!("{WRAPPED_PREFIX}{}", self.hash(&lower_hex(md5))?))
    }

    /// True if `password` is the one stored. One evaluation at the stored cost; none for raw MD5.
    ///
    /// # Errors
    /// [`HashError::Failed`].
    pub fn verify(&self, stored: &StoredPassword, password: &str) -> Result<bool, HashError> {
        match stored {
            StoredPassword::Md5(digest) => Ok(md5_of(password).ct_eq(digest).into()),
            StoredPassword::Wrapped(hash) => {
                self.evaluate(lower_hex(&md5_of(password)).as_bytes(), hash)
            }
            StoredPassword::Argon2id(hash) => self.evaluate(password.as_bytes(), hash),
        }
    }

    /// One evaluation at the cost of new hashes, for nothing but the time it takes.
    pub fn spend(&self) {
        // That it fails is the point; that it cannot be evaluated changes no answer.
        let _ = self.evaluate(b"", &self.decoy);
    }

    fn evaluate(&self, input: &[u8], hash: &PasswordHash) -> Result<bool, HashError> {
        self.count();
        match self.argon2.verify_password(input, hash) {
            Ok(()) => Ok(true),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn count(&self) {
        self.evaluations.fetch_add(1, Ordering::Relaxed);
    }
}

fn lower_hex(digest: &[u8; 16]) -> Zeroizing<String> {
    let mut hex = Zeroizing::new(String::with_capacity(32));
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 8, iterations: 1, parallelism: 1 };

    #[test]
    fn hashes_verify_in_every_form() {
        let hasher = Hasher::new(CHEAP).unwrap();
        let hex = lower_hex(&md5_of("pässword")).to_string();
        let native = hasher.hash("pässword").unwrap();
        let wrapped = hasher.wrap(&md5_of("pässword")).unwrap();
        assert_eq!(hasher.evaluations(), 2);
        for (text, cost) in [(hex, 0), (native, 1), (wrapped, 1)] {
            let stored = StoredPassword::parse(&text).unwrap();
            for (password, matches) in [("pässword", true), ("wrong", false)] {
                let before = hasher.evaluations();
                assert_eq!(hasher.verify(&stored, password).unwrap(), matches, "{text}");
                assert_eq!(hasher.evaluations() - before, cost);
            }
        }
    }

    #[test]
    fn wrapped_means_over_the_lower_case_hex() {
        let hasher = Hasher::new(CHEAP).unwrap();
        let inner = hasher.hash("96e79218965eb72c92a549dd5a330112").unwrap();
        let stored = StoredPassword::parse(&format!("{WRAPPED_PREFIX}{inner}")).unwrap();
        assert!(hasher.verify(&stored, "111111").unwrap());
    }

    #[test]
    fn the_default_cost_is_the_one_that_is_written() {
        let hasher = Hasher::new(HashCost::default()).unwrap();
        let text = hasher.hash("x").unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert_ne!(text, hasher.hash("x").unwrap(), "the salt repeats");
    }

    #[test]
    fn the_decoy_costs_one_evaluation_at_the_same_cost() {
        let hasher = Hasher::new(CHEAP).unwrap();
        hasher.spend();
        assert_eq!(hasher.evaluations(), 1);
        let decoy = StoredPassword::parse(&hasher.decoy.to_string()).unwrap();
        assert_eq!(decoy.cost(), Some(CHEAP));
        assert!(!hasher.verify(&decoy, "").unwrap());
    }

    #[test]
    fn a_cost_out_of_bounds_makes_no_hasher() {
        for cost in [
            HashCost { memory_kib: 7, ..CHEAP },
            HashCost { iterations: 0, ..CHEAP },
            HashCost { parallelism: 0, ..CHEAP },
            HashCost { memory_kib: 1 << 22, ..CHEAP },
        ] {
            assert!(matches!(Hasher::new(cost), Err(HashError::Cost(_))), "{cost:?}");
        }
    }
}
