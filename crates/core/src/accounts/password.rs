//! Passwords as records store them: three self-describing forms, and what they may cost.
//!
//! Parsing only; [`super::hasher`] evaluates.

use argon2::password_hash::phc::PasswordHash;
use argon2::{ARGON2ID_IDENT, Params};
use md5::{Digest, Md5};
use thiserror::Error;

/// Longest typed password in bytes.
pub const MAX_PASSWORD: usize = 1024;

/// Prefix of an argon2id hash over the lower-case hex MD5 of the password.
pub(super) const WRAPPED_PREFIX: &str = "{md5+argon2id}";

const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 10;
const MAX_PARALLELISM: u32 = 4;
/// Version 1.3 of argon2 (RFC 9106), as written in a PHC string.
const ARGON2_VERSION: u32 = 0x13;
const MIN_OUTPUT: usize = 16;

/// What one argon2id evaluation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    /// Memory in KiB; at least 8 × `parallelism`, at most 262144 (256 MiB).
    pub memory_kib: u32,
    /// Passes over the memory, 1 to 10.
    pub iterations: u32,
    /// Lanes, 1 to 4. They run one after another here; the hash is the same.
    pub parallelism: u32,
}

/// A cost outside the limits given on [`HashCost`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "argon2id cost m={memory_kib} t={iterations} p={parallelism} is out of bounds: m in KiB from 8p to 262144, t from 1 to 10, p from 1 to 4",
    memory_kib = .0.memory_kib, iterations = .0.iterations, parallelism = .0.parallelism
)]
pub struct CostError(pub HashCost);

impl Default for HashCost {
    /// 19 MiB, 2 passes, 1 lane: the floor that OWASP recommends.
    fn default() -> Self {
        Self { memory_kib: 19456, iterations: 2, parallelism: 1 }
    }
}

impl HashCost {
    /// The parameters, if the cost is within the limits.
    pub(super) fn params(self) -> Result<Params, CostError> {
        let within = self.memory_kib <= MAX_MEMORY_KIB
            && self.iterations <= MAX_ITERATIONS
            && self.parallelism <= MAX_PARALLELISM;
        match Params::new(self.memory_kib, self.iterations, self.parallelism, None) {
            Ok(params) if within => Ok(params),
            _ => Err(CostError(self)),
        }
    }

    /// Memory in KiB times passes over it.
    pub(super) fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }

    /// True if this cost takes less memory or less work than `wanted`. Lanes do not count.
    #[must_use]
    pub fn is_below(self, wanted: Self) -> bool {
        self.memory_kib < wanted.memory_kib || self.work() < wanted.work()
    }
}

/// A typed password that nobody can have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TypedPasswordError {
    /// No bytes.
    #[error("the password is empty")]
    Empty,
    /// More than [`MAX_PASSWORD`] bytes.
    #[error("the password is longer than {MAX_PASSWORD} bytes")]
    TooLong,
}

/// Checks that a typed password has 1 to [`MAX_PASSWORD`] bytes. Nothing is trimmed.
///
/// # Errors
/// [`TypedPasswordError`].
pub fn check_typed(password: &str) -> Result<(), TypedPasswordError> {
    match password.len() {
        0 => Err(TypedPasswordError::Empty),
        length if length > MAX_PASSWORD => Err(TypedPasswordError::TooLong),
        _ => Ok(()),
    }
}

/// The `password` of a record, parsed.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredPassword {
    /// MD5 of the password in some encoding: 32 hex digits, any case. Fast to guess; to be
    /// replaced.
    Md5([u8; 16]),
    /// `{md5+argon2id}$argon2id$…`: argon2id over the lower-case hex MD5.
    Wrapped(PasswordHash),
    /// `$argon2id$…` over the password itself.
    Argon2id(PasswordHash),
}

/// Why a stored password is not one. The text is not repeated.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PasswordProblem {
    /// MD5 of the empty password, or no text at all.
    #[error("its password is empty")]
    Empty,
    /// An argon2 text that cannot be read, or whose variant, version or options are not ours.
    #[error("its password is not an argon2id version 19 hash with only m, t and p")]
    Argon2,
    /// An argon2 hash that would cost more than any of ours may.
    #[error("its password hash asks too much: {0}")]
    Cost(CostError),
    /// None of the three forms.
    #[error("its password is neither 32 hex digits nor an argon2id hash")]
    Unknown,
}

impl StoredPassword {
    /// Parses the stored text; evaluates nothing.
    ///
    /// # Errors
    /// [`PasswordProblem`].
    pub fn parse(text: &str) -> Result<Self, PasswordProblem> {
        if text.is_empty() {
            return Err(PasswordProblem::Empty);
        }
        if let Some(rest) = text.strip_prefix(WRAPPED_PREFIX) {
            return Ok(Self::Wrapped(parse_phc(rest)?));
        }
        if text.starts_with('$') {
            return Ok(Self::Argon2id(parse_phc(text)?));
        }
        let digest = parse_hex(text).ok_or(PasswordProblem::Unknown)?;
        if digest == md5_of("") { Err(PasswordProblem::Empty) } else { Ok(Self::Md5(digest)) }
    }

    /// What verifying costs; `None` for raw MD5, which costs nothing.
    #[must_use]
    pub fn cost(&self) -> Option<HashCost> {
        match self {
            Self::Md5(_) => None,
            Self::Wrapped(hash) | Self::Argon2id(hash) => cost_of(hash),
        }
    }

    pub(super) fn cost_of(hash: &PasswordHash) -> Option<HashCost> {
        cost_of(hash)
    }

    /// True unless it is a native argon2id hash of at least the cost `wanted`.
    #[must_use]
    pub fn wants_upgrade(&self, wanted: HashCost) -> bool {
        match self {
            Self::Md5(_) | Self::Wrapped(_) => true,
            Self::Argon2id(hash) => cost_of(hash).is_none_or(|cost| cost.is_below(wanted)),
        }
    }
}

impl std::fmt::Debug for StoredPassword {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Md5(_) => "Md5(***)",
            Self::Wrapped(_) => "Wrapped(***)",
            Self::Argon2id(_) => "Argon2id(***)",
        })
    }
}

/// MD5 of a password's bytes, as the legacy server stored it.
pub(super) fn md5_of(password: impl AsRef<[u8]>) -> [u8; 16] {
    Md5::digest(password.as_ref()).into()
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// Reads a PHC string and refuses costs beyond the limits: verifying obeys the costs in the string,
/// so whoever can write one could otherwise ask for terabytes.
fn parse_phc(text: &str) -> Result<PasswordHash, PasswordProblem> {
    let hash = PasswordHash::new(text).map_err(|_| PasswordProblem::Argon2)?;
    let is_ours = hash.algorithm == ARGON2ID_IDENT
        && hash.version == Some(ARGON2_VERSION)
        && hash.salt.is_some()
        && hash.hash.is_some_and(|output| output.len() >= MIN_OUTPUT)
        && hash.params.iter().count() == 3;
    let cost = cost_of(&hash).filter(|_| is_ours).ok_or(PasswordProblem::Argon2)?;
    cost.params().map_err(PasswordProblem::Cost)?;
    Ok(hash)
}

fn cost_of(hash: &PasswordHash) -> Option<HashCost> {
    Some(HashCost {
        memory_kib: hash.params.get_decimal("m")?,
        iterations: hash.params.get_decimal("t")?,
        parallelism: hash.params.get_decimal("p")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT_AND_HASH: &str =
        "$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn phc(head: &str) -> Result<StoredPassword, PasswordProblem> {
        StoredPassword::parse(&format!("{head}{SALT_AND_HASH}"))
    }

    #[test]
    fn the_three_forms_are_told_apart() {
        let md5 = StoredPassword::parse("96e79218965eb72c92a549dd5a330112").unwrap();
        assert_eq!(md5, StoredPassword::Md5(md5_of("111111")));
        assert_eq!(StoredPassword::parse("96E79218965EB72C92A549DD5A330112"), Ok(md5));
        let native = phc("$argon2id$v=19$m=19456,t=2,p=1").unwrap();
        assert!(matches!(native, StoredPassword::Argon2id(_)));
        assert_eq!(native.cost(), Some(HashCost::default()));
        let wrapped = phc("{md5+argon2id}$argon2id$v=19$m=19456,t=2,p=1").unwrap();
        assert!(matches!(wrapped, StoredPassword::Wrapped(_)));
    }

    #[test]
    fn what_is_no_password_is_refused() {
        for (text, problem) in [
            ("", PasswordProblem::Empty),
            ("d41d8cd98f00b204e9800998ecf8427e", PasswordProblem::Empty),
            ("49ba59abbe56e057", PasswordProblem::Unknown),
            ("+6e79218965eb72c92a549dd5a330112", PasswordProblem::Unknown),
            ("96e79218965eb72c92a549dd5a33011g", PasswordProblem::Unknown),
            (" 96e79218965eb72c92a549dd5a33011", PasswordProblem::Unknown),
            ("111111", PasswordProblem::Unknown),
            ("{md5+argon2id}", PasswordProblem::Argon2),
            ("$2y$10$abcdefghijklmnopqrstuv", PasswordProblem::Argon2),
            ("$argon2id$v=19$m=19456,t=2,p=1", PasswordProblem::Argon2),
        ] {
            assert_eq!(StoredPassword::parse(text), Err(problem), "{text}");
        }
        for head in [
            "$argon2i$v=19$m=19456,t=2,p=1",
            "$argon2id$v=16$m=19456,t=2,p=1",
            "$argon2id$m=19456,t=2,p=1",
            "$argon2id$v=19$m=19456,t=2",
            "$argon2id$v=19$m=19456,t=2,p=1,keyid=AAAA",
            "$argon2id$v=19$m=19456,t=2,p=-1",
        ] {
            assert_eq!(phc(head), Err(PasswordProblem::Argon2), "{head}");
        }
    }

    #[test]
    fn stored_costs_are_capped() {
        for cost in ["m=262145,t=1,p=1", "m=19456,t=11,p=1", "m=19456,t=1,p=5", "m=7,t=1,p=1"] {
            let outcome = phc(&format!("$argon2id$v=19${cost}"));
            assert!(matches!(outcome, Err(PasswordProblem::Cost(_))), "{cost}: {outcome:?}");
        }
        assert!(phc("$argon2id$v=19$m=262144,t=10,p=4").is_ok());
    }

    #[test]
    fn only_weaker_hashes_want_an_upgrade() {
        let wanted = HashCost::default();
        let wants = |cost| phc(&format!("$argon2id$v=19${cost}")).unwrap().wants_upgrade(wanted);
        assert!(wants("m=8192,t=10,p=1"));
        assert!(wants("m=19456,t=1,p=1"));
        assert!(!wants("m=19456,t=2,p=1"));
        assert!(!wants("m=65536,t=1,p=4"));
        assert!(StoredPassword::Md5([0; 16]).wants_upgrade(wanted));
    }

    #[test]
    fn typed_passwords_have_1_to_1024_bytes() {
        assert_eq!(check_typed(""), Err(TypedPasswordError::Empty));
        assert_eq!(check_typed(&"x".repeat(1024)), Ok(()));
        assert_eq!(check_typed(&"x".repeat(1025)), Err(TypedPasswordError::TooLong));
    }

    #[test]
    fn debug_shows_no_hash() {
        assert_eq!(format!("{:?}", StoredPassword::Md5([7; 16])), "Md5(***)");
    }
}
