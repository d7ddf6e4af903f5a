"""A PLC on the asyncua stack whose variable `Ticks` is the number of tenths of a second since 1970, stamped on that grid: whoever has
a value knows when it was made, over any restart.

Argument: one JSON object {port, before, still, missing}: namespaces that come before ours, a number of constant variables `N0`, `N1`, …,
and those of them that are not there at first. Speaks policy None. Commands on standard input, JSON objects with some of
  add: NAME         a variable
  replace: NAME     another node in its place, under the same BrowseName
  level: NUMBER     the server's ServiceLevel
  deafen: NAME      monitored items that exist bring nothing of it any more; Reads and new items do
  tell: true        afterwards a GeneralModelChangeEvent
"""

import asyncio
import json
import logging
import sys
import time
from datetime import datetime, timezone

from asyncua import Server, ua

NAMESPACE = "urn:ticking:plc"


async def tick(server, node):
    last = 0
    while True:
        await asyncio.sleep(max(0.0, (int(time.time() * 10) + 1) / 10 - time.time()))
        tenth = int(time.time() * 10)  # it may have been longer: a process can be stopped
        if tenth == last:
            continue
        last = tenth
        at = datetime.fromtimestamp(tenth / 10, timezone.utc)
        value = ua.DataValue(ua.Variant(float(tenth), ua.VariantType.Double), SourceTimestamp=at, ServerTimestamp=at)
        await server.write_attribute_value(node.nodeid, value, ua.AttributeIds.Value)


async def main():
    options = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{options['port']}/ticking")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    for uri in options.get("before", []):
        await server.register_namespace(uri)
    index = await server.register_namespace(NAMESPACE)
    folder = await server.nodes.objects.add_object(index, "Ticking")

    async def add(name, value=1.0):
        return await folder.add_variable(ua.NodeId(name, index), ua.QualifiedName(name, index), value, ua.VariantType.Double)
    ticks = await add("Ticks", 0.0)
    missing = options.get("missing", [])
    for i in range(options.get("still", 0)):
        if f"N{i}" not in missing:
            await add(f"N{i}", float(i))
    changes = await server.get_event_generator(ua.ObjectIds.GeneralModelChangeEventType)
    async with server:
        ticking = asyncio.create_task(tick(server, ticks))
        print(json.dumps({"ready": True}), flush=True)
        while text := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(text)
            if "add" in command:
                await add(command["add"])
            if "replace" in command:
                name = command["replace"]
                await server.delete_nodes([server.get_node(ua.NodeId(name, index))])
                await folder.add_variable(ua.NodeId(f"{name}.new", index), ua.QualifiedName(name, index), 7.0, ua.VariantType.Double)
            if "level" in command:
                level = ua.DataValue(ua.Variant(command["level"], ua.VariantType.Byte))
                await server.write_attribute_value(ua.NodeId(ua.ObjectIds.Server_ServiceLevel), level, ua.AttributeIds.Value)
            if "deafen" in command:
                node = server.iserver.aspace._nodes[ua.NodeId(command["deafen"], index)]
                node.attributes[ua.AttributeIds.Value].datachange_callbacks.clear()
            if command.get("tell"):
                await changes.trigger(message="nodes have changed")
            print(json.dumps({"done": True}), flush=True)
        ticking.cancel()


asyncio.run(main())
