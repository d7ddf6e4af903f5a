//! Who gets in, without a network.

use std::sync::atomic::AtomicI64;

use opcua::types::MessageSecurityMode;

use super::*;
use crate::{
    northbound::users::{PasswordHash, Thumbprint, Users},
    time::Timestamp,
};

/// A clock that tests set.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_s(1e9).plus_seconds(self.0.load(Ordering::Relaxed) as f64)
    }
}

fn access(anonymous: Option<Role>, users: Vec<User>) -> (Access, Arc<TestClock>) {
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let settings = AccessSettings {
        anonymous,
        users: SharedUsers::new(Users::new(users)),
        has_users: true,
        users_on_policy_none: false,
        namespaces: [3, 4],
    };
    (Access::new(settings, None, Arc::clone(&clock) as Arc<_>), clock)
}

fn user(name: &str, role: Role, password: &str) -> User {
    let password = PasswordHash::parse(&PasswordHash::make(password).unwrap()).unwrap();
    User { password: Some(password), ..User::new(name, Roles::from_iter([role])) }
}

fn endpoint(policy: SecurityPolicy, mode: MessageSecurityMode) -> ServerEndpoint {
    ServerEndpoint::new("/", policy, mode, &[])
}

fn secure() -> ServerEndpoint {
    endpoint(SecurityPolicy::Basic256Sha256, MessageSecurityMode::SignAndEncrypt)
}

async fn log_on(access: &Access, name: &str, password: &str) -> Result<String, StatusCode> {
    let password = Password::new(password.to_owned());
    let answer = access.authenticate_username_identity_token(&secure(), name, &password).await;
    answer.map(|token| token.0).map_err(|error| error.status())
}

#[test]
fn a_role_may_call_what_its_row_says_and_what_lesser_roles_may() {
    let methods = |role| {
        let (access, _) = access(Some(role), Vec::new());
        let may = |namespace, method| {
            access.is_user_executable(&UserToken(ANONYMOUS.into()), &NodeId::new(namespace, method))
        };
        [
            may(3, ids::METHOD_FIT),
            may(3, ids::METHOD_SET_PARAMETERS),
            may(4, ids::IA_RESET_STATISTICS),
            may(0, MethodId::ConditionType_Enable as u32),
            may(0, MethodId::AcknowledgeableConditionType_Acknowledge as u32),
            may(0, MethodId::Server_GetMonitoredItems as u32),
            may(0, MethodId::RoleSetType_AddRole as u32),
        ]
    };
    assert_eq!(methods(Role::Observer), [false, false, false, false, false, true, false]);
    assert_eq!(methods(Role::Operator), [true, false, true, false, true, true, false]);
    assert_eq!(methods(Role::Engineer), [true, true, true, true, true, true, false]);
    assert_eq!(methods(Role::SecurityAdmin), methods(Role::Observer));
}

/// Not by the clock: by what is done. Whoever it is, one hash is verified, and it costs the same.
#[tokio::test]
async fn a_hash_is_verified_whether_the_name_is_known_or_not() {
    let certificate = User { certificate: Thumbprint::parse(&"ab".repeat(20)), ..User::new("eve", Roles::default()) };
    let (access, _) = access(None, vec![user("ann", Role::Operator, "right"), certificate]);
    let begun = || access.hashing.begun.load(Ordering::Relaxed);
    let refused = Err(StatusCode::BadIdentityTokenRejected);
    for (name, password, answer) in [
        ("ann", "right", Ok("ann".to_owned())),
        ("ann", "wrong", refused.clone()),
        ("bob", "right", refused.clone()), // nobody's name
        ("eve", "right", refused.clone()), // has no password
        ("", "", refused.clone()),
    ] {
        let before = begun();
        assert_eq!(log_on(&access, name, password).await, answer, "{name}");
        assert_eq!(begun(), before + 1, "{name}");
    }
    let users = access.users.get();
    let costs = ["ann", "bob", "eve"].map(|name| users.password(name).0.cost());
    assert!(costs.iter().all(|cost| *cost == costs[0] && *cost > 0), "{costs:?}");
}

#[tokio::test]
async fn wrong_passwords_lock_a_name_out_whether_it_is_known_or_not() {
    let (access, clock) = access(None, vec![user("ann", Role::Operator, "right")]);
    let refused = Err(StatusCode::BadIdentityTokenRejected);
    for name in ["ann", "bob"] {
        for _ in 0..3 {
            assert_eq!(log_on(&access, name, "wrong").await, refused);
        }
        let before = access.hashing.begun.load(Ordering::Relaxed);
        assert_eq!(log_on(&access, name, "right").await, refused, "locked out: the right password does not help");
        assert_eq!(access.hashing.begun.load(Ordering::Relaxed), before, "and costs nothing");
    }
    clock.0.store(2, Ordering::Relaxed);
    assert_eq!(log_on(&access, "ann", "right").await, Ok("ann".to_owned()));
    assert_eq!(log_on(&access, "bob", "right").await, refused);
}

#[tokio::test]
async fn only_so_many_wait() {
    let (access, _) = access(None, vec![user("ann", Role::Operator, "right")]);
    let all =
        Arc::clone(&access.hashing.permits).acquire_many_owned(u32::try_from(HASHES_AT_ONCE).unwrap()).await.unwrap();
    access.hashing.waiting.store(WAITING_MAX, Ordering::Relaxed);
    assert_eq!(log_on(&access, "ann", "right").await, Err(StatusCode::BadIdentityTokenRejected));
    drop(all);
    access.hashing.waiting.store(0, Ordering::Relaxed);
    assert_eq!(
        log_on(&access, "ann", "right").await,
        Ok("ann".to_owned()),
        "and being refused for that is no wrong password"
    );
}

#[test]
fn a_user_who_is_removed_may_nothing_at_once() {
    let (access, _) = access(Some(Role::Observer), vec![user("ann", Role::Engineer, "right")]);
    let token = UserToken("ann".to_owned());
    assert!(access.user(&token).may(Role::Engineer));
    access.users.replace(Users::default());
    assert!(!access.user(&token).may(Role::Observer));
    assert!(access.user(&UserToken(ANONYMOUS.to_owned())).may(Role::Observer));
}

#[test]
fn users_are_asked_for_where_they_are_safe() {
    let (access, _) = access(Some(Role::Observer), Vec::new());
    let tokens = |endpoint: &ServerEndpoint| {
        let policies = access.user_token_policies(endpoint);
        policies.iter().map(|policy| (policy.token_type, policy.security_policy_uri.to_string())).collect::<Vec<_>>()
    };
    let none = SecurityPolicy::None.to_uri().to_owned();
    assert_eq!(
        tokens(&endpoint(SecurityPolicy::None, MessageSecurityMode::None)),
        [(UserTokenType::Anonymous, none.clone())]
    );
    for policy in
        [SecurityPolicy::Basic256Sha256, SecurityPolicy::Aes128Sha256RsaOaep, SecurityPolicy::Aes256Sha256RsaPss]
    {
        let own = policy.to_uri().to_owned();
        assert_eq!(
            tokens(&endpoint(policy, MessageSecurityMode::Sign)),
            [
                (UserTokenType::Anonymous, none.clone()),
                (UserTokenType::UserName, own.clone()),
                (UserTokenType::Certificate, own)
            ]
        );
    }
    let mut access = access;
    access.users_on_policy_none = true;
    let unsafe_one = ServerEndpoint {
        password_security_policy: Some(POLICY_OF_TOKENS.to_string()),
        ..endpoint(SecurityPolicy::None, MessageSecurityMode::None)
    };
    let policies = access.user_token_policies(&unsafe_one);
    assert!(policies[1..].iter().all(|policy| policy.security_policy_uri.as_ref() == POLICY_OF_TOKENS.to_uri()));
    assert_eq!((policies.len(), policies[1].policy_id.as_ref()), (3, "userpass_rsa_oaep"));
}
