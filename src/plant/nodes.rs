//! The plant's address space: which nodes there are, and what a client is told about each. Values live elsewhere
//! (`server.rs`); nothing here changes after start.

use std::collections::HashMap;

use opcua::{
    nodes::VariableBuilder,
    server::address_space::AddressSpace,
    types::{
        DataTypeId, EUInformation, ExtensionObject, Identifier, LocalizedText, NodeId, ObjectId, QualifiedName, Range,
        VariableTypeId, Variant,
    },
};

use super::{
    NAMESPACE,
    devices::{Device, Unit},
};

/// What a node is, and where its value is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Point {
    /// The `n`-th measurement of the plant; the first of each device is its set-point.
    Measured(usize),
    /// Whether a device's programme runs.
    Auto(usize),
    /// How worn a device is.
    Ageing(usize),
    /// The `n`-th constant of a device.
    Truth(usize, usize),
    /// A variable of the load, counted from 1.
    Load(u32),
}

/// What a set-point or a measurement belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measurement {
    pub(super) device: usize,
    /// The range of a set-point; `None` for what cannot be written.
    pub(super) writable: Option<(f64, f64)>,
}

/// The nodes: NodeIds both ways.
pub(super) struct Nodes {
    points: HashMap<NodeId, Point>,
    pub(super) measurements: Vec<(NodeId, Measurement)>,
    /// Auto, Ageing and Truth of every device: they change only with orders.
    pub(super) slow: Vec<NodeId>,
    pub(super) load: Vec<NodeId>,
}

impl Nodes {
    pub(super) fn point(&self, id: &NodeId) -> Option<Point> {
        self.points.get(id).copied()
    }

    /// Makes every node below `Objects`. The namespace must have the index `ns` already.
    pub(super) fn insert(address_space: &mut AddressSpace, ns: u16, devices: &[Device], load: u32) -> Self {
        let nodes = Self { points: HashMap::new(), measurements: Vec::new(), slow: Vec::new(), load: Vec::new() };
        let mut builder = Builder { ns, address_space, nodes };
        for (i, device) in devices.iter().enumerate() {
            builder.device(i, device);
        }
        if load > 0 {
            builder.load(load);
        }
        builder.nodes
    }
}

/// What a client is told about one variable.
struct Description<'a> {
    name: &'a str,
    text: &'a str,
    data_type: DataTypeId,
    unit: Option<Unit>,
    range: Option<(f64, f64)>,
    writable: bool,
    historized: bool,
}

struct Builder<'a> {
    ns: u16,
    address_space: &'a mut AddressSpace,
    nodes: Nodes,
}

impl Builder<'_> {
    fn device(&mut self, index: usize, device: &Device) {
        let folder = NodeId::new(self.ns, device.name.as_str());
        self.folder(&folder, &device.name, &ObjectId::ObjectsFolder.into());
        let input = std::iter::once((device.physics.input(), true));
        for (signal, writable) in input.chain(device.physics.signals().iter().map(|signal| (signal, false))) {
            let description = Description {
                name: signal.name,
                text: signal.description,
                data_type: DataTypeId::Double,
                unit: Some(signal.unit),
                range: Some((signal.low, signal.high)),
                writable,
                historized: true,
            };
            self.measurement(index, &folder, &description);
        }
        let flag = |name, text, writable, historized| Description {
            name,
            text,
            data_type: DataTypeId::Boolean,
            unit: None,
            range: None,
            writable,
            historized,
        };
        for &(name, text) in device.physics.flags() {
            self.measurement(index, &folder, &flag(name, text, false, true));
        }
        let auto = flag("Auto", "Whether the built-in programme moves the set-point.", true, false);
        self.variable(&folder, &auto, Point::Auto(index));
        let ageing = Description {
            data_type: DataTypeId::Double,
            range: Some((0.0, 1.0)),
            ..flag("Ageing", "How worn the device is: 0 new, 1 worn. Truth follows.", true, false)
        };
        self.variable(&folder, &ageing, Point::Ageing(index));
        let truth = child(&folder, "Truth");
        self.folder(&truth, "Truth", &folder);
        for (i, constant) in device.physics.constants().iter().enumerate() {
            let description = Description {
                unit: Some(constant.unit),
                data_type: DataTypeId::Double,
                ..flag(constant.name, constant.description, false, false)
            };
            self.variable(&truth, &description, Point::Truth(index, i));
        }
    }

    fn load(&mut self, count: u32) {
        let folder = NodeId::new(self.ns, "Load");
        self.folder(&folder, "Load", &ObjectId::ObjectsFolder.into());
        for i in 1..=count {
            let name = format!("{i:05}");
            let id = child(&folder, &name);
            // No description, no properties: ten thousand of these must stay small.
            VariableBuilder::new(&id, QualifiedName::new(self.ns, name.as_str()), name.as_str())
                .data_type(DataTypeId::Double)
                .value(0.0_f64)
                .has_type_definition(VariableTypeId::BaseDataVariableType)
                .component_of(folder.clone())
                .insert(self.address_space);
            self.nodes.points.insert(id.clone(), Point::Load(i));
            self.nodes.load.push(id);
        }
    }

    fn folder(&mut self, id: &NodeId, name: &str, parent: &NodeId) {
        self.address_space.add_folder(id, QualifiedName::new(self.ns, name), name, parent);
    }

    fn measurement(&mut self, device: usize, folder: &NodeId, description: &Description<'_>) {
        let id = self.variable(folder, description, Point::Measured(self.nodes.measurements.len()));
        let writable = description.range.filter(|_| description.writable);
        self.nodes.measurements.push((id, Measurement { device, writable }));
    }

    fn variable(&mut self, folder: &NodeId, description: &Description<'_>, point: Point) -> NodeId {
        let id = child(folder, description.name);
        let variable_type = if description.range.is_some() {
            VariableTypeId::AnalogItemType
        } else {
            VariableTypeId::BaseDataVariableType
        };
        let mut variable = VariableBuilder::new(&id, QualifiedName::new(self.ns, description.name), description.name)
            .description(description.text)
            .data_type(description.data_type)
            .value(if description.data_type == DataTypeId::Boolean { Variant::from(false) } else { Variant::from(0.0) })
            .historizing(description.historized)
            .has_type_definition(variable_type)
            .component_of(folder.clone());
        if description.writable {
            variable = variable.writable();
        }
        if description.historized {
            variable = variable.history_readable();
        }
        variable.insert(self.address_space);
        if let Some((low, high)) = description.range {
            let range = ExtensionObject::from_message(Range { low, high });
            self.property(&id, "EURange", DataTypeId::Range, range);
        }
        if let Some(unit) = description.unit {
            self.property(
                &id,
                "EngineeringUnits",
                DataTypeId::EUInformation,
                ExtensionObject::from_message(unit_information(unit)),
            );
        }
        if !matches!(point, Point::Measured(_)) {
            self.nodes.slow.push(id.clone());
        }
        self.nodes.points.insert(id.clone(), point);
        id
    }

    fn property(&mut self, owner: &NodeId, name: &str, data_type: DataTypeId, value: ExtensionObject) {
        VariableBuilder::new(&child(owner, name), QualifiedName::new(0, name), name)
            .data_type(data_type)
            .value(Variant::from(value))
            .has_type_definition(VariableTypeId::PropertyType)
            .property_of(owner.clone())
            .insert(self.address_space);
    }
}

/// `Parent.Name`.
fn child(parent: &NodeId, name: &str) -> NodeId {
    let path = match &parent.identifier {
        Identifier::String(path) => path.as_ref(),
        _ => unreachable!("the plant's folders and variables all have string NodeIds"),
    };
    NodeId::new(parent.namespace, format!("{path}.{name}"))
}

/// OPC 10000-8 §5.6.3.3: the unitId of a UNECE unit is its code's characters, read as a big-endian number.
fn unit_information(Unit(code, text): Unit) -> EUInformation {
    let unit_id = code.bytes().fold(0_i32, |id, byte| (id << 8) | i32::from(byte));
    EUInformation {
        namespace_uri: if code.is_empty() { NAMESPACE } else { "http://www.opcfoundation.org/UA/units/un/cefact" }
            .into(),
        unit_id: if code.is_empty() { -1 } else { unit_id },
        display_name: LocalizedText::new("", text),
        description: LocalizedText::new("", text),
    }
}
