"""open62541 as o6 builds it. Its own C store of nodes and of history; values are changed by one `write` of all, which is one call into C a value.
A process of its own: the library ends its host after ten minutes.
"""

import asyncio
import importlib.metadata
import logging
import sys

import line
import o6


async def main(port, variables, with_history, samples):
    logging.disable(logging.CRITICAL)
    server = o6.Server(port=port)
    if with_history:
        server.config.setHistoryDatabase(capacity=samples)
    server.start()
    await server.waitReady()
    nodes = []
    for name, indices in line.objects(variables):
        folder = await server.addObject(name, server.objectsNode, nodeId=f"ns=1;s={name}")
        for index in indices:
            nodes.append(o6.NodeId(f"ns=1;s={line.node(index)}"))
            await server.addVariable(f"V{(index - 1) % line.VARIABLES}", o6.NodeId(f"ns=1;s={name}"), o6.Double(line.value(index, 0)), nodeId=nodes[-1],
                                     historizing=index <= with_history)
    for index in range(1, with_history + 1):
        for time, value in line.history(index, samples):
            at = o6.DateTime(time)
            await server.write(nodes[index - 1], o6.DataValue(value=o6.Double(value), sourceTimestamp=at, serverTimestamp=at))

    async def write(time, tenth):
        at = o6.DateTime(time)
        values = [o6.DataValue(value=o6.Double(line.value(index, tenth)), sourceTimestamp=at) for index in range(1, variables + 1)]
        await server.write(nodes, values)

    line.ready(namespace=1, version=f"o6 {importlib.metadata.version('o6')}")
    await line.obey(write)


asyncio.run(main(*map(int, sys.argv[1:])))
