//! Who may what: users as the users file names them, their roles, and the twins that they are confined to. Plain data; a
//! session's user is looked up by name with every request, so that a change of the file reaches sessions that stand.

mod lockout;
mod password;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

pub(super) use lockout::Lockout;
pub use password::{PasswordError, PasswordHash};

use crate::sample::TwinId;

/// A row of the information model's table. An Engineer may what an Operator may, and that one what an Observer may; the two
/// administrators are Observers too, no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Browse, read, subscribe, HistoryRead.
    Observer,
    /// Also fits, simulations, writes through to writable variables.
    Operator,
    /// Also parameters and history.
    Engineer,
    /// Also who trusts whom, users, and the audit trail.
    SecurityAdmin,
    /// Also the configuration.
    ConfigureAdmin,
}

impl Role {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Observer, Self::Operator, Self::Engineer, Self::SecurityAdmin, Self::ConfigureAdmin];

    /// As OPC 10000-18 §4.3 calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observer => "Observer",
            Self::Operator => "Operator",
            Self::Engineer => "Engineer",
            Self::SecurityAdmin => "SecurityAdmin",
            Self::ConfigureAdmin => "ConfigureAdmin",
        }
    }

    /// Whether who has this role may what `other` may.
    const fn includes(self, other: Self) -> bool {
        match other {
            Self::Observer => true,
            Self::Operator => matches!(self, Self::Operator | Self::Engineer),
            Self::Engineer => matches!(self, Self::Engineer),
            Self::SecurityAdmin => matches!(self, Self::SecurityAdmin),
            Self::ConfigureAdmin => matches!(self, Self::ConfigureAdmin),
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The roles of one user.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Whether the user was given this very role.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether the user may what `role` may.
    #[must_use]
    pub fn may(self, role: Role) -> bool {
        self.iter().any(|own| own.includes(role))
    }

    /// Those that were given.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What tells a user's certificate from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thumbprint {
    /// As OPC UA uses it (OPC 10000-6 §6.2.2).
    Sha1([u8; 20]),
    /// The better one.
    Sha256([u8; 32]),
}

impl Thumbprint {
    /// 40 or 64 hexadecimal digits; colons and spaces between them count nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u32> =
            text.chars().filter(|c| !matches!(c, ':' | ' ')).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect();
        match digits.len() {
            40 => bytes.try_into().ok().map(Self::Sha1),
            64 => bytes.try_into().ok().map(Self::Sha256),
            _ => None,
        }
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// One user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// ClientUserId in the audit trail.
    pub name: Arc<str>,
    /// None: sees nothing but the standard's own nodes.
    pub roles: Roles,
    /// The only twins that exist for this user; `None`: all do.
    pub twins: Option<BTreeSet<TwinId>>,
    /// For a user with a password.
    pub password: Option<PasswordHash>,
    /// For a user with a certificate.
    pub certificate: Option<Thumbprint>,
}

impl User {
    /// One with neither password nor certificate, not confined.
    #[must_use]
    pub fn new(name: &str, roles: Roles) -> Self {
        Self { name: name.into(), roles, twins: None, password: None, certificate: None }
    }

    /// Whether the user may what `role` may.
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        self.roles.may(role)
    }

    /// Whether this twin exists for the user.
    #[must_use]
    pub fn knows(&self, twin: TwinId) -> bool {
        self.may(Role::Observer) && self.twins.as_ref().is_none_or(|twins| twins.contains(&twin))
    }
}

/// Every user of the users file.
#[derive(Clone, Debug)]
pub struct Users {
    users: Vec<Arc<User>>,
    by_name: HashMap<Arc<str>, usize>,
    /// Verified in place of the hash that an unknown user does not have; no password is known to fit it.
    decoy: PasswordHash,
}

impl PartialEq for Users {
    fn eq(&self, other: &Self) -> bool {
        self.users == other.users
    }
}

impl Default for Users {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Users {
    /// Names are distinct.
    #[must_use]
    pub fn new(users: Vec<User>) -> Self {
        let users: Vec<_> = users.into_iter().map(Arc::new).collect();
        let by_name = users.iter().enumerate().map(|(i, user)| (Arc::clone(&user.name), i)).collect();
        let hashes = users.iter().filter_map(|user| user.password.as_ref());
        // As costly as the costliest: who is not there takes no less time than who is.
        let decoy = PasswordHash::decoy(hashes.max_by_key(|hash| hash.cost()));
        Self { users, by_name, decoy }
    }

    /// In the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.iter()
    }

    /// By name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(name).and_then(|i| self.users.get(*i))
    }

    /// The hash to verify a password against, and whose it is: of whom has none, or is not there, the decoy and nobody's.
    pub(super) fn password(&self, name: &str) -> (&PasswordHash, Option<&Arc<User>>) {
        let user = self.get(name);
        match user.and_then(|user| user.password.as_ref()) {
            Some(hash) => (hash, user),
            None => (&self.decoy, None),
        }
    }
}

/// The users in force; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SharedUsers(Arc<RwLock<Arc<Users>>>);

impl SharedUsers {
    /// With these in force.
    #[must_use]
    pub fn new(users: Users) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(users))))
    }

    /// Those in force now.
    #[must_use]
    pub fn get(&self) -> Arc<Users> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in force, for sessions that stand too.
    pub fn replace(&self, users: Users) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_what_its_row_says() {
        use Role as R;
        let rows = [
            (R::Observer, vec![R::Observer]),
            (R::Operator, vec![R::Observer, R::Operator]),
            (R::Engineer, vec![R::Observer, R::Operator, R::Engineer]),
            (R::SecurityAdmin, vec![R::Observer, R::SecurityAdmin]),
            (R::ConfigureAdmin, vec![R::Observer, R::ConfigureAdmin]),
        ];
        for (role, may) in rows {
            let roles = Roles::from_iter([role]);
            let all: Vec<_> = R::ALL.into_iter().filter(|other| roles.may(*other)).collect();
            assert_eq!(all, may, "{role:?}");
        }
        assert!(R::ALL.into_iter().all(|role| !Roles::default().may(role)));
    }

    #[test]
    fn thumbprints_are_read_as_tools_write_them() {
        let sha1 = "12:34:56:78:9a:bc:de:f0:12:34:56:78:9A:BC:DE:F0:00:11:22:33";
        assert_eq!(Thumbprint::parse(sha1).unwrap().to_string(), "123456789ABCDEF0123456789ABCDEF000112233");
        assert!(matches!(Thumbprint::parse(&"ab".repeat(32)), Some(Thumbprint::Sha256(_))));
        for wrong in ["", "12", &"ab".repeat(21), &"zz".repeat(20)] {
            assert_eq!(Thumbprint::parse(wrong), None, "{wrong}");
        }
    }
}
