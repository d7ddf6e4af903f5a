//! What loading NodeSets promises, and the types read back from a running server by a client.

use super::*;
use crate::northbound::ids::{self, TYPES_NAMESPACE};
use opcua::nodes::{NamespaceMap, NodeType};

/// The nodes of our two NodeSets. Namespace indices here: 0 the standard, 1 IA, 2 our types.
pub(crate) fn type_nodes() -> Vec<NodeType> {
    let mut namespaces = NamespaceMap::new();
    let mut nodes = Vec::new();
    for nodeset in Nodesets::load(&[]).unwrap().ordered {
        let mut mapper = NodeSetNamespaceMapper::new(&mut namespaces);
        nodeset.register_namespaces(&mut mapper);
        let loaded: Vec<_> = nodeset.load(&mapper).map(|item| item.node).collect();
        assert_eq!(loaded.len(), nodeset.node_count, "{}", nodeset.file);
        nodes.extend(loaded);
    }
    assert_eq!(namespaces.get_index(IA_NAMESPACE), Some(1));
    assert_eq!(namespaces.get_index(TYPES_NAMESPACE), Some(2));
    nodes
}

#[test]
fn every_reference_inside_our_nodesets_has_its_node_and_its_other_direction() {
    let mut namespaces = NamespaceMap::new();
    let mut items = Vec::new();
    for nodeset in Nodesets::load(&[]).unwrap().ordered {
        let mut mapper = NodeSetNamespaceMapper::new(&mut namespaces);
        nodeset.register_namespaces(&mut mapper);
        items.extend(nodeset.load(&mapper));
    }
    for item in &items {
        let source = item.node.as_node().node_id();
        for reference in item.references.iter().filter(|reference| reference.target_id.namespace != 0) {
            let target = items.iter().find(|other| other.node.as_node().node_id() == &reference.target_id);
            let Some(target) = target else { panic!("{source} refers to {}, which is not there", reference.target_id) };
            // A type does not list what uses it; everything else stands at both ends, as modelling tools expect.
            let one_way = ["i=40", "i=45", "i=17603"].contains(&reference.type_id.to_string().as_str());
            let back = target.references.iter().any(|back| {
                &back.target_id == source
                    && back.type_id == reference.type_id
                    && back.is_forward != reference.is_forward
            });
            assert!(one_way || back, "{source} -> {}", reference.target_id);
        }
    }
}

/// A NodeSet with one ObjectType, written to a file of its own.
fn nodeset_file(directory: &Path, name: &str, uri: &str, requires: &[&str]) -> PathBuf {
    let required: String = requires.iter().map(|uri| format!(r#"<RequiredModel ModelUri="{uri}"/>"#)).collect();
    let text = format!(
        r#"<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd">
          <NamespaceUris><Uri>{uri}</Uri></NamespaceUris>
          <Models><Model ModelUri="{uri}">{required}</Model></Models>
          <UAObjectType NodeId="ns=1;i=1" BrowseName="1:OnlyType"><DisplayName>OnlyType</DisplayName><References>
            <Reference ReferenceType="i=45" IsForward="false">i=58</Reference></References></UAObjectType>
        </UANodeSet>"#
    );
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn namespaces(user: &[PathBuf]) -> Vec<String> {
    Nodesets::load(user).unwrap().namespaces().map(str::to_owned).collect()
}

fn refusal(user: &[PathBuf]) -> String {
    let error = Nodesets::load(user).err().expect("these files must be refused");
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

#[test]
fn models_are_loaded_after_those_they_need_whatever_the_order_in_the_config() {
    let directory = tempfile::tempdir().unwrap();
    let base = nodeset_file(directory.path(), "base.xml", "urn:base", &[STANDARD_NAMESPACE]);
    let machine = nodeset_file(directory.path(), "machine.xml", "urn:machine", &["urn:base", TYPES_NAMESPACE]);
    assert_eq!(namespaces(&[]), [IA_NAMESPACE, TYPES_NAMESPACE]);
    assert_eq!(namespaces(&[machine, base]), [IA_NAMESPACE, TYPES_NAMESPACE, "urn:base", "urn:machine"]);
}

#[test]
fn a_users_own_ia_replaces_our_subset() {
    let directory = tempfile::tempdir().unwrap();
    let di = nodeset_file(directory.path(), "di.xml", "urn:di", &[]);
    let ia = nodeset_file(directory.path(), "ia.xml", IA_NAMESPACE, &["urn:di"]);
    assert_eq!(namespaces(&[ia.clone(), di.clone()]), ["urn:di", IA_NAMESPACE, TYPES_NAMESPACE]);
    let nodesets = Nodesets::load(&[ia, di]).unwrap();
    assert!(!nodesets.ordered.iter().any(|nodeset| nodeset.is_namespace_subset == Some(true)));
}

#[test]
fn a_file_that_cannot_be_loaded_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let lone = nodeset_file(directory.path(), "lone.xml", "urn:lone", &["urn:absent"]);
    let a = nodeset_file(directory.path(), "a.xml", "urn:a", &["urn:b"]);
    let b = nodeset_file(directory.path(), "b.xml", "urn:b", &["urn:a"]);
    let types = nodeset_file(directory.path(), "types.xml", TYPES_NAMESPACE, &[]);
    let cases: [(Vec<PathBuf>, &[&str]); 7] = [
        (vec![directory.path().join("absent.xml")], &["absent.xml", "No such file"]),
        (vec![file("cut.xml", "<UANodeSet><NamespaceUris>")], &["cut.xml", "not valid"]),
        (vec![file("other.xml", "<html/>")], &["other.xml", "<UANodeSet>"]),
        (vec![file("empty.xml", "<UANodeSet/>")], &["empty.xml", "no model"]),
        (vec![lone], &["lone.xml", "urn:absent"]),
        (vec![a, b], &["a.xml", "b.xml", "need each other"]),
        (vec![types], &["types.xml", TYPES_NAMESPACE, "already"]),
    ];
    for (files, expected) in cases {
        let message = refusal(&files);
        for part in expected {
            assert!(message.contains(part), "{message:?} should contain {part:?}");
        }
    }
}

mod served {
    //! The types as a client reads them.

    use super::*;
    use opcua::{
        client::{ClientBuilder, IdentityToken, Session},
        server::{ServerBuilder, ServerHandle},
        types::{
            BrowseDescription, BrowseDirection, EndpointDescription, MessageSecurityMode, NodeId, ObjectTypeId,
            QualifiedName, ReadValueId, ReferenceDescription, ReferenceTypeId, TimestampsToReturn, UserTokenPolicy,
            VariableId, Variant,
        },
    };
    use std::sync::Arc;

    async fn serve(directory: &Path) -> (ServerHandle, Arc<Session>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (server, handle) = ServerBuilder::new_anonymous("types")
            .application_uri("urn:test:types")
            .product_uri("urn:test")
            .pki_dir(directory.join("server"))
            .host("127.0.0.1")
            .port(port)
            .with_node_manager(builder(&[]).unwrap())
            .build()
            .unwrap();
        let runtime = tokio::runtime::Handle::current();
        runtime.spawn(server.run_with(listener));
        let mut client = ClientBuilder::new()
            .application_name("test")
            .application_uri("urn:test:client")
            .pki_dir(directory.join("client"))
            .client()
            .unwrap();
        let url = format!("opc.tcp://127.0.0.1:{port}/");
        let endpoint: EndpointDescription =
            (url.as_str(), "None", MessageSecurityMode::None, UserTokenPolicy::anonymous()).into();
        let (session, event_loop) = client.connect_to_endpoint_directly(endpoint, IdentityToken::Anonymous).unwrap();
        event_loop.spawn();
        session.wait_for_connection().await;
        (handle, session)
    }

    async fn value(session: &Session, id: impl Into<NodeId>) -> Variant {
        let read = [ReadValueId::from(id.into())];
        let values = session.read(&read, TimestampsToReturn::Neither, 0.0).await.unwrap();
        values.into_iter().next().unwrap().value.unwrap()
    }

    async fn references(
        session: &Session,
        id: impl Into<NodeId>,
        reference: ReferenceTypeId,
        direction: BrowseDirection,
    ) -> Vec<ReferenceDescription> {
        let browse = BrowseDescription {
            node_id: id.into(),
            browse_direction: direction,
            reference_type_id: reference.into(),
            include_subtypes: true,
            node_class_mask: 0,
            result_mask: 63,
        };
        let results = session.browse(&[browse], 0, None).await.unwrap();
        results.into_iter().next().unwrap().references.unwrap_or_default()
    }

    fn names(references: &[ReferenceDescription]) -> Vec<String> {
        references.iter().map(|reference| reference.browse_name.name.to_string()).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_reads_the_types_back() {
        let directory = tempfile::tempdir().unwrap();
        let (handle, session) = serve(directory.path()).await;

        let Variant::Array(uris) = value(&session, VariableId::Server_NamespaceArray).await else {
            panic!("no NamespaceArray")
        };
        let uris: Vec<String> = uris.values.iter().map(|uri| uri.to_string()).collect();
        assert_eq!(uris, [STANDARD_NAMESPACE, "urn:test:types", IA_NAMESPACE, TYPES_NAMESPACE]);
        let (ia, types) = (2, 3);

        // From the standard's side: a browser of types finds ours below BaseObjectType.
        let subtypes =
            references(&session, ObjectTypeId::BaseObjectType, ReferenceTypeId::HasSubtype, BrowseDirection::Forward)
                .await;
        assert!(names(&subtypes).contains(&"TwinType".to_owned()), "{:?}", names(&subtypes));

        let twin = NodeId::new(types, ids::TWIN_TYPE);
        let mut members =
            names(&references(&session, twin, ReferenceTypeId::Aggregates, BrowseDirection::Forward).await);
        members.sort();
        let expected = [
            "<Variable>",
            "ActivateRevision",
            "CancelFit",
            "Connection",
            "Correlate",
            "Fit",
            "FitProgram",
            "Model",
            "OptimizeSetpoints",
            "Predict",
            "SetParameters",
            "Simulate",
            "Statistics",
        ];
        assert_eq!(members, expected);

        let statistics = NodeId::new(types, ids::TWIN_STATISTICS_TYPE);
        let interfaces =
            references(&session, statistics.clone(), ReferenceTypeId::HasInterface, BrowseDirection::Forward).await;
        assert_eq!(interfaces[0].node_id.node_id, NodeId::new(ia, ids::IA_ROLLING_STATISTICS));
        let members = references(&session, statistics, ReferenceTypeId::Aggregates, BrowseDirection::Forward).await;
        let of_ia = QualifiedName::new(ia, "WindowDuration");
        assert!(members.iter().any(|member| member.browse_name == of_ia), "{:?}", names(&members));
        // HasComponent with its subtypes only finds it if the type tree knows IA's reference type.
        let by = members.iter().find(|member| member.browse_name.name.as_ref() == "<Variable>").unwrap();
        assert_eq!(by.reference_type_id, NodeId::new(ia, ids::IA_HAS_STATISTIC_COMPONENT));

        let Variant::Array(inputs) = value(&session, NodeId::new(types, ids::METHOD_FIT + 1)).await else {
            panic!("no arguments")
        };
        assert_eq!(inputs.values.len(), 4);
        session.disconnect().await.unwrap();
        handle.cancel();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_namespace_stands_once_in_namespaces_and_the_subset_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let (handle, session) = serve(directory.path()).await;
        let namespaces = references(
            &session,
            opcua::types::ObjectId::Server_Namespaces,
            ReferenceTypeId::HasComponent,
            BrowseDirection::Forward,
        )
        .await;
        let of_ia: Vec<_> =
            namespaces.iter().filter(|reference| reference.browse_name.name.as_ref() == IA_NAMESPACE).collect();
        assert_eq!(of_ia.len(), 1, "{:?}", names(&namespaces));
        let properties = references(
            &session,
            of_ia[0].node_id.node_id.clone(),
            ReferenceTypeId::HasProperty,
            BrowseDirection::Forward,
        )
        .await;
        let subset =
            properties.iter().find(|property| property.browse_name.name.as_ref() == "IsNamespaceSubset").unwrap();
        assert_eq!(value(&session, subset.node_id.node_id.clone()).await, Variant::from(true));
        session.disconnect().await.unwrap();
        handle.cancel();
    }
}
