//! Starting and stopping: what stands in the way is said in a sentence, and nothing hangs.

use std::{error::Error, path::Path, time::Duration};

use opcua::{
    client::{ClientBuilder, IdentityToken},
    crypto::SecurityPolicy,
    types::{EndpointDescription, MessageSecurityMode, UserTokenPolicy},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uatwin::northbound::{Role, Server, ServerConfig, ServerError};

use crate::support::{Fixture, config, world};

async fn refusal(config: &ServerConfig) -> (ServerError, String) {
    let error = Server::bind(config, world().0).await.err().expect("it cannot start");
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    (error, cause)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_an_unwritable_folder_and_a_wrong_policy_are_each_one_clear_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let (error, cause) = refusal(&config(port, &["None"], Some(Role::Observer), dir.path().into())).await;
    assert_eq!(error.to_string(), format!("listening on 127.0.0.1:{port}"));
    assert!(cause.contains("in use"), "{cause}");

    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let (error, cause) = refusal(&config(0, &["Basic256Sha256"], Some(Role::Observer), file.join("pki"))).await;
    assert!(error.to_string().starts_with("preparing certificates in `") && !cause.is_empty(), "{error}: {cause}");

    let (error, _) = refusal(&config(0, &["Basic128"], Some(Role::Observer), dir.path().into())).await;
    assert_eq!(error.to_string(), "`Basic128` is no security policy that this server knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_with_a_client_connected_and_starts_again_on_the_same_port() {
    let fixture = Fixture::start().await;
    let port: u16 = fixture.url.rsplit(':').next().unwrap().parse().unwrap();
    let client = fixture.connect().await;
    tokio::time::timeout(Duration::from_secs(20), fixture.stop()).await.expect("it stops by itself");
    client.crash();
    let again = Fixture::start_on(port, &["None"], Some(Role::Observer)).await;
    assert_eq!(again.url, format!("opc.tcp://127.0.0.1:{port}"));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_client_is_refused_and_kept_and_let_in_once_its_file_is_moved() {
    let (world, state, _, _) = world();
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("server");
    let mut config = config(0, &["Basic256Sha256"], Some(Role::Observer), pki.clone());
    config.trust_any_client = false;
    let server = Server::bind(&config, world).await.unwrap();
    let (url, stop) = (server.endpoint_url().to_owned(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(stop.clone()));
    let client_pki = dir.path().join("client");
    assert!(!connects_securely(&url, &client_pki).await);
    let rejected: Vec<_> = std::fs::read_dir(pki.join("rejected")).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(rejected.len(), 1);
    std::fs::rename(rejected[0].path(), pki.join("trusted").join(rejected[0].file_name())).unwrap();
    assert!(connects_securely(&url, &client_pki).await);
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    drop(state);
}

async fn connects_securely(url: &str, pki_dir: &Path) -> bool {
    let mut client = ClientBuilder::new()
        .application_name("secure test")
        .application_uri("urn:secure-test")
        .pki_dir(pki_dir)
        .create_sample_keypair(true)
        .trust_server_certs(true)
        .session_retry_limit(0)
        .client()
        .unwrap();
    let policy = SecurityPolicy::Basic256Sha256.to_str();
    let endpoint: EndpointDescription =
        (url, policy, MessageSecurityMode::SignAndEncrypt, UserTokenPolicy::anonymous()).into();
    let (session, event_loop) = client.connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(event_loop.run());
    tokio::select! {
        connected = session.wait_for_connection() => connected,
        _ = tasks.join_next() => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_made_once_and_names_the_advertised_host() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    let mut config = config(0, &["Basic256Sha256"], Some(Role::Observer), pki.clone());
    config.advertise = Some("line1.example".to_owned());
    let server = Server::bind(&config, world().0).await.unwrap();
    assert!(server.endpoint_url().starts_with("opc.tcp://line1.example:"), "{}", server.endpoint_url());
    let made = std::fs::read(pki.join("own/cert.der")).unwrap();
    for folder in ["private", "trusted", "rejected"] {
        assert!(pki.join(folder).is_dir(), "{folder}");
    }
    let text = String::from_utf8_lossy(&made).into_owned();
    assert!(text.contains("line1.example") && text.contains("urn:uatwin:test") && text.contains("localhost"));
    drop(server);
    drop(Server::bind(&config, world().0).await.unwrap());
    assert_eq!(std::fs::read(pki.join("own/cert.der")).unwrap(), made);
}
