// A PLC on the node-opcua stack with any tree of nodes: argument and commands as those of tree.py. `limits` makes it a small one:
// {browse, read: nodes in a request, untold: whether it keeps these to itself, references: of one node at a time,
// points: continuation points of a session}.

import { createInterface } from "node:readline";
import opcua from "node-opcua";

const { DataType, NodeId, NodeIdType, OPCUACertificateManager, OPCUAServer, VariantArrayType, Variant, resolveNodeId } = opcua;

const options = JSON.parse(process.argv[2]);
const limits = options.limits ?? {};
if (limits.references) {
    // The library has no such limit of its own.
    const browse = OPCUAServer.prototype._on_BrowseRequest;
    OPCUAServer.prototype._on_BrowseRequest = function (message, channel) {
        message.request.requestedMaxReferencesPerNode = limits.references;
        return browse.call(this, message, channel);
    };
}
const certificates = new OPCUACertificateManager({ rootFolder: options.folder, automaticallyAcceptUnknownCertificate: true });
await certificates.initialize();
const server = new OPCUAServer({
    port: options.port,
    host: "127.0.0.1",
    hostname: "127.0.0.1",
    resourcePath: "/tree",
    serverInfo: { applicationUri: "urn:foreign:tree" },
    serverCertificateManager: certificates,
    securityPolicies: [opcua.SecurityPolicy.None],
    securityModes: [opcua.MessageSecurityMode.None],
    serverCapabilities: {
        ...(limits.points && { maxBrowseContinuationPoints: limits.points }),
        operationLimits: { maxNodesPerBrowse: limits.browse ?? 0, maxNodesPerRead: limits.read ?? 0 },
    },
});
await server.initialize();

const space = server.engine.addressSpace;
const own = space.registerNamespace(options.namespace);
const known = new Map([["[]", space.rootFolder.objects]]);
const types = {};
const variables = {};

// The library's own reading of NodeIds stops at a line break.
const nodeIdOf = (id) =>
    id.startsWith("s=")
        ? new NodeId(NodeIdType.STRING, id.slice(2), own.index)
        : new NodeId(NodeIdType.NUMERIC, Number(id.slice(2)), own.index);

if (limits.untold) {
    for (const id of ["MaxNodesPerBrowse", "MaxNodesPerRead"]) {
        const node = space.findNode(resolveNodeId(`Server_ServerCapabilities_OperationLimits_${id}`));
        node.bindVariable({ get: () => new Variant({ dataType: DataType.UInt32, value: 0 }) }, true);
    }
}

function addVariable(parent, node) {
    const matrix = Array.isArray(node.value?.[0]);
    const dimensions = matrix ? [node.value.length, node.value[0].length] : null;
    const rank = matrix ? { valueRank: 2, arrayDimensions: dimensions } : node.array ? { valueRank: 1 } : {};
    const kind = matrix ? { arrayType: VariantArrayType.Matrix, dimensions } : node.array ? { arrayType: VariantArrayType.Array } : {};
    const structure = node.type === "ExtensionObject";
    const plain = structure ? new opcua.Range({ low: node.value[0], high: node.value[1] }) : matrix ? node.value.flat() : node.value;
    const value = { dataType: DataType[node.type], ...kind, value: plain };
    const access = node.hidden ? "" : node.writable ? "CurrentRead | CurrentWrite" : "CurrentRead";
    const common = {
        componentOf: parent,
        browseName: node.path.at(-1),
        nodeId: nodeIdOf(node.id),
        dataType: structure ? "Range" : node.data_type ? `i=${node.data_type}` : node.type,
        ...(node.fastest && { minimumSamplingInterval: node.fastest }),
        accessLevel: access,
        userAccessLevel: access,
        ...(node.about && { description: node.about }),
        ...rank,
        value,
    };
    if (node.range || node.unit) {
        const [low, high] = node.range ?? [0, 100];
        const [unitId, displayName] = node.unit ?? [-1, ""];
        return own.addAnalogDataItem({
            ...common,
            engineeringUnitsRange: { low, high },
            engineeringUnits: {
                namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact",
                unitId,
                displayName,
                description: displayName,
            },
        });
    }
    if (node.states && node.type === "Boolean") {
        const [falseState, trueState] = node.states;
        return own.addTwoStateDiscrete({ ...common, falseState, trueState, value });
    }
    if (node.states) return own.addMultiStateDiscrete({ ...common, enumStrings: node.states, value: node.value });
    return own.addVariable(common);
}

for (const node of options.nodes) {
    const parent = known.get(JSON.stringify(node.path.slice(0, -1)));
    let made;
    if (node.type) {
        made = addVariable(parent, node);
        variables[node.id] = { made, type: node.type };
    } else {
        if (node.of) types[node.of] ??= own.addObjectType({ browseName: node.of });
        made = own.addObject({
            ...(node.path.length === 1 ? { organizedBy: parent } : { componentOf: parent }),
            browseName: node.path.at(-1),
            nodeId: nodeIdOf(node.id),
            ...(node.of && { typeDefinition: types[node.of] }),
        });
    }
    known.set(JSON.stringify(node.path), made);
}

await server.start();
console.log(JSON.stringify({ ready: true }));
for await (const text of createInterface({ input: process.stdin })) {
    const [id, value] = JSON.parse(text).set;
    const { made, type } = variables[id];
    made.setValueFromSource(new Variant({ dataType: DataType[type], value }));
    console.log(JSON.stringify({ done: true }));
}
process.exit(0);
