"""asyncua: its address space of Python objects, its history in memory; values are changed by `Server.write_attribute_value`, which is its
shortest way, and the loop is let go between the objects so that clients are served meanwhile.
"""

import asyncio
import importlib.metadata
import logging
import sys

import line
from asyncua import Server, ua
from asyncua.server.history import HistoryDict

CHUNK = 200  # values that are changed before clients get a turn


async def fill(server, nodes, samples):
    """HistoryRead is from the storage: values go straight into it."""
    storage: HistoryDict = server.iserver.history_manager.storage
    for index, node in enumerate(nodes, 1):
        await server.historize_node_data_change(node, period=None, count=samples)
        storage._datachanges[node.nodeid] = [
            ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=time, ServerTimestamp=time) for time, value in line.history(index, samples)]


async def main(port, variables, with_history, samples):
    logging.disable(logging.CRITICAL)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    namespace = await server.register_namespace(line.NAMESPACE)
    nodes = []
    for name, indices in line.objects(variables):
        parent = await server.nodes.objects.add_object(ua.NodeId(name, namespace), f"{namespace}:{name}")
        for index in indices:
            nodes.append(await parent.add_variable(ua.NodeId(line.node(index), namespace), f"{namespace}:V{(index - 1) % line.VARIABLES}", line.value(index, 0)))
    ids = [node.nodeid for node in nodes]

    async def write(time, tenth):
        for index, node_id in enumerate(ids, 1):
            value = ua.DataValue(ua.Variant(line.value(index, tenth), ua.VariantType.Double), SourceTimestamp=time)
            await server.write_attribute_value(node_id, value)
            if index % CHUNK == 0:
                await asyncio.sleep(0)

    async with server:
        await fill(server, nodes[:with_history], samples)
        line.ready(namespace=namespace, version=f"asyncua {importlib.metadata.version('asyncua')}")
        await line.obey(write)


asyncio.run(main(*map(int, sys.argv[1:])))
