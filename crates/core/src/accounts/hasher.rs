//! The one place that evaluates argon2, and counts it.
//!
//! Evaluating takes tens of milliseconds and megabytes. A thread keeps the memory of its
//! evaluations for the next one, so callers see to it that few threads evaluate, and what they take
//! stays the same.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{self};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use super::encodings::{PasswordEncoding, forms, native_forms};
use super::password::{CostError, HashCost, StoredPassword, WRAPPED_PREFIX, md5_of};
use sealane_base::types::text::composed;

/// Bytes of a new hash.
const OUTPUT: usize = 32;

thread_local! {
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// Hashes and verifies passwords at one cost. Share it by reference.
#[derive(Debug)]
pub struct Hasher {
    cost: HashCost,
    params: Params,
    /// In which a password may have been hashed with MD5.
    encodings: Vec<PasswordEncoding>,
    /// Evaluated where there is nothing to verify; no password matches it.
    decoy: PasswordHash,
    evaluations: AtomicU64,
    work: AtomicU64,
    /// Held while a stored hash takes more memory than ours do: one of those at a time.
    large: Mutex<()>,
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
    /// The system starts no more threads.
    #[error("cannot start a thread for checking passwords: {0}")]
    Thread(std::io::Error),
}

impl Hasher {
    /// A hasher that makes new hashes of cost `cost`, and takes MD5 values to be of UTF-8.
    ///
    /// # Errors
    /// [`HashError::Cost`] if `cost` is out of bounds, [`HashError::Failed`] without randomness.
    pub fn new(cost: HashCost) -> Result<Self, HashError> {
        let params = cost.params()?;
        let mut random = [0; 48];
        getrandom::fill(&mut random).map_err(|_| password_hash::Error::Crypto)?;
        let (salt, output) = random.split_at(Salt::RECOMMENDED_LENGTH);
        let decoy = phc(&params, salt, output)?;
        Ok(Self {
            cost,
            params,
            encodings: vec![PasswordEncoding::Utf8],
            decoy,
            evaluations: AtomicU64::new(0),
            work: AtomicU64::new(0),
            large: Mutex::new(()),
        })
    }

    /// The same, taking MD5 values to be of any of `encodings`.
    #[must_use]
    pub fn with_encodings(self, encodings: Vec<PasswordEncoding>) -> Self {
        Self { encodings, ..self }
    }

    /// The cost of new hashes.
    #[must_use]
    pub fn cost(&self) -> HashCost {
        self.cost
    }

    /// How many times a password was hashed or compared since the start. Topping up does not count.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    /// The work done since the start, in KiB of memory times passes over it: what time goes by.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.work.load(Ordering::Relaxed)
    }

    /// Takes the memory that this thread will need, now rather than at the first login.
    pub fn warm_up(&self) {
        let blocks = self.params.block_count();
        MEMORY.with_borrow_mut(|memory| memory.resize(blocks, Block::default()));
    }

    /// A new native hash (`$argon2id$…`) with a random salt, of the password with composed letters.
    /// One evaluation.
    ///
    /// # Errors
    /// [`HashError::Failed`].
    pub fn hash(&self, password: &str) -> Result<String, HashError> {
        let mut salt = [0; Salt::RECOMMENDED_LENGTH];
        getrandom::fill(&mut salt).map_err(|_| password_hash::Error::Crypto)?;
        self.count();
        let mut output = Zeroizing::new([0; OUTPUT]);
        self.fill(composed(password).as_bytes(), &salt, &self.params, self.cost, output.as_mut())?;
        Ok(phc(&self.params, &salt, output.as_ref())?.to_string())
    }

    /// A new wrapped hash (`{md5+argon2id}$argon2id$…`) of a stored MD5, for which the password
    /// need not be known. One evaluation.
    ///
    /// # Errors
    /// [`HashError::Failed`].
    pub fn wrap(&self, md5: &[u8; 16]) -> Result<String, HashError> {
        Ok(format!("{WRAPPED_PREFIX}{}", self.hash(&lower_hex(md5))?))
    }

    /// How many evaluations a refusal of `password` is worth: one for each of its forms in which it
    /// may have been hashed, for whatever record. At least 1.
    #[must_use]
    pub fn attempts(&self, password: &str) -> usize {
        let (old, native) = (forms(&self.encodings, password), native_forms(password));
        old.len().max(native.len()).max(1)
    }

    /// What [`Hasher::verify`] evaluates for these two, one cost each.
    pub(super) fn costs(&self, stored: &StoredPassword, password: &str) -> Vec<HashCost> {
        let times = match stored {
            StoredPassword::Md5(_) => 0,
            StoredPassword::Wrapped(_) => forms(&self.encodings, password).len(),
            StoredPassword::Argon2id(_) => native_forms(password).len(),
        };
        stored.cost().into_iter().cycle().take(times).collect()
    }

    /// True if `password` is the one stored. An evaluation at the stored cost for each form the
    /// password has; none for raw MD5. None is left out once one matches.
    ///
    /// # Errors
    /// [`HashError::Failed`].
    pub fn verify(&self, stored: &StoredPassword, password: &str) -> Result<bool, HashError> {
        match stored {
            StoredPassword::Md5(digest) => {
                let forms = forms(&self.encodings, password);
                Ok(forms.iter().fold(false, |is, form| is | bool::from(md5_of(form).ct_eq(digest))))
            }
            StoredPassword::Wrapped(hash) => {
                let mut is_same = false;
                for form in forms(&self.encodings, password) {
                    is_same |= self.evaluate(lower_hex(&md5_of(form)).as_bytes(), hash)?;
                }
                Ok(is_same)
            }
            StoredPassword::Argon2id(hash) => {
                let mut is_same = false;
                for form in native_forms(password) {
                    is_same |= self.evaluate(&form, hash)?;
                }
                Ok(is_same)
            }
        }
    }

    /// One evaluation at the cost of new hashes, for nothing but the time it takes.
    pub fn spend(&self) {
        // That it fails is the point; that it cannot be evaluated changes no answer.
        let _ = self.evaluate(b"", &self.decoy);
    }

    /// The work that an evaluation of cost `spent` left out, compared with one of ours: for nothing
    /// but the time it takes.
    pub fn top_up(&self, spent: HashCost) {
        let missing = self.cost.work().saturating_sub(spent.work());
        let passes =
            if missing < 16 * u64::from(self.cost.iterations) { 1 } else { self.cost.iterations };
        let memory = u32::try_from(missing / u64::from(passes)).unwrap_or(u32::MAX);
        let rest = HashCost { memory_kib: memory, iterations: passes, parallelism: 1 };
        // Less than the least that argon2 does is nothing that could be noticed.
        if let Ok(params) = rest.params() {
            let _ = self.fill(b"", &[0; 16], &params, rest, &mut [0; OUTPUT]);
        }
    }

    fn evaluate(&self, input: &[u8], hash: &PasswordHash) -> Result<bool, HashError> {
        self.count();
        let (Some(cost), Some(salt), Some(expected)) =
            (StoredPassword::cost_of(hash), &hash.salt, &hash.hash)
        else {
            return Err(password_hash::Error::Crypto.into());
        };
        let size = Some(expected.len());
        let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, size)
            .map_err(|_| CostError(cost))?;
        let mut output = Zeroizing::new(vec![0; expected.len()]);
        self.fill(input, salt.as_ref(), &params, cost, &mut output)?;
        Ok(output.ct_eq(expected.as_bytes()).into())
    }

    /// Evaluates argon2 in this thread's memory, or beyond it if the cost asks for more than ours.
    fn fill(
        &self,
        input: &[u8],
        salt: &[u8],
        params: &Params,
        cost: HashCost,
        output: &mut [u8],
    ) -> Result<(), HashError> {
        self.work.fetch_add(cost.work(), Ordering::Relaxed);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let blocks = params.block_count();
        let mut run = |memory: &mut [Block]| {
            argon2
                .hash_password_into_with_memory(input, salt, output, memory)
                .map_err(|_| HashError::Failed(password_hash::Error::Crypto))
        };
        if blocks > self.params.block_count() {
            let _one = self.large.lock().unwrap_or_else(PoisonError::into_inner);
            return run(&mut vec![Block::default(); blocks]);
        }
        MEMORY.with_borrow_mut(|memory| {
            if memory.len() < blocks {
                memory.resize(blocks, Block::default());
            }
            run(memory.get_mut(..blocks).unwrap_or_default())
        })
    }

    fn count(&self) {
        self.evaluations.fetch_add(1, Ordering::Relaxed);
    }
}

fn phc(params: &Params, salt: &[u8], output: &[u8]) -> Result<PasswordHash, HashError> {
    Ok(PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params)?,
        salt: Some(Salt::new(salt).map_err(password_hash::Error::from)?),
        hash: Some(Output::new(output).map_err(password_hash::Error::from)?),
    })
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
    fn a_password_is_the_same_composed_and_apart_in_every_form() {
        let hasher = Hasher::new(CHEAP).unwrap();
        let (composed, apart) = ("caf\u{e9}", "cafe\u{301}");
        let of_raw = |text: &str| {
            let salt = [7; 16];
            let mut output = [0; OUTPUT];
            hasher.fill(text.as_bytes(), &salt, &hasher.params, CHEAP, &mut output).unwrap();
            phc(&hasher.params, &salt, &output).unwrap().to_string()
        };
        let hex = |text: &str| lower_hex(&md5_of(text)).to_string();
        for (text, typed, matches) in [
            (hasher.hash(apart).unwrap(), composed, true),
            (hasher.hash(composed).unwrap(), apart, true),
            // Of before, and of old programs, which took what they got.
            (of_raw(apart), apart, true),
            (hex(apart), apart, true),
            (hex(composed), apart, true),
            (hasher.wrap(&md5_of(apart)).unwrap(), apart, true),
            (hasher.wrap(&md5_of(composed)).unwrap(), apart, true),
            (hasher.hash(composed).unwrap(), "cafe", false),
        ] {
            let stored = StoredPassword::parse(&text).unwrap();
            let before = hasher.evaluations();
            assert_eq!(hasher.verify(&stored, typed).unwrap(), matches, "{text} {typed}");
            let costs = hasher.costs(&stored, typed).len() as u64;
            assert_eq!(hasher.evaluations() - before, costs);
            assert!(costs <= hasher.attempts(typed) as u64);
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

    #[test]
    fn a_cheaper_hash_with_its_top_up_is_as_much_work_as_ours() {
        let ours = HashCost { memory_kib: 1024, iterations: 3, parallelism: 1 };
        let hasher = Hasher::new(ours).unwrap();
        for (memory_kib, iterations) in [(8, 1), (512, 1), (512, 5), (1024, 2), (1000, 3), (64, 10)]
        {
            let cheaper = Hasher::new(HashCost { memory_kib, iterations, parallelism: 1 }).unwrap();
            let stored = StoredPassword::parse(&cheaper.hash("x").unwrap()).unwrap();
            let before = (hasher.evaluations(), hasher.work());
            assert!(!hasher.verify(&stored, "y").unwrap());
            hasher.top_up(stored.cost().unwrap());
            let done = hasher.work() - before.1;
            assert!(
                done.abs_diff(ours.work()) * 100 <= ours.work(),
                "{memory_kib} {iterations}: {done}"
            );
            assert_eq!(hasher.evaluations() - before.0, 1);
        }
        let before = hasher.work();
        hasher.top_up(ours);
        hasher.top_up(HashCost { memory_kib: 4096, ..ours });
        assert_eq!(hasher.work(), before, "nothing is missing");
    }

    #[test]
    fn what_we_make_is_what_the_library_verifies() {
        let hasher = Hasher::new(CHEAP).unwrap();
        let lanes =
            Hasher::new(HashCost { memory_kib: 64, iterations: 2, parallelism: 4 }).unwrap();
        let text = lanes.hash("x").unwrap();
        let verifier = Argon2::default();
        let parsed = PasswordHash::new(&text).unwrap();
        assert!(argon2::PasswordVerifier::verify_password(&verifier, b"x", &parsed).is_ok());
        let stored = StoredPassword::parse(&text).unwrap();
        assert!(hasher.verify(&stored, "x").unwrap() && !hasher.verify(&stored, "y").unwrap());
    }
}
