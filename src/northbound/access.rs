//! Who may do what. Today every user is anonymous, with the role that the config gives; a role may do what the
//! information model's table says, no more.

use async_trait::async_trait;
use opcua::{
    crypto::SecurityPolicy,
    server::{
        ServerEndpoint,
        authenticator::{AuthManager, CoreServerPermissions, UserToken},
    },
    types::{Error, NodeId, StatusCode, UAString, UserTokenPolicy, UserTokenType},
};

use super::{Role, address_space::ConditionMethod, audit::Sessions, ids, signatures};

/// As the library names a user without a name.
const ANONYMOUS: &str = "ANONYMOUS";

/// Decides for the library; what is asked per node is decided in `address_space` from [`Access::role`].
#[derive(Clone)]
pub(super) struct Access {
    /// What a user without a name may do; `None`: not even connect.
    pub(super) anonymous: Option<Role>,
    /// Index of the types' namespace, whose methods the library asks about.
    pub(super) types_namespace: u16,
    /// Learns who came; absent in tests.
    pub(super) sessions: Option<Sessions>,
}

impl Access {
    /// The role behind a session's user. Nobody else gets in yet.
    pub(super) fn role(&self, _: &UserToken) -> Role {
        self.anonymous.unwrap_or(Role::Observer)
    }
}

/// The least role that may call a method, by its number in `urn:uatwin:types`.
pub(super) const fn role_for(method: u32) -> Role {
    match method {
        ids::METHOD_SET_PARAMETERS | ids::METHOD_ACTIVATE_REVISION => Role::Engineer,
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

/// Who may see the audit trail. Until there are users with roles of their own: who may do what it tells of.
pub(super) fn may_see_audit(role: Role) -> bool {
    role >= Role::Engineer
}

#[async_trait]
impl AuthManager for Access {
    async fn authenticate_anonymous_token(&self, endpoint: &ServerEndpoint) -> Result<(), Error> {
        let status = match self.anonymous {
            Some(_) => StatusCode::Good,
            None => StatusCode::BadIdentityTokenRejected,
        };
        if let Some(sessions) = &self.sessions {
            sessions.activated(ANONYMOUS, endpoint, status).await;
        }
        match status.is_good() {
            true => Ok(()),
            false => Err(Error::new(status, "anonymous users are turned off")),
        }
    }

    /// Asked for methods of the standard and of our types; the instances' answer for themselves.
    fn is_user_executable(&self, token: &UserToken, method_id: &NodeId) -> bool {
        let ours = (method_id.namespace == self.types_namespace).then(|| ids::numeric(method_id)).flatten();
        let of_program =
            (method_id.namespace == 0).then(|| ids::numeric(method_id)).flatten().and_then(ids::of_program);
        match ours.or(of_program).and_then(signatures::method_by_id) {
            Some(method) => self.role(token) >= role_for(method.id),
            None => true,
        }
    }

    fn user_token_policies(&self, _: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        let anonymous = UserTokenPolicy {
            policy_id: UAString::from("anonymous"),
            token_type: UserTokenType::Anonymous,
            issued_token_type: UAString::null(),
            issuer_endpoint_url: UAString::null(),
            security_policy_uri: UAString::from(SecurityPolicy::None.to_uri()),
        };
        self.anonymous.map(|_| anonymous).into_iter().collect()
    }

    fn core_permissions(&self, _: &UserToken) -> CoreServerPermissions {
        CoreServerPermissions { read_diagnostics: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_do_what_its_row_says_and_what_lesser_roles_may() {
        let may = |role, method| {
            let access = Access { anonymous: Some(role), types_namespace: 3, sessions: None };
            access.is_user_executable(&UserToken("ANONYMOUS".into()), &NodeId::new(3, method))
        };
        for (role, fit, set) in
            [(Role::Observer, false, false), (Role::Operator, true, false), (Role::Engineer, true, true)]
        {
            assert_eq!((may(role, ids::METHOD_FIT), may(role, ids::METHOD_SET_PARAMETERS)), (fit, set), "{role:?}");
        }
    }
}
