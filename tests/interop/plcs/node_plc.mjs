// A PLC on the node-opcua stack: serves plcs/line.json and does what the JSON lines on its standard input say.
// Argument and commands as those of asyncua_plc.py (it keeps no history).

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import opcua from "node-opcua";

const {
    DataType, DataValue, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy, VariantArrayType,
    getStatusCodeFromCode,
} = opcua;

const line = JSON.parse(readFileSync(new URL("line.json", import.meta.url), "utf8"));
const options = JSON.parse(process.argv[2]);
const secure = Boolean(options.certificate);

// "….123456Z" ↔ a Date of milliseconds and the picoseconds beyond them.
const picosecondsOf = (text) => Number(text.slice(-4, -1)) * 1_000_000;
const timeOf = (text) => (text ? new Date(text.slice(0, -4) + "Z") : null);
const textOf = (date, picoseconds) =>
    date && date.toISOString().replace("Z", String(Math.floor(picoseconds / 1_000_000)).padStart(3, "0") + "Z");

const certificates = new OPCUACertificateManager({ rootFolder: options.folder, automaticallyAcceptUnknownCertificate: true });
await certificates.initialize();
const server = new OPCUAServer({
    port: options.port,
    host: "127.0.0.1",
    hostname: "127.0.0.1",
    resourcePath: "/foreign",
    serverInfo: { applicationUri: options.application_uri },
    serverCertificateManager: certificates,
    ...(secure && { certificateFile: options.certificate, privateKeyFile: options.key }),
    securityPolicies: [secure ? SecurityPolicy.Basic256Sha256 : SecurityPolicy.None],
    securityModes: [secure ? MessageSecurityMode.SignAndEncrypt : MessageSecurityMode.None],
    allowAnonymous: !secure,
    userManager: { isValidUser: (name, password) => name === options.user && password === options.password },
});
await server.initialize();

const space = server.engine.addressSpace;
for (const uri of line.namespaces) space.registerNamespace(uri);
const folder = space.getOwnNamespace().addObject({ organizedBy: space.rootFolder.objects, browseName: "Line" });
const nodes = {};
for (const { name, namespace, id, type, array, initial } of line.variables) {
    const kind = { dataType: DataType[type], arrayType: array ? VariantArrayType.Array : VariantArrayType.Scalar };
    const own = space.getNamespace(namespace);
    nodes[name] = own.addVariable({
        componentOf: folder,
        browseName: name,
        nodeId: `ns=${own.index};${id}`,
        dataType: type,
        ...(array && { valueRank: 1 }),
        minimumSamplingInterval: 0, // changes are reported, not polled
        value: { ...kind, value: initial },
    });
    nodes[name].kind = kind;
}

// The public setValueFromSource would set both timestamps to one time.
const write = (name, status, value, source, server) =>
    nodes[name]._internal_set_dataValue(
        new DataValue({
            value: value === null ? { dataType: DataType.Null } : { ...nodes[name].kind, value },
            statusCode: getStatusCodeFromCode(status),
            sourceTimestamp: timeOf(source),
            sourcePicoseconds: source ? picosecondsOf(source) : 0,
            serverTimestamp: timeOf(server),
            serverPicoseconds: server ? picosecondsOf(server) : 0,
        }),
    );

const plain = (value) => (ArrayBuffer.isView(value) ? Array.from(value) : (value ?? null));
const bad = (status) => status >>> 30 === 2;

function set({ name, value, status = 0, source = null, server = null }) {
    write(name, status, bad(status) ? null : value, source, server);
    const stands = nodes[name].readValue();
    return {
        name,
        value: plain(stands.value.value),
        status: stands.statusCode.value,
        source: textOf(stands.sourceTimestamp, stands.sourcePicoseconds),
        server: textOf(stands.serverTimestamp, stands.serverPicoseconds),
    };
}

async function stream({ name, hz, count, first = 0 }) {
    const start = Math.ceil(Date.now() / 1000) * 1000 + 1000;
    for (let i = 0; i < count; i++) {
        const at_us = Math.round((i * 1e6) / hz);
        const wait_ms = start + at_us / 1000 - Date.now();
        if (wait_ms > 0) await new Promise((resolve) => setTimeout(resolve, wait_ms));
        const at = textOf(new Date(start + Math.floor(at_us / 1000)), (at_us % 1000) * 1_000_000);
        write(name, 0, first + i, at, at);
    }
    return { start: textOf(new Date(start), 0) };
}

await server.start();
console.log(JSON.stringify({ ready: true }));
for await (const text of createInterface({ input: process.stdin })) {
    const command = JSON.parse(text);
    console.log(JSON.stringify(command.set ? command.set.map(set) : await stream(command.stream)));
}
process.exit(0);
