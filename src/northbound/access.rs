//! Who gets in, and as whom. Passwords are verified on a thread that may block, a few at a time, and take as long for a name
//! that nobody has; every refusal looks the same from outside.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use opcua::{
    crypto::{SecurityPolicy, Thumbprint as Sha1},
    nodes::AccessLevel,
    server::{
        ServerEndpoint, SubscriptionCache,
        authenticator::{AuthManager, CoreServerPermissions, Password, UserToken, user_pass_security_policy_id},
    },
    types::{Error, MethodId, NodeId, StatusCode, UAString, UserTokenPolicy, UserTokenType},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Role,
    address_space::ConditionMethod,
    audit::Sessions,
    ids, signatures,
    tokens::{Presented, thumbprints},
    users::{Lockout, Roles, SharedUsers, User},
};
use crate::time::Clock;

/// As the library names a user without a name.
pub(crate) const ANONYMOUS: &str = "ANONYMOUS";
/// The library takes no other.
const X509_POLICY: &str = "x509";
/// What encrypts passwords and signs as a certificate where the endpoint itself has no security.
pub(super) const POLICY_OF_TOKENS: SecurityPolicy = SecurityPolicy::Basic256Sha256;
/// Passwords verified at once: 19 MiB and 30 ms of a core each.
const HASHES_AT_ONCE: usize = 2;
/// Logons that wait for that. Full: refused, as if the password were wrong.
const WAITING_MAX: usize = 64;
/// A name longer than this is nobody's (the users file has none).
pub(crate) const NAME_MAX: usize = 128;

/// Decides for the library; what is asked per node is decided in `address_space` from [`Access::user`].
pub(super) struct Access {
    /// What a user without a name may do; `None`: not even connect.
    anonymous: Option<Arc<User>>,
    /// Who is left of a user that is no longer in the file.
    nobody: Arc<User>,
    users: SharedUsers,
    /// Whether there is a users file: then names are asked for, whoever is in it.
    has_users: bool,
    /// Whether users may come without encryption.
    users_on_policy_none: bool,
    /// Indices of the namespaces whose methods the library asks about: our types' and IA's.
    namespaces: [u16; 2],
    /// Learns who came.
    sessions: Option<Sessions>,
    clock: Arc<dyn Clock>,
    pub(super) presented: Arc<Presented>,
    lockout: Mutex<Lockout>,
    hashing: Hashing,
}

/// What [`Access`] is made of.
pub(super) struct AccessSettings {
    pub(super) anonymous: Option<Role>,
    pub(super) users: SharedUsers,
    pub(super) has_users: bool,
    pub(super) users_on_policy_none: bool,
    pub(super) namespaces: [u16; 2],
}

/// Why somebody does not get in: for the audit trail, not for him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    WrongPassword,
    UnknownUser,
    /// Too many wrong passwords before.
    Locked,
    /// Too many come at once.
    Busy,
    UnknownCertificate,
    /// Before or after the certificate's time.
    CertificateTime,
}

impl Refused {
    const fn words(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong password",
            Self::UnknownUser => "no such user",
            Self::Locked => "locked out after wrong passwords",
            Self::Busy => "too many logons at once",
            Self::UnknownCertificate => "no such user's certificate",
            Self::CertificateTime => "the certificate is not valid now",
        }
    }
}

/// Room for hashes.
struct Hashing {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Hashes that were begun.
    begun: AtomicUsize,
}

impl Default for Hashing {
    fn default() -> Self {
        let permits = Arc::new(Semaphore::new(HASHES_AT_ONCE));
        Self { permits, waiting: AtomicUsize::new(0), begun: AtomicUsize::new(0) }
    }
}

/// One that waits, until it is dropped: a client may leave meanwhile.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hashing {
    async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= WAITING_MAX {
            return None;
        }
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }
}

impl Access {
    pub(super) fn new(settings: AccessSettings, sessions: Option<Sessions>, clock: Arc<dyn Clock>) -> Self {
        let AccessSettings { anonymous, users, has_users, users_on_policy_none, namespaces } = settings;
        let user = |name, roles| Arc::new(User::new(name, roles));
        Self {
            anonymous: anonymous.map(|role| user(ANONYMOUS, Roles::from_iter([role]))),
            nobody: user("", Roles::default()),
            users,
            has_users,
            users_on_policy_none,
            namespaces,
            sessions,
            clock,
            presented: Arc::default(),
            lockout: Mutex::default(),
            hashing: Hashing::default(),
        }
    }

    /// Who is behind a session, as the users file has it now.
    pub(super) fn user(&self, token: &UserToken) -> Arc<User> {
        let found = if token.is_anonymous() { self.anonymous.clone() } else { self.users.get().get(&token.0).cloned() };
        found.unwrap_or_else(|| self.nobody())
    }

    /// Who is behind a session now: it may have been activated again by another. Not to be called with the session's
    /// subscriptions locked.
    pub(super) fn user_of_session(&self, subscriptions: &SubscriptionCache, session: u32) -> Arc<User> {
        let token = subscriptions
            .get_session_subscriptions(session)
            .and_then(|all| all.lock().session().read().user_token().cloned());
        token.map_or_else(|| self.nobody(), |token| self.user(&token))
    }

    /// Whoever may nothing.
    pub(super) fn nobody(&self) -> Arc<User> {
        Arc::clone(&self.nobody)
    }

    pub(super) fn users(&self) -> &SharedUsers {
        &self.users
    }

    /// What users without a name may do.
    pub(super) fn anonymous(&self) -> Option<&User> {
        self.anonymous.as_deref()
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_locked(&self, name: &str) -> bool {
        self.lockout().is_locked(name, self.clock.now())
    }

    /// Whose name and password these are.
    async fn by_password(&self, name: &str, password: &Password) -> Result<Arc<User>, Refused> {
        let key: String = name.chars().take(NAME_MAX).collect();
        if self.is_locked(&key) {
            return Err(Refused::Locked);
        }
        let permit = self.hashing.admit().await.ok_or(Refused::Busy)?;
        // Those before may have been wrong.
        if self.is_locked(&key) {
            return Err(Refused::Locked);
        }
        let users = self.users.get();
        let (name, password) = (name.to_owned(), password.clone());
        self.hashing.begun.fetch_add(1, Ordering::Relaxed);
        let verified = tokio::task::spawn_blocking(move || {
            let _permit = permit; // a client that leaves meanwhile makes no room
            let (hash, user) = users.password(&name);
            let fits = hash.is_of(password.get());
            match user {
                Some(user) if fits => Ok(Arc::clone(user)),
                Some(_) => Err(Refused::WrongPassword),
                None => Err(Refused::UnknownUser),
            }
        });
        let verified = verified.await.unwrap_or(Err(Refused::Busy));
        match verified {
            Ok(_) => self.lockout().succeeded(&key),
            Err(Refused::Busy) => {}
            Err(_) => drop(self.lockout().failed(&key, self.clock.now())),
        }
        verified
    }

    /// Whose certificate has this thumbprint. That the client has its key, the library has verified.
    fn by_certificate(&self, sha1: &Sha1) -> Result<Arc<User>, Refused> {
        let certificate = self.presented.take(sha1.value()).ok_or(Refused::Busy)?;
        let own = thumbprints(&certificate).ok_or(Refused::UnknownCertificate)?;
        let users = self.users.get();
        let user = users.iter().find(|user| user.certificate.as_ref().is_some_and(|wanted| own.contains(wanted)));
        let user = user.ok_or(Refused::UnknownCertificate)?;
        let now = crate::ua::date_time(self.clock.now()).as_chrono();
        certificate.is_time_valid(&now).map_err(|_| Refused::CertificateTime)?;
        Ok(Arc::clone(user))
    }

    /// Tells the audit trail, and the library what it may know.
    async fn answer(
        &self,
        who: &str,
        endpoint: &ServerEndpoint,
        found: Result<Arc<User>, Refused>,
    ) -> Result<UserToken, Error> {
        let refused = found.as_ref().err().map(|refused| refused.words());
        let who = found.as_ref().map_or(who, |user| &*user.name).to_owned();
        if let Some(sessions) = &self.sessions {
            sessions.activated(&who, endpoint, refused).await;
        }
        match found {
            Ok(user) => Ok(UserToken(user.name.as_ref().to_owned())),
            Err(_) => Err(Error::new(StatusCode::BadIdentityTokenRejected, "refused; the audit trail says why")),
        }
    }

    /// Whether users with a name may come by this endpoint.
    fn takes_users(&self, endpoint: &ServerEndpoint) -> bool {
        self.has_users && (self.users_on_policy_none || endpoint.security_policy() != SecurityPolicy::None)
    }
}

/// The least role that may call a method, by its number in `urn:uatwin:types`.
pub(super) const fn role_for(method: u32) -> Role {
    match method {
        ids::METHOD_SET_PARAMETERS | ids::METHOD_ACTIVATE_REVISION => Role::Engineer,
        ids::METHOD_RELOAD => Role::ConfigureAdmin,
        _ => Role::Operator,
    }
}

/// The least role that may ask this of a condition.
pub(super) const fn role_for_condition(method: ConditionMethod) -> Role {
    match method {
        ConditionMethod::Enable | ConditionMethod::Disable => Role::Engineer,
        _ => Role::Operator,
    }
}

/// Who may see the audit trail: who is there for it, and who may do what it tells of.
pub(super) fn may_see_audit(user: &User) -> bool {
    user.may(Role::SecurityAdmin) || user.may(Role::Engineer)
}

/// The least role that may call a method of the standard; `None`: this server does nothing by it.
fn role_for_standard(method: u32) -> Option<Role> {
    let of_own_subscriptions = [
        MethodId::Server_GetMonitoredItems,
        MethodId::Server_ResendData,
        MethodId::ConditionType_ConditionRefresh,
        MethodId::ConditionType_ConditionRefresh2,
    ];
    if of_own_subscriptions.iter().any(|own| *own as u32 == method) {
        return Some(Role::Observer);
    }
    if let Some(of_condition) = ConditionMethod::ALL.iter().find(|of| of.standard() as u32 == method) {
        return Some(role_for_condition(*of_condition));
    }
    ids::of_program(method).map(role_for)
}

#[async_trait]
impl AuthManager for Access {
    async fn authenticate_anonymous_token(&self, endpoint: &ServerEndpoint) -> Result<(), Error> {
        let is_on = self.anonymous.is_some();
        if let Some(sessions) = &self.sessions {
            sessions.activated(ANONYMOUS, endpoint, (!is_on).then_some("anonymous users are turned off")).await;
        }
        match is_on {
            true => Ok(()),
            false => Err(Error::new(StatusCode::BadIdentityTokenRejected, "anonymous users are turned off")),
        }
    }

    async fn authenticate_username_identity_token(
        &self,
        endpoint: &ServerEndpoint,
        username: &str,
        password: &Password,
    ) -> Result<UserToken, Error> {
        let found = self.by_password(username, password).await;
        self.answer(username, endpoint, found).await
    }

    async fn authenticate_x509_identity_token(
        &self,
        endpoint: &ServerEndpoint,
        signing_thumbprint: &Sha1,
    ) -> Result<UserToken, Error> {
        let found = self.by_certificate(signing_thumbprint);
        let who = format!("certificate {}", signing_thumbprint.as_hex_string());
        self.answer(&who, endpoint, found).await
    }

    /// Asked for nodes of the standard and of types: nothing there is written, and nothing has a history.
    fn effective_user_access_level(&self, _: &UserToken, level: AccessLevel, _: &NodeId) -> AccessLevel {
        level & AccessLevel::CURRENT_READ
    }

    /// Asked for methods of the standard and of our types; the instances' answer for themselves.
    fn is_user_executable(&self, token: &UserToken, method_id: &NodeId) -> bool {
        let number = ids::numeric(method_id);
        let [types, ia] = self.namespaces;
        let least = match method_id.namespace {
            0 => number.and_then(role_for_standard),
            own if own == types => number.and_then(signatures::method_by_id).map(|method| role_for(method.id)),
            own if own == ia && number == Some(ids::IA_RESET_STATISTICS) => Some(Role::Operator),
            _ => None,
        };
        least.is_some_and(|least| self.user(token).may(least))
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        let policy = |id: UAString, token_type, policy: SecurityPolicy| UserTokenPolicy {
            policy_id: id,
            token_type,
            issued_token_type: UAString::null(),
            issuer_endpoint_url: UAString::null(),
            security_policy_uri: UAString::from(policy.to_uri()),
        };
        let anonymous = policy("anonymous".into(), UserTokenType::Anonymous, SecurityPolicy::None);
        let mut policies: Vec<_> = self.anonymous.iter().map(|_| anonymous.clone()).collect();
        if self.takes_users(endpoint) {
            let own = endpoint.security_policy();
            let by = if own == SecurityPolicy::None { POLICY_OF_TOKENS } else { own };
            policies.extend([
                policy(user_pass_security_policy_id(endpoint), UserTokenType::UserName, by),
                policy(X509_POLICY.into(), UserTokenType::Certificate, by),
            ]);
        }
        policies
    }

    fn core_permissions(&self, token: &UserToken) -> CoreServerPermissions {
        CoreServerPermissions { read_diagnostics: self.user(token).may(Role::Observer) }
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
