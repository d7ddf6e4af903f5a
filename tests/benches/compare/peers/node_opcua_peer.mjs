// node-opcua: its address space of JavaScript objects, its history in memory; values are changed by the variable's own setter, which tells
// its monitored items at once (minimumSamplingInterval 0).
// Arguments: port, variables, how many have a history, samples of each. Orders as those of the Python peers (line.py).

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../../interop/package.json", import.meta.url));
const { DataType, DataValue, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy, StatusCodes } = require("node-opcua");

const VARIABLES = 10;
const HISTORY_START = Date.UTC(2026, 0, 1);
const [port, variables, withHistory, samples] = process.argv.slice(2).map(Number);
const value = (index, tenth) => (index * 1e6 + tenth) / 1e6;
const variant = (index, tenth) => ({ dataType: DataType.Double, value: value(index, tenth) });

const certificates = new OPCUACertificateManager({ rootFolder: mkdtempSync(join(tmpdir(), "node-opcua-")), automaticallyAcceptUnknownCertificate: true });
await certificates.initialize();
const server = new OPCUAServer({
    port,
    host: "127.0.0.1",
    hostname: "127.0.0.1",
    serverCertificateManager: certificates,
    securityPolicies: [SecurityPolicy.None],
    securityModes: [MessageSecurityMode.None],
    serverCapabilities: {
        maxMonitoredItemsPerSubscription: 100_000, // 1,000 by itself
        operationLimits: { maxNodesPerRead: 10_000, maxMonitoredItemsPerCall: 10_000, maxNodesPerBrowse: 10_000 },
    },
});
await server.initialize();
const space = server.engine.addressSpace;
const own = space.registerNamespace("urn:uatwin:twins");
const nodes = [];
let folder;
for (let index = 1; index <= variables; index++) {
    const name = `Load${String(Math.floor((index - 1) / VARIABLES)).padStart(4, "0")}`;
    const place = (index - 1) % VARIABLES;
    if (place === 0) folder = own.addObject({ organizedBy: space.rootFolder.objects, browseName: name, nodeId: `ns=${own.index};s=${name}` });
    nodes.push(own.addVariable({
        componentOf: folder,
        browseName: `V${place}`,
        nodeId: `ns=${own.index};s=${name}.V${place}`,
        dataType: DataType.Double,
        minimumSamplingInterval: 0,
        value: variant(index, 0),
    }));
}
for (let index = 1; index <= withHistory; index++) {
    const node = nodes[index - 1];
    node.setValueFromSource(variant(index, 0), StatusCodes.Good, new Date(HISTORY_START - 1000)); // history begins with what stands
    space.installHistoricalDataNode(node, { maxOnlineValues: samples });
    for (let second = 0; second < samples; second++) {
        const at = new Date(HISTORY_START + 1000 * second);
        node._historyPush(new DataValue({ value: variant(index, 10 * second), statusCode: StatusCodes.Good, sourceTimestamp: at, serverTimestamp: at }));
    }
}

let timer;
function change(hz) {
    const due = (Math.floor((Date.now() / 1000) * hz) + 1) / hz;
    timer = setTimeout(() => {
        const at = new Date(Math.round(due * 1000));
        const tenth = Math.round(due * 10) % 864_000;
        nodes.forEach((node, i) => node.setValueFromSource(variant(i + 1, tenth), StatusCodes.Good, at));
        change(hz);
    }, due * 1000 - Date.now());
}

await server.start();
const { version } = require("node-opcua/package.json");
console.log(JSON.stringify({ ready: true, namespace: own.index, version: `node-opcua ${version}, Node.js ${process.versions.node}` }));
for await (const text of createInterface({ input: process.stdin })) {
    const order = JSON.parse(text);
    clearTimeout(timer);
    if (order.hz > 0) change(order.hz);
    console.log(text);
}
process.exit(0);
