//! The NodeSets that the server loads at start: our types and the subset of IA, compiled in, and the files of `server.nodesets`.
//! Says what is wrong with a file before the server starts; never touches the instances.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use opcua::{
    nodes::{ImportedItem, NodeSet2Import, NodeSetImport, NodeSetNamespaceMapper},
    server::{
        address_space::AddressSpace,
        diagnostics::NamespaceMetadata,
        node_manager::{
            NodeManagerBuilder, ServerContext,
            memory::{InMemoryNodeManager, InMemoryNodeManagerBuilder, InMemoryNodeManagerImpl},
        },
    },
    types::DateTime,
    xml::{
        XmlError, load_nodeset2_file,
        schema::{
            opc_ua_types::Variant,
            ua_node_set::{ModelTableEntry, UANode, UANodeBase, UANodeSet},
        },
    },
};
use tracing::warn;

use super::ids::IA_NAMESPACE;

/// Our types, as XML: what a modeller imports.
pub const UATWIN_NODESET: &str = include_str!("../../nodesets/UaTwin.NodeSet2.xml");
/// Of OPC 10000-200 what we use, as XML.
pub const IA_SUBSET_NODESET: &str = include_str!("../../nodesets/IA-subset.NodeSet2.xml");

const STANDARD_NAMESPACE: &str = "http://opcfoundation.org/UA/";
/// NodeId of NamespaceMetadataType.
const NAMESPACE_METADATA_TYPE: &str = "i=11616";

/// The node manager that serves the types, as the library sees it.
pub type TypeNodeManager = InMemoryNodeManager<TypeNodes>;

/// Why the NodeSets can't be loaded. Each message names the file.
#[derive(Debug, thiserror::Error)]
pub enum NodesetError {
    /// The file can't be read.
    #[error("reading NodeSet {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file is not a NodeSet2.
    #[error("NodeSet {file} is not valid UANodeSet XML")]
    Parse {
        /// The file.
        file: String,
        /// Where and why.
        #[source]
        cause: XmlError,
    },
    /// Well-formed XML, but of something else.
    #[error("NodeSet {file} has no <UANodeSet> element")]
    NotANodeSet {
        /// The file.
        file: String,
    },
    /// Without a model there is no namespace to register.
    #[error("NodeSet {file} names no model in <Models>")]
    NoModel {
        /// The file.
        file: String,
    },
    /// Two files bring the same model.
    #[error("NodeSet {file} brings model {model}, which {other} brings already")]
    Twice {
        /// The second file.
        file: String,
        /// The first file.
        other: String,
        /// The ModelUri.
        model: String,
    },
    /// A model is needed that no file brings.
    #[error("NodeSet {file} needs model {model}, which no file in server.nodesets brings")]
    MissingModel {
        /// The file that needs it.
        file: String,
        /// The ModelUri that it needs.
        model: String,
    },
    /// Models that need each other have no order of loading.
    #[error("NodeSets {} need each other's models", files.join(", "))]
    Circle {
        /// The files that are left over.
        files: Vec<String>,
    },
}

/// The NodeSets to load, checked and in the order of loading.
pub struct Nodesets {
    ordered: Vec<Nodeset>,
}

impl Nodesets {
    /// Reads the files of `server.nodesets` and puts them with our own in an order in which every model comes after those it
    /// needs. A file with the model of our IA subset replaces it; our types can't be replaced.
    pub fn load(user: &[PathBuf]) -> Result<Self, NodesetError> {
        let mut user = user.iter().map(|path| Nodeset::read(path)).collect::<Result<Vec<_>, _>>()?;
        let mut nodesets = Vec::new();
        if !user.iter().any(|nodeset| nodeset.brings(IA_NAMESPACE)) {
            nodesets.push(Nodeset::parse("(built-in) IA-subset.NodeSet2.xml", IA_SUBSET_NODESET)?);
        }
        nodesets.push(Nodeset::parse("(built-in) UaTwin.NodeSet2.xml", UATWIN_NODESET)?);
        nodesets.append(&mut user);
        check_models(&nodesets)?;
        Ok(Self { ordered: in_order(nodesets)? })
    }

    /// The namespaces of the models, in the order in which the server will number them (from 2; 1 is the server's own).
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.ordered.iter().flat_map(|nodeset| nodeset.models.iter().map(|model| model.model_uri.as_str()))
    }

    /// The node manager that serves them.
    pub fn into_builder(self) -> impl NodeManagerBuilder + use<> {
        InMemoryNodeManagerBuilder::new(move |context: ServerContext, address_space: &mut AddressSpace| {
            let mut type_tree = context.type_tree.write();
            let mut namespaces = Vec::new();
            for nodeset in &self.ordered {
                address_space.import_node_set(nodeset, type_tree.namespaces_mut());
                namespaces.extend(nodeset.metadata(|uri| type_tree.namespaces_mut().add_namespace(uri)));
            }
            TypeNodes { namespaces }
        })
    }
}

/// The node manager of our types and of the files in `user`: [`Nodesets::load`] and [`Nodesets::into_builder`] in one.
pub fn builder(user: &[PathBuf]) -> Result<impl NodeManagerBuilder + use<>, NodesetError> {
    Ok(Nodesets::load(user)?.into_builder())
}

/// The types in memory. They are read and browsed; a call of a type's method is for the decorator around this manager.
pub struct TypeNodes {
    namespaces: Vec<NamespaceMetadata>,
}

#[async_trait]
impl InMemoryNodeManagerImpl for TypeNodes {
    async fn init(&self, _address_space: &mut AddressSpace, _context: ServerContext) {}

    fn name(&self) -> &str {
        "types"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        self.namespaces.clone()
    }
}

/// One file.
struct Nodeset {
    file: String,
    models: Vec<ModelTableEntry>,
    namespace_uris: Vec<String>,
    is_namespace_subset: Option<bool>,
    node_count: usize,
    import: NodeSet2Import,
}

impl Nodeset {
    fn read(path: &Path) -> Result<Self, NodesetError> {
        let text =
            std::fs::read_to_string(path).map_err(|cause| NodesetError::Read { path: path.to_owned(), cause })?;
        Self::parse(&path.display().to_string(), &text)
    }

    fn parse(file: &str, text: &str) -> Result<Self, NodesetError> {
        let file = file.to_owned();
        // A byte order mark is common in files from Windows tools, and no XML.
        let parsed = load_nodeset2_file(text.trim_start_matches('\u{feff}'));
        let parsed = parsed.map_err(|cause| NodesetError::Parse { file: file.clone(), cause })?;
        let Some(mut nodeset) = parsed.node_set else { return Err(NodesetError::NotANodeSet { file }) };
        let models = nodeset.models.as_ref().map(|table| table.models.clone()).unwrap_or_default();
        if models.is_empty() {
            return Err(NodesetError::NoModel { file });
        }
        let namespace_uris = nodeset.namespace_uris.as_ref().map(|table| table.uris.clone()).unwrap_or_default();
        let is_namespace_subset = take_metadata(&mut nodeset);
        let node_count = nodeset.nodes.len();
        let import = NodeSet2Import::new_nodeset("en", nodeset, Vec::new());
        Ok(Self { file, models, namespace_uris, is_namespace_subset, node_count, import })
    }

    fn brings(&self, model_uri: &str) -> bool {
        self.models.iter().any(|model| model.model_uri == model_uri)
    }

    /// The models that must be loaded before. A namespace that the file only lists counts too: unowned, it would stand as an
    /// empty string in the server's NamespaceArray.
    fn needs(&self) -> impl Iterator<Item = &str> {
        let required =
            self.models.iter().flat_map(|model| model.required_model.iter().map(|model| model.model_uri.as_str()));
        let listed = self.namespace_uris.iter().map(String::as_str);
        required.chain(listed).filter(|uri| *uri != STANDARD_NAMESPACE && !self.brings(uri))
    }

    fn metadata(&self, mut index: impl FnMut(&str) -> u16) -> Vec<NamespaceMetadata> {
        let metadata = |model: &ModelTableEntry| NamespaceMetadata {
            is_namespace_subset: self.is_namespace_subset,
            namespace_publication_date: model.publication_date.map(DateTime::from),
            namespace_uri: model.model_uri.clone(),
            namespace_version: model.version.clone(),
            namespace_index: index(&model.model_uri),
            ..Default::default()
        };
        self.models.iter().map(metadata).collect()
    }
}

/// The library's import, without its output on stdout and owning only the namespaces of its models.
impl NodeSetImport for Nodeset {
    fn register_namespaces(&self, namespaces: &mut NodeSetNamespaceMapper) {
        // The file's index of a namespace counts from 1 unless the file lists namespace 0 as well.
        let first = u16::from(self.namespace_uris.first().is_none_or(|uri| uri != STANDARD_NAMESPACE));
        for (uri, index) in self.namespace_uris.iter().zip(first..) {
            namespaces.add_namespace(uri, index);
        }
    }

    fn get_own_namespaces(&self) -> Vec<String> {
        self.models.iter().map(|model| model.model_uri.clone()).collect()
    }

    fn load<'a>(&'a self, namespaces: &'a NodeSetNamespaceMapper) -> Box<dyn Iterator<Item = ImportedItem> + 'a> {
        // The library drops what it can't decode (values of the old type dictionaries, for instance): say how much that was.
        let items: Vec<ImportedItem> = self.import.load(namespaces).collect();
        let lost = self.node_count - items.len();
        if lost > 0 {
            warn!(file = %self.file, lost, "nodes of this NodeSet could not be imported");
        }
        Box::new(items.into_iter())
    }
}

/// Takes the NamespaceMetadata object and its properties out of a NodeSet and returns its IsNamespaceSubset. The server makes
/// these nodes itself, for every namespace: with those of the file each would be there twice.
fn take_metadata(nodeset: &mut UANodeSet) -> Option<bool> {
    let refers = |base: &UANodeBase, forward: bool, wanted: &dyn Fn(&str) -> bool| {
        let references = base.references.iter().flat_map(|list| &list.references);
        references.filter(|reference| reference.is_forward == forward).any(|reference| wanted(&reference.node_id.0))
    };
    let is_metadata = |node: &UANode| matches!(node, UANode::Object(object) if refers(&object.base.base, true, &|id| id == NAMESPACE_METADATA_TYPE));
    let objects: HashSet<String> =
        nodeset.nodes.iter().filter(|node| is_metadata(node)).map(|node| node.base().node_id.0.clone()).collect();
    let mut is_namespace_subset = None;
    nodeset.nodes.retain(|node| {
        if let UANode::Variable(variable) = node
            && refers(&variable.base.base, false, &|id| objects.contains(id))
        {
            if let ("IsNamespaceSubset", Some(Variant::Boolean(subset))) = (
                variable.base.base.browse_name.0.trim_start_matches("0:"),
                variable.value.as_ref().map(|value| &value.0),
            ) {
                is_namespace_subset = Some(*subset);
            }
            return false;
        }
        !objects.contains(&node.base().node_id.0)
    });
    is_namespace_subset
}

/// Every model is brought once, and every model that is needed is brought.
fn check_models(nodesets: &[Nodeset]) -> Result<(), NodesetError> {
    for (index, nodeset) in nodesets.iter().enumerate() {
        for model in &nodeset.models {
            if let Some(other) = nodesets.iter().take(index).find(|other| other.brings(&model.model_uri)) {
                let (file, other, model) = (nodeset.file.clone(), other.file.clone(), model.model_uri.clone());
                return Err(NodesetError::Twice { file, other, model });
            }
        }
        if let Some(model) = nodeset.needs().find(|uri| !nodesets.iter().any(|other| other.brings(uri))) {
            return Err(NodesetError::MissingModel { file: nodeset.file.clone(), model: model.to_owned() });
        }
    }
    Ok(())
}

/// Each time the first whose needs are met: the order given is kept as far as it can be, so indices don't jump.
fn in_order(mut waiting: Vec<Nodeset>) -> Result<Vec<Nodeset>, NodesetError> {
    let mut ordered: Vec<Nodeset> = Vec::new();
    while !waiting.is_empty() {
        let ready = |nodeset: &Nodeset| nodeset.needs().all(|uri| ordered.iter().any(|loaded| loaded.brings(uri)));
        let Some(next) = waiting.iter().position(ready) else {
            return Err(NodesetError::Circle { files: waiting.into_iter().map(|nodeset| nodeset.file).collect() });
        };
        let nodeset = waiting.remove(next);
        ordered.push(nodeset);
    }
    Ok(ordered)
}

#[cfg(test)]
#[path = "nodesets_tests.rs"]
pub(crate) mod tests;
