"""A PLC on the asyncua stack with any tree of nodes. Argument: one JSON object {port, namespace, nodes}; each node is
  {path: [names below Objects], id: "i=…" or "s=…"}   and of an object  of: its ObjectType,  of a variable  type, value, array,
  unit: [UnitId, text], range: [low, high], states: [names by value], writable, hidden (it may not be read), about (Description),
  fastest (MinimumSamplingInterval, ms), data_type (number of a standard DataType). A Structure's value is a Range.
After {"ready": true} it answers {"set": [id, value]} with {"done": true}."""

import asyncio
import json
import logging
import sys

from asyncua import Server, ua

UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"


async def add_property(node, index, name, value, kind=None):
    node_id = ua.NodeId(f"{node.nodeid.Identifier}|{name}|property", index)
    await node.add_property(node_id, ua.QualifiedName(name, 0), value, kind)


async def add_variable(parent, index, node):
    kind, value = ua.VariantType[node["type"]], node["value"]
    if kind == ua.VariantType.Guid:
        value = ua.uuid.UUID(value)
    if kind == ua.VariantType.ExtensionObject:
        value = ua.Range(*value)
    variable = await parent.add_variable(
        ua.NodeId.from_string(f"ns={index};{node['id']}"), ua.QualifiedName(node["path"][-1], index), value, kind,
        datatype=ua.NodeId(node["data_type"]) if "data_type" in node else None)
    if "unit" in node:
        code, text = node["unit"]
        unit = ua.EUInformation(UNECE, code, ua.LocalizedText(text), ua.LocalizedText(text))
        await add_property(variable, index, "EngineeringUnits", unit)
    if "range" in node:
        await add_property(variable, index, "EURange", ua.Range(*map(float, node["range"])))
    if "states" in node and kind == ua.VariantType.Boolean:
        for name, state in zip(("FalseState", "TrueState"), node["states"], strict=True):
            await add_property(variable, index, name, ua.LocalizedText(state))
    elif "states" in node:
        await add_property(variable, index, "EnumStrings", [ua.LocalizedText(state) for state in node["states"]])
    if "about" in node:
        about = ua.DataValue(ua.Variant(ua.LocalizedText(node["about"])))
        await variable.write_attribute(ua.AttributeIds.Description, about)
    if "fastest" in node:
        fastest = ua.DataValue(ua.Variant(float(node["fastest"]), ua.VariantType.Double))
        await variable.write_attribute(ua.AttributeIds.MinimumSamplingInterval, fastest)
    if node.get("writable"):
        await variable.set_writable()
    if node.get("hidden"):
        for attribute in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
            await variable.write_attribute(attribute, ua.DataValue(ua.Variant(0, ua.VariantType.Byte)))
    return variable


async def main():
    options = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{options['port']}/tree")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(options["namespace"])
    known, types, variables = {(): server.nodes.objects}, {}, {}
    for node in options["nodes"]:
        path = tuple(node["path"])
        parent = known[path[:-1]]
        if "type" in node:
            known[path] = variables[node["id"]] = await add_variable(parent, index, node)
            continue
        of = node.get("of")
        if of and of not in types:
            base, node_id = server.nodes.base_object_type, ua.NodeId(f"type|{of}", index)
            types[of] = await base.add_object_type(node_id, ua.QualifiedName(of, index))
        node_id = ua.NodeId.from_string(f"ns={index};{node['id']}")
        name = ua.QualifiedName(path[-1], index)
        known[path] = await parent.add_object(node_id, name, objecttype=types[of].nodeid if of else None)
    # A loop, as servers have them: the last object shows the first one again.
    objects = [known[tuple(node["path"])] for node in options["nodes"] if "type" not in node]
    if len(objects) > 1:
        await objects[-1].add_reference(objects[0], ua.ObjectIds.Organizes, forward=True, bidirectional=False)
    async with server:
        print(json.dumps({"ready": True}), flush=True)
        while text := await asyncio.to_thread(sys.stdin.readline):
            node_id, value = json.loads(text)["set"]
            variable = variables[node_id]
            kind = (await variable.read_data_value()).Value.VariantType
            await server.write_attribute_value(variable.nodeid, ua.DataValue(ua.Variant(value, kind)))
            print(json.dumps({"done": True}), flush=True)


asyncio.run(main())
