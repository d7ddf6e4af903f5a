//! A client of the program under measurement, without security, whose own limits are in nobody's way.

use std::{path::Path, sync::Arc, time::Duration};

use opcua::{
    client::{ClientBuilder, IdentityToken, Session},
    crypto::SecurityPolicy,
    types::{
        EndpointDescription, MessageSecurityMode, NodeId, TimestampsToReturn, UserTokenPolicy, VariableId, Variant,
    },
};

pub(crate) async fn connect(port: u16, folder: &Path) -> Arc<Session> {
    let mut client = ClientBuilder::new()
        .application_name("bench")
        .application_uri("urn:bench")
        .pki_dir(folder.join("client"))
        .create_sample_keypair(false)
        .trust_server_certs(true)
        .session_retry_limit(50)
        .max_array_length(200_000)
        .max_message_size(64 << 20)
        .max_chunk_count(2_000)
        .min_publish_interval(Duration::from_millis(10))
        .client()
        .expect("a client");
    let url = format!("opc.tcp://127.0.0.1:{port}");
    let endpoint: EndpointDescription =
        (url.as_str(), SecurityPolicy::None.to_str(), MessageSecurityMode::None, UserTokenPolicy::anonymous()).into();
    let (session, event_loop) =
        client.connect_to_endpoint_directly(endpoint, IdentityToken::Anonymous).expect("an endpoint");
    #[expect(clippy::disallowed_methods, reason = "a client for as long as the process lives")]
    tokio::spawn(event_loop.run());
    assert!(session.wait_for_connection().await, "connected");
    session
}

/// The index of the twins' namespace.
pub(crate) async fn namespace(session: &Session) -> u16 {
    let nodes = [NodeId::from(VariableId::Server_NamespaceArray).into()];
    let namespaces = session.read(&nodes, TimestampsToReturn::Neither, 0.0).await.expect("the namespaces");
    let Some(Variant::Array(names)) = &namespaces[0].value else { panic!("no namespaces") };
    let twins = names.values.iter().position(|name| *name == Variant::from("urn:uatwin:twins")).expect("twins");
    u16::try_from(twins).expect("an index")
}
