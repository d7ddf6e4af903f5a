// The nine aggregates that the node-opcua stack has, over samples of ours: a second opinion, computed in process.
// Standard input: {samples: [[ms, value, status], …], start, end, interval} in ms since 1970. Prints {aggregate: [[ms, value, status], …]}.

import { text } from "node:stream/consumers";
import opcua from "node-opcua";

const { AddressSpace, DataType, DataValue, generateAddressSpace, getStatusCodeFromCode, nodesets } = opcua;
const request = JSON.parse(await text(process.stdin));

const space = AddressSpace.create();
space.registerNamespace("urn:opinion");
await generateAddressSpace(space, [nodesets.standard]);
opcua.addAggregateSupport(space);
const node = space.getOwnNamespace().addVariable({ browseName: "Value", dataType: "Double", organizedBy: space.rootFolder.objects });
space.installHistoricalDataNode(node, { maxOnlineValues: request.samples.length + 1 });
opcua.installAggregateConfigurationOptions(node, {
    percentDataBad: 100, percentDataGood: 100, stepped: false, treatUncertainAsBad: true, useSlopedExtrapolation: false,
});
for (const [at, value, status] of request.samples) {
    await node.varHistorian.push(new DataValue({
        value: { dataType: DataType.Double, value }, statusCode: getStatusCodeFromCode(status), sourceTimestamp: new Date(at), serverTimestamp: new Date(at),
    }));
}

const functions = {
    Interpolative: opcua.getInterpolatedData, Average: opcua.getAverageData, Minimum: opcua.getMinData, Maximum: opcua.getMaxData,
    Count: opcua.getCountData, DurationGood: opcua.getDurationGoodData, DurationBad: opcua.getDurationBadData,
    PercentGood: opcua.getPercentGoodData, PercentBad: opcua.getPercentBadData,
};
const answers = {};
for (const [name, compute] of Object.entries(functions)) {
    const found = await new Promise((resolve, reject) =>
        compute(node, request.interval, new Date(request.start), new Date(request.end), (error, values) => (error ? reject(error) : resolve(values))));
    answers[name] = found.map(({ sourceTimestamp, statusCode, value }) => [sourceTimestamp.getTime(), value?.value ?? null, statusCode.value]);
}
process.stdout.write(JSON.stringify(answers) + "\n", () => process.exit(0));
