//! The object `Configuration`: when the config was loaded, what is wrong with a newer one, until when our certificate is valid;
//! and `Reload`. Its nodes are in the types' NodeSet; what they hold is here.

use std::sync::{PoisonError, RwLock};

use opcua::{
    server::node_manager::{MethodCall, RequestContext},
    types::{NodeId, StatusCode, Variant},
};
use tokio::sync::oneshot;

use super::{Role, access, address_space::AddressSpace, audit::Trail, ids, users::User};
use crate::{time::Timestamp, ua};

/// What came of a reload: what has changed, a line each; or why nothing has.
pub type Reloaded = Result<Vec<String>, Vec<String>>;

/// Asks for the config to be loaded anew, and gets what came of it.
pub type ReloadRequest = oneshot::Sender<Reloaded>;

/// What the config in force, and the newest one, are known by. Written by whoever loads it.
#[derive(Debug, Default)]
pub struct Configuration(RwLock<Known>);

#[derive(Clone, Debug, Default)]
struct Known {
    loaded_at: Timestamp,
    faults: Vec<String>,
    certificate_expires: Option<Timestamp>,
}

impl Configuration {
    /// Loaded, and nothing wrong with it.
    pub fn loaded(&self, at: Timestamp) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        (known.loaded_at, known.faults) = (at, Vec::new());
    }

    /// A newer one was refused.
    pub fn refused(&self, faults: Vec<String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).faults = faults;
    }

    /// The end of the certificate that is shown to clients.
    pub fn certificate_expires(&self, at: Timestamp) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).certificate_expires = Some(at);
    }

    fn known(&self) -> Known {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The value of one of its variables; `None`: another node.
pub(super) fn value(space: &AddressSpace, user: &User, id: &NodeId) -> Option<Result<Variant, StatusCode>> {
    if id.namespace != space.namespaces.types {
        return None;
    }
    let known = || space.world.configuration.known();
    Some(match ids::numeric(id)? {
        ids::CONFIGURATION_LOADED_AT | ids::CONFIGURATION_CERTIFICATE_EXPIRATION_DATE if !user.may(Role::Observer) => {
            Err(StatusCode::BadUserAccessDenied)
        }
        ids::CONFIGURATION_LOADED_AT => Ok(ua::date_time(known().loaded_at).into()),
        ids::CONFIGURATION_CERTIFICATE_EXPIRATION_DATE => {
            Ok(known().certificate_expires.map_or(Variant::Empty, |at| ua::date_time(at).into()))
        }
        // They name twins, of which not everybody knows.
        ids::CONFIGURATION_FAULTS if !user.may(Role::ConfigureAdmin) => Err(StatusCode::BadUserAccessDenied),
        ids::CONFIGURATION_FAULTS => Ok(known().faults.into()),
        _ => return None,
    })
}

/// Whether a call is one of `Reload`.
pub(super) fn is_reload(space: &AddressSpace, call: &MethodCall) -> bool {
    let ours = |id: &NodeId, number| id.namespace == space.namespaces.types && ids::numeric(id) == Some(number);
    ours(call.object_id(), ids::CONFIGURATION) && ours(call.method_id(), ids::METHOD_RELOAD)
}

/// Answers it when the config is in force, or refused.
pub(super) async fn reload(space: &AddressSpace, context: &RequestContext, user: &User, call: &mut MethodCall) {
    let name = context.token.0.as_str();
    let outcome = if !user.may(access::role_for(ids::METHOD_RELOAD)) {
        Err(StatusCode::BadUserAccessDenied)
    } else if !call.arguments().is_empty() {
        Err(StatusCode::BadTooManyArguments)
    } else {
        ask(space).await
    };
    match outcome {
        Ok(changes) => {
            call.set_outputs(vec![changes.into()]);
            call.set_status(StatusCode::Good);
        }
        Err(status) => call.set_status(status),
    }
    Trail::of(space).called(name, call, "Reload", call.status()).await;
}

async fn ask(space: &AddressSpace) -> Result<Vec<String>, StatusCode> {
    let (reply, answer) = oneshot::channel();
    space.world.reloads.try_send(reply).map_err(|_| StatusCode::BadResourceUnavailable)?;
    match answer.await {
        Ok(outcome) => outcome.map_err(|_| StatusCode::BadConfigurationError),
        Err(_) => Err(StatusCode::BadServerHalted),
    }
}
