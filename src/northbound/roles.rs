//! The Roles object of OPC 10000-18 (`Server/ServerCapabilities/RoleSet`), told truly and not to be changed there: roles are
//! given in the users file. Who has which is for SecurityAdmins alone: a list of names is what an attacker begins with.

use std::collections::HashMap;

use opcua::types::{
    ExtensionObject, IdentityCriteriaType as Criteria, IdentityMappingRuleType, NodeId, ObjectId, UAString, Variant,
};

use super::{Role, access::Access, users::User};

/// Whose a role of the standard is.
#[derive(Clone, Copy)]
enum Of {
    /// Everybody's, where users without a name may come at all.
    Anonymous,
    /// That of everybody with a name.
    AuthenticatedUser,
    /// One of ours.
    Role(Role),
    /// This server gives it to nobody.
    Nobody,
}

/// A role of the standard by the numbers of its object's properties.
struct WellKnown {
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests look whether the numbers are its own"))]
    name: &'static str,
    of: Of,
    identities: u32,
    /// ApplicationsExclude, Applications, EndpointsExclude, Endpoints, CustomConfiguration, where the standard's NodeSet has them.
    others: Option<[u32; 5]>,
}

#[rustfmt::skip]
const ROLES: [WellKnown; 12] = [
    WellKnown { name: "Anonymous", of: Of::Anonymous, identities: 16192, others: None },
    WellKnown { name: "AuthenticatedUser", of: Of::AuthenticatedUser, identities: 16203, others: None },
    WellKnown { name: "Observer", of: Of::Role(Role::Observer), identities: 16214, others: Some([15416, 16215, 15417, 16216, 24142]) },
    WellKnown { name: "Operator", of: Of::Role(Role::Operator), identities: 16225, others: Some([15418, 16226, 15423, 16227, 24143]) },
    WellKnown { name: "Engineer", of: Of::Role(Role::Engineer), identities: 16236, others: Some([15424, 16237, 15425, 16238, 24144]) },
    WellKnown { name: "SecurityAdmin", of: Of::Role(Role::SecurityAdmin), identities: 16258, others: Some([15430, 16259, 15527, 16260, 24147]) },
    WellKnown { name: "ConfigureAdmin", of: Of::Role(Role::ConfigureAdmin), identities: 16269, others: Some([15428, 16270, 15429, 16271, 24146]) },
    WellKnown { name: "Supervisor", of: Of::Nobody, identities: 16247, others: Some([15426, 16248, 15427, 16249, 24145]) },
    WellKnown { name: "TrustedApplication", of: Of::Nobody, identities: 18626, others: None },
    WellKnown { name: "SecurityKeyServerAdmin", of: Of::Nobody, identities: 25566, others: Some([25567, 25568, 25569, 25570, 25571]) },
    WellKnown { name: "SecurityKeyServerPush", of: Of::Nobody, identities: 25585, others: Some([25586, 25587, 25588, 25589, 25590]) },
    WellKnown { name: "SecurityKeyServerAccess", of: Of::Nobody, identities: 25604, others: Some([25605, 25606, 25607, 25608, 25609]) },
];

/// What the properties of the roles hold but their identities.
pub(super) fn values() -> HashMap<NodeId, Variant> {
    // Nothing is excluded: a role is given whatever the application and the endpoint.
    let nothing = [
        Variant::Boolean(true),
        Variant::from(Vec::<UAString>::new()),
        Variant::Boolean(true),
        Variant::from(Vec::<ExtensionObject>::new()),
        Variant::Boolean(false),
    ];
    let nodes = ROLES.iter().filter_map(|role| role.others).flat_map(|others| others.into_iter().zip(nothing.clone()));
    nodes.map(|(id, value)| (NodeId::new(0, id), value)).collect()
}

/// `Identities` of a role as the user may see it; `None`: the node is none.
pub(super) fn identities(access: &Access, user: &User, id: &NodeId) -> Option<Identities> {
    let role = ROLES.iter().find(|role| *id == NodeId::new(0, role.identities))?;
    if !user.may(Role::SecurityAdmin) {
        return Some(Identities::Denied);
    }
    let rule = |criteria_type, criteria: &str| {
        ExtensionObject::from_message(IdentityMappingRuleType { criteria_type, criteria: criteria.into() })
    };
    let anonymous = || rule(Criteria::Anonymous, "");
    let rules = match role.of {
        Of::Nobody => Vec::new(),
        Of::Anonymous => access.anonymous().map(|_| anonymous()).into_iter().collect(),
        Of::AuthenticatedUser => vec![rule(Criteria::AuthenticatedUser, "")],
        Of::Role(role) => {
            let users = access.users().get();
            let own = users.iter().filter(|user| user.roles.contains(role)).flat_map(|user| {
                let by_name = user.password.as_ref().map(|_| rule(Criteria::UserName, &user.name));
                let by_certificate = user.certificate.as_ref().map(|own| rule(Criteria::Thumbprint, &own.to_string()));
                by_name.into_iter().chain(by_certificate)
            });
            let of_anonymous = access.anonymous().filter(|user| user.roles.contains(role)).map(|_| anonymous());
            of_anonymous.into_iter().chain(own).collect()
        }
    };
    Some(Identities::Rules(rules.into()))
}

/// What a user is shown of who has a role.
pub(super) enum Identities {
    Denied,
    Rules(Variant),
}

/// NodeId of a role's object.
pub(super) const fn node_id(role: Role) -> ObjectId {
    match role {
        Role::Observer => ObjectId::WellKnownRole_Observer,
        Role::Operator => ObjectId::WellKnownRole_Operator,
        Role::Engineer => ObjectId::WellKnownRole_Engineer,
        Role::SecurityAdmin => ObjectId::WellKnownRole_SecurityAdmin,
        Role::ConfigureAdmin => ObjectId::WellKnownRole_ConfigureAdmin,
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::VariableId;

    use super::*;

    #[test]
    fn every_number_is_that_of_the_property() {
        let others = ["ApplicationsExclude", "Applications", "EndpointsExclude", "Endpoints", "CustomConfiguration"];
        for role in &ROLES {
            let properties = role.others.iter().flat_map(|others_of| others_of.iter().copied().zip(others));
            for (number, property) in std::iter::once((role.identities, "Identities")).chain(properties) {
                let named = format!("{:?}", VariableId::try_from(number).unwrap());
                assert_eq!(named, format!("WellKnownRole_{}_{property}", role.name));
            }
        }
    }
}
