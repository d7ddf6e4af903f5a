// A client on the node-opcua stack. Argument: one JSON object
//   {url, application_uri, folder, certificate, key, policy, mode, user: {name, password} or {certificate, key}, steps: [{read|browse|history|subscribe|call: …}, …]}
// Without a certificate it connects with policy None. Prints one JSON array: what each step gave.
// NodeIds are written "nsu=URI;s=…" or "ns=…;…"; times are ISO 8601.

import { readFileSync } from "node:fs";

import opcua from "node-opcua";

const {
    AttributeIds, ClientMonitoredItemGroup, DataType, MessageSecurityMode, OPCUACertificateManager, OPCUAClient,
    SecurityPolicy, TimestampsToReturn, Variant, VariantArrayType, callConditionRefresh, coerceNodeId,
    UserTokenType, constructEventFilter, HistoryReadRequest, HistoryReadValueId, ofType, ReadEventDetails,
} = opcua;

const options = JSON.parse(process.argv[2]);
const secure = Boolean(options.certificate);

const certificates = new OPCUACertificateManager({ rootFolder: options.folder, automaticallyAcceptUnknownCertificate: true });
await certificates.initialize();
const client = OPCUAClient.create({
    endpointMustExist: false,
    clientCertificateManager: certificates,
    connectionStrategy: { maxRetry: 1 },
    requestedSessionTimeout: 60_000,
    applicationUri: options.application_uri,
    ...(secure && { certificateFile: options.certificate, privateKeyFile: options.key }),
    securityPolicy: secure ? SecurityPolicy[options.policy ?? "Basic256Sha256"] : SecurityPolicy.None,
    securityMode: secure ? MessageSecurityMode[options.mode ?? "SignAndEncrypt"] : MessageSecurityMode.None,
});
await client.connect(options.url);
const user = options.user && (options.user.name
    ? { type: UserTokenType.UserName, userName: options.user.name, password: options.user.password }
    : {
        type: UserTokenType.Certificate, certificateData: readFileSync(options.user.certificate),
        privateKey: readFileSync(options.user.key, "utf8"),
    });
const session = await client.createSession(user);
const namespaces = await session.readNamespaceArray();

function id(text) {
    const [, uri, rest] = text.match(/^nsu=([^;]*);(.*)$/) ?? [];
    return uri === undefined ? text : `ns=${namespaces.indexOf(uri)};${rest}`;
}

// As the tests compare it: microseconds, null where there is nothing.
const timeOf = (date, picoseconds) =>
    date && date.toISOString().replace("Z", String(Math.floor((picoseconds ?? 0) / 1_000_000)).padStart(3, "0") + "Z");
const plain = (value) => (value?.text !== undefined ? value.text : ArrayBuffer.isView(value) ? Array.from(value) : (value ?? null));
const sample = (dataValue) => ({
    value: plain(dataValue.value?.value),
    status: dataValue.statusCode.value,
    source: timeOf(dataValue.sourceTimestamp, dataValue.sourcePicoseconds),
});

const steps = {
    async browse({ node }) {
        const found = await session.browse({ nodeId: id(node), referenceTypeId: "HierarchicalReferences", includeSubtypes: true, resultMask: 63 });
        return Object.fromEntries(found.references.map((r) => [r.browseName.name, r.nodeId.toString()]));
    },
    async read({ nodes }) {
        const found = await session.read(nodes.map((node) => ({ nodeId: id(node), attributeId: AttributeIds.Value })));
        return found.map(sample);
    },
    async history({ node, start, end, page }) {
        const pages = [];
        let continuationPoint;
        do {
            const found = await session.readHistoryValue({ nodeId: id(node), continuationPoint }, new Date(start), new Date(end), {
                numValuesPerNode: page, returnBounds: false, isReadModified: false, timestampsToReturn: TimestampsToReturn.Both,
            });
            if (found.statusCode.isNotGood()) throw new Error(found.statusCode.toString());
            pages.push((found.historyData?.dataValues ?? []).map(sample));
            continuationPoint = found.continuationPoint;
        } while (continuationPoint?.length);
        return pages;
    },
    async subscribe({ node, sampling_ms, seconds }) {
        const subscription = await session.createSubscription2({
            requestedPublishingInterval: 100, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10,
            maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 0,
        });
        const received = sampling_ms.map(() => []);
        for (const [index, samplingInterval] of sampling_ms.entries()) {
            const group = ClientMonitoredItemGroup.create(
                subscription, [{ nodeId: id(node), attributeId: AttributeIds.Value }],
                { samplingInterval, queueSize: 1000, discardOldest: true }, TimestampsToReturn.Both);
            group.on("changed", (_, dataValue) => received[index].push(sample(dataValue)));
        }
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        await subscription.terminate();
        return received;
    },
    // Listens to events of a type with these fields; writes a value, acknowledges what came with a comment, and asks for a refresh.
    async events({ node, type, fields, write, alarm, comment }) {
        const subscription = await session.createSubscription2({
            requestedPublishingInterval: 100, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10,
            maxNotificationsPerPublish: 0, publishingEnabled: true, priority: 0,
        });
        const filter = constructEventFilter(["EventId", ...fields], type && ofType(type));
        const item = await subscription.monitor(
            { nodeId: id(node), attributeId: AttributeIds.EventNotifier },
            { filter, queueSize: 100, discardOldest: true, samplingInterval: 0 }, TimestampsToReturn.Both);
        const received = [];
        item.on("changed", (values) => Array.isArray(values) && received.push(values));
        const until = async (number) => {
            for (let i = 0; i < 200 && received.length < number; i++) await new Promise((resolve) => setTimeout(resolve, 50));
            if (received.length < number) throw new Error(`${received.length} of ${number} events`);
        };
        await session.write({
            nodeId: id(write.node), attributeId: AttributeIds.Value,
            value: { value: { dataType: DataType.Double, value: write.value } },
        });
        await until(1);
        const status = await session.acknowledgeCondition(coerceNodeId(id(alarm)), received[0][0].value, comment);
        await until(2);
        await callConditionRefresh(session, subscription.subscriptionId);
        await until(5);
        await subscription.terminate();
        return { acknowledged: status.name, events: received.map((values) => values.slice(1).map((value) => plain(value.value))) };
    },
    async event_history({ node, fields, start, end, page }) {
        const filter = constructEventFilter(fields);
        const events = [];
        let continuationPoint;
        do {
            const details = new ReadEventDetails({ numValuesPerNode: page, startTime: new Date(start), endTime: new Date(end), filter });
            const found = await session.historyRead(new HistoryReadRequest({
                historyReadDetails: details, timestampsToReturn: TimestampsToReturn.Both, releaseContinuationPoints: false,
                nodesToRead: [new HistoryReadValueId({ nodeId: coerceNodeId(id(node)), continuationPoint })],
            }));
            const [result] = found.results;
            if (result.statusCode.isNotGood()) throw new Error(result.statusCode.toString());
            events.push(...(result.historyData?.events ?? []).map((event) => event.eventFields.map((value) => plain(value.value))));
            continuationPoint = result.continuationPoint;
        } while (continuationPoint?.length);
        return events;
    },
    async call({ object, method, inputs }) {
        const inputArguments = inputs.map(({ type, value }) => new Variant({
            dataType: DataType[type],
            arrayType: Array.isArray(value) ? VariantArrayType.Array : VariantArrayType.Scalar,
            value: type === "DateTime" ? new Date(value) : value,
        }));
        const found = await session.call({ objectId: id(object), methodId: id(method), inputArguments });
        return { status: found.statusCode.value, outputs: (found.outputArguments ?? []).map((output) => plain(output.value)) };
    },
};

const answers = [];
for (const step of options.steps) {
    const [[name, what]] = Object.entries(step);
    answers.push(await steps[name](what));
}
await session.close();
await client.disconnect();
process.stdout.write(JSON.stringify(answers) + "\n", () => process.exit(0)); // only when a pipe has taken all of it
