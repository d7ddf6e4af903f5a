//! What a PLC says of itself: its nodes, and what there is to know of its variables. Words without a protocol; `opcua_client` fills them
//! in, `import` makes a config of them, `uatwin check --online` holds a config against them.

use std::{sync::Arc, time::Duration};

use super::{NodeAddress, SecurityMode};
use crate::sample::StatusCode;

/// A NodeId (`s=…`, `i=…`) or a BrowseName (its text) with its namespace by URI; `None`: the standard namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Qualified {
    /// URI.
    pub namespace: Option<Arc<str>>,
    /// The identifier, or the name.
    pub text: Arc<str>,
}

impl Qualified {
    /// As a config's address, of a NodeId.
    #[must_use]
    pub fn address(&self) -> NodeAddress {
        NodeAddress::Id { namespace: self.namespace.as_deref().map(Into::into), identifier: self.text.as_ref().into() }
    }
}

/// Everything that was found below one node.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// BrowseNames from the root folder to `nodes[0]`; empty: not known.
    pub root: Vec<Qualified>,
    /// The node where it began, then what is below it: parents before children, each node once.
    pub nodes: Vec<Found>,
    /// Objects that were not entered, for what they are (conditions, files, programs, configurations of history).
    pub left_out: usize,
    /// Nodes whose children could not be listed, and why: by their index.
    pub closed: Vec<(usize, StatusCode)>,
    /// Whether there was more than can be held.
    pub truncated: bool,
}

/// One node.
#[derive(Clone, Debug)]
pub struct Found {
    /// Index of the node that it was found below; of the first one, itself.
    pub parent: usize,
    /// NodeId.
    pub id: Qualified,
    /// BrowseName.
    pub name: Qualified,
    /// Whether the parent has another node of this BrowseName: then no browse path leads here.
    pub is_ambiguous: bool,
    /// What it is.
    pub what: What,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum What {
    /// An object.
    Object {
        /// BrowseName of its ObjectType; `None`: BaseObjectType, FolderType or one that follows from FolderType.
        object_type: Option<Qualified>,
        /// Properties that describe it (HasProperty): no variables of the process.
        properties: usize,
    },
    /// A variable.
    Variable(Box<Facts>),
}

/// What a variable's node says of it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Of the reading; Bad: nothing else here is known.
    pub status: StatusCode,
    /// Built-in type of its values (OPC 10000-6 Table 1); `None`: it is not known.
    pub built_in: Option<u8>,
    /// The data type's own name.
    pub data_type: String,
    /// How many dimensions.
    pub shape: Shape,
    /// Whether this user may read it.
    pub is_readable: bool,
    /// Whether this user may write it.
    pub is_writable: bool,
    /// Description.
    pub description: String,
    /// How fast the server can sample it at best; `None`: it does not say.
    pub sampling_interval: Option<Duration>,
    /// EURange.
    pub range: Option<(f64, f64)>,
    /// EngineeringUnits.
    pub unit: Option<Unit>,
    /// Names of its states, from value 0 on; empty: it has none, or they are not numbered so.
    pub states: Vec<String>,
}

/// Dimensions of a value (OPC 10000-3 §5.6.2, ValueRank).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// None.
    Scalar,
    /// One.
    Array,
    /// More, or now these and now those.
    Other,
}

/// EUInformation (OPC 10000-8 §5.6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Common code of UNECE Recommendation 20; empty: of another list, or none.
    pub code: String,
    /// What is shown.
    pub text: String,
}

impl Facts {
    /// Of a node that could not be read.
    #[must_use]
    pub fn unread(status: StatusCode) -> Self {
        Self {
            status,
            built_in: None,
            data_type: String::new(),
            shape: Shape::Scalar,
            is_readable: false,
            is_writable: false,
            description: String::new(),
            sampling_interval: None,
            range: None,
            unit: None,
            states: Vec::new(),
        }
    }
}

/// An endpoint that a server offers and that we can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `None`, `Basic256Sha256`, …
    pub policy: String,
    /// Sign, encrypt.
    pub mode: SecurityMode,
}

/// How far a survey is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nodes found so far.
    Browsing {
        /// How many.
        nodes: usize,
    },
    /// Variables read so far.
    Reading {
        /// How many.
        done: usize,
        /// Of how many.
        of: usize,
    },
}

/// One address of a config, held against the PLC.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// What the node says, or why there is none.
    pub facts: Result<Facts, StatusCode>,
    /// Identifiers, or names, of the nodes beside the place where it should be.
    pub beside: Vec<String>,
}

/// All addresses of a config at one PLC.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// By address.
    pub addresses: Vec<Inspected>,
    /// Variables that the PLC has beside these; `None`: they could not be counted in the time given.
    pub others: Option<usize>,
}
