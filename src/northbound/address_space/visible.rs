//! What of the twins' namespace exists for a user, and what a role may do there (OPC 10000-3 §8.55, OPC 10000-18). A node that
//! does not exist for somebody is unknown to every service, as one that nobody configured.

use opcua::{
    nodes::AccessLevel,
    types::{ExtensionObject, NodeClass, NodeId, PermissionType as Permission, RolePermissionType, Variant},
};

use super::{AddressSpace, Node, Owner, Target};
use crate::{
    event::{Event, Source},
    northbound::{
        Role, access, roles,
        users::{Roles, User},
    },
    sample::TwinId,
};

impl AddressSpace {
    /// The node of a NodeId, where it exists for the user.
    pub(in crate::northbound) fn visible(&self, user: &User, id: &NodeId) -> Option<Node> {
        self.parse(id).filter(|node| self.is_visible(user, *node))
    }

    /// Whether a node exists for the user.
    pub(in crate::northbound) fn is_visible(&self, user: &User, node: Node) -> bool {
        if !user.may(Role::Observer) {
            return false;
        }
        let Some(twins) = &user.twins else { return true };
        match node {
            Node::Twins | Node::Connections | Node::History | Node::Store(_) => true,
            Node::Plc(p) | Node::Link(p, _) => self.feeds_one_of(user, p),
            Node::Owner(Owner::Twin(t)) | Node::Part(Owner::Twin(t), _) => twins.contains(&TwinId(t)),
            // A type that only others have would tell that they are there.
            Node::Owner(Owner::Type(of)) | Node::Part(Owner::Type(of), _) => {
                twins.iter().any(|twin| self.twins.twin(*twin).type_index == of as usize)
            }
        }
    }

    /// The same of a reference's target.
    pub(in crate::northbound) fn is_target_visible(&self, user: &User, target: &Target) -> bool {
        match target {
            Target::Node(node) => self.is_visible(user, *node),
            Target::Foreign(_) => true,
        }
    }

    fn feeds_one_of(&self, user: &User, plc: u32) -> bool {
        self.fed_by.get(plc as usize).is_some_and(|fed| fed.iter().any(|t| user.knows(TwinId(*t))))
    }

    /// Whether an event is for the user's ears.
    pub(in crate::northbound) fn is_told(&self, user: &User, event: &Event) -> bool {
        if event.kind.is_audit() && !access::may_see_audit(user) {
            return false;
        }
        // What is sent to one client alone.
        event.kind.passes_filters() || self.is_source_visible(user, event)
    }

    fn is_source_visible(&self, user: &User, event: &Event) -> bool {
        if !user.may(Role::Observer) || user.twins.is_none() {
            return user.may(Role::Observer);
        }
        let Source(source) = &event.source;
        if let Some(plc) = source.strip_prefix("plc:") {
            return self.world.plcs.named(plc).is_some_and(|plc| self.feeds_one_of(user, plc.0));
        }
        let twin = source.split('.').next().unwrap_or_default();
        match self.twin_by_name.get(twin) {
            Some(t) => user.knows(TwinId(*t)),
            // The server's own, who came among them; not those of a twin that is no more.
            None => matches!(twin, "" | "History" | "Connections" | "Twins"),
        }
    }

    /// RolePermissions of a node, of those roles.
    pub(super) fn role_permissions(&self, node: Node, of: Roles) -> Variant {
        let each = of.iter().map(|role| {
            let user = User::new("", Roles::from_iter([role]));
            ExtensionObject::from_message(RolePermissionType {
                role_id: roles::node_id(role).into(),
                permissions: self.permissions(&user, node),
            })
        });
        each.collect::<Vec<_>>().into()
    }

    fn permissions(&self, user: &User, node: Node) -> Permission {
        let mut permissions = Permission::Browse | Permission::ReadRolePermissions;
        match self.class(node) {
            NodeClass::Variable => {
                let level = self.user_access_level(user, node);
                let history = Permission::InsertHistory | Permission::ModifyHistory | Permission::DeleteHistory;
                for (of, permission) in [
                    (AccessLevel::CURRENT_READ, Permission::Read),
                    (AccessLevel::CURRENT_WRITE, Permission::Write),
                    (AccessLevel::HISTORY_READ, Permission::ReadHistory),
                    (AccessLevel::HISTORY_WRITE, history),
                ] {
                    if level.contains(of) {
                        permissions |= permission;
                    }
                }
            }
            NodeClass::Method if self.may_call(user, node) => permissions |= Permission::Call,
            _ => {}
        }
        if self.notifier(node).is_some() {
            permissions |= Permission::ReceiveEvents | Permission::ReadHistory;
        }
        permissions
    }
}
