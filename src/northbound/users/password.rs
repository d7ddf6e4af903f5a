//! Passwords as they are kept: argon2id in the PHC string format (RFC 9106). Slow on purpose; to be called where it may block.

use std::fmt;

use argon2::{
    Argon2, Params,
    password_hash::{
        PasswordHasher as _, PasswordVerifier as _,
        phc::{Output, PasswordHash as Phc, Salt},
        try_generate_salt,
    },
};

/// Costlier hashes than these would let a few logons take the machine: 256 MiB, 20 passes, 8 lanes.
const MEMORY_KIB_MAX: u32 = 256 << 10;
const PASSES_MAX: u32 = 20;
const LANES_MAX: u32 = 8;

/// Why a text is no hash of a password, or none can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Another format, or damaged.
    #[error("not a hash in the format $argon2id$v=19$m=…,t=…,p=…$salt$hash")]
    Format,
    /// argon2i, argon2d, bcrypt, …
    #[error("not argon2id")]
    Algorithm,
    /// Beyond the bounds.
    #[error("costlier than m={MEMORY_KIB_MAX},t={PASSES_MAX},p={LANES_MAX}")]
    Cost,
    /// The system gave no random numbers, or no memory.
    #[error("the system could not hash a password")]
    System,
}

/// The hash of a password. Says nothing of itself in logs.
#[derive(Clone, PartialEq)]
pub struct PasswordHash(Phc);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl PasswordHash {
    /// As a users file has it.
    ///
    /// # Errors
    /// Anything but argon2id within the bounds.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let parsed = Phc::new(text).map_err(|_| PasswordError::Format)?;
        if parsed.algorithm.as_str() != "argon2id" {
            return Err(PasswordError::Algorithm);
        }
        let (true, Ok(params)) = (parsed.salt.is_some() && parsed.hash.is_some(), Params::try_from(&parsed)) else {
            return Err(PasswordError::Format);
        };
        if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX || params.p_cost() > LANES_MAX {
            return Err(PasswordError::Cost);
        }
        Ok(Self(parsed))
    }

    /// A new hash as a users file has it: 19 MiB and 2 passes, some 30 ms.
    ///
    /// # Errors
    /// The system has no random numbers, or no memory.
    pub fn make(password: &str) -> Result<String, PasswordError> {
        let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|_| PasswordError::System)?;
        Ok(hash.to_string())
    }

    /// One that costs what `like` costs, and that nobody knows the password of.
    pub(super) fn decoy(like: Option<&Self>) -> Self {
        let text = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let mut decoy = like.map_or_else(|| Phc::new(text).expect("a hash as any other"), |like| like.0.clone());
        let random = || try_generate_salt().unwrap_or_default();
        if let (Ok(salt), Ok(hash)) = (Salt::new(&random()), Output::new(&[random(), random()].concat())) {
            (decoy.salt, decoy.hash) = (Some(salt), Some(hash));
        }
        Self(decoy)
    }

    /// What verifying it takes, to compare: memory times passes.
    pub(in crate::northbound) fn cost(&self) -> u64 {
        Params::try_from(&self.0).map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
    }

    /// Whether it is this password's. Takes its time either way.
    #[must_use]
    pub fn is_of(&self, password: &str) -> bool {
        Argon2::default().verify_password(password.as_bytes(), &self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_alone() {
        let made = PasswordHash::make("Tür-7 & Tor").unwrap();
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{made}");
        let hash = PasswordHash::parse(&made).unwrap();
        assert!(hash.is_of("Tür-7 & Tor"));
        assert!(!hash.is_of("Tür-7 & tor") && !hash.is_of(""));
        assert_ne!(made, PasswordHash::make("Tür-7 & Tor").unwrap(), "every hash has a salt of its own");
        assert!(!format!("{hash:?}").contains("argon2id"));
    }

    /// A hash that another program made (argon2's reference implementation's own test vector).
    #[test]
    fn hashes_of_other_programs_are_understood() {
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(PasswordHash::parse(text).unwrap().is_of("password"));
    }

    #[test]
    fn what_is_no_good_hash_is_said() {
        let good = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        for (text, error) in [
            ("secret".to_owned(), PasswordError::Format),
            (String::new(), PasswordError::Format),
            ("$argon2id$v=19$m=19456,t=2,p=1".to_owned(), PasswordError::Format),
            (good.replace("argon2id", "argon2i"), PasswordError::Algorithm),
            (good.replace("19456", "4000000"), PasswordError::Cost),
            (good.replace("t=2", "t=4000"), PasswordError::Cost),
        ] {
            assert_eq!(PasswordHash::parse(&text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn a_decoy_costs_what_its_model_costs_and_fits_nothing() {
        let like = PasswordHash::parse(&PasswordHash::make("x").unwrap().replace("m=19456", "m=8192")).unwrap();
        let decoy = PasswordHash::decoy(Some(&like));
        assert_eq!(decoy.cost(), like.cost());
        assert_eq!(
            PasswordHash::decoy(None).cost(),
            PasswordHash::parse(&PasswordHash::make("x").unwrap()).unwrap().cost()
        );
        assert!(!decoy.is_of("x") && !decoy.is_of(""));
    }
}
