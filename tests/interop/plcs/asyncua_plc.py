"""A PLC on the asyncua stack: serves plcs/line.json, or the file `line`, and does what the JSON lines on its standard input say.

Argument: one JSON object {port, application_uri, user, password, certificate, key, line}; with a certificate it speaks
Basic256Sha256 SignAndEncrypt and wants the user, without one policy None. See support/plc.py for the commands.
"""

import asyncio
import json
import pathlib
import sys
from datetime import datetime, timedelta, timezone

from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole

LINE = pathlib.Path(__file__).parent / "line.json"


class OneUser:
    """Lets in one user by name and password."""

    def __init__(self, name, password):
        self.name, self.password = name, password

    def get_user(self, iserver, username=None, password=None, certificate=None):
        return User(role=UserRole.User) if (username, password) == (self.name, self.password) else None


def time_of(text):
    return datetime.fromisoformat(text) if text else None


def text_of(time):
    return time and time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Line:
    """The variables, and what can be done to them."""

    async def start(self, options):
        line = json.loads(pathlib.Path(options.get("line") or LINE).read_text())
        secure = bool(options.get("certificate"))
        self.server = Server(user_manager=OneUser(options["user"], options["password"]) if secure else None)
        await self.server.init()
        await self.server.set_application_uri(options["application_uri"])
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{options['port']}/foreign")
        if secure:
            self.server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
            self.server.set_identity_tokens([ua.UserNameIdentityToken])
            await self.server.load_certificate(options["certificate"])
            await self.server.load_private_key(options["key"])
        else:
            self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = {uri: await self.server.register_namespace(uri) for uri in line["namespaces"]}
        self.nodes, self.types = {}, {}
        folder = await self.server.nodes.objects.add_object(index["urn:foreign:line"], "Line")
        for variable in line["variables"]:
            namespace, name = index[variable["namespace"]], variable["name"]
            kind = self.types[name] = ua.VariantType[variable["type"]]
            node_id = ua.NodeId.from_string(f"ns={namespace};{variable['id']}")
            self.nodes[name] = await folder.add_variable(node_id, ua.QualifiedName(name, namespace), variable["initial"], kind)
        await self.server.start()

    async def set(self, sample):
        """Puts one DataValue in place as it is, and reports what then stands there."""
        node = self.nodes[sample["name"]]
        status = sample.get("status", 0)
        await self.write(node, ua.DataValue(
            ua.Variant(sample["value"], self.types[sample["name"]]),
            StatusCode=ua.StatusCode(status),
            SourceTimestamp=time_of(sample.get("source")),
            ServerTimestamp=time_of(sample.get("server")),
        ))
        stands = self.server.iserver.aspace.read_attribute_value(node.nodeid, ua.AttributeIds.Value)
        return {
            "name": sample["name"],
            "value": stands.Value.Value,
            "status": stands.StatusCode.value,
            "source": text_of(stands.SourceTimestamp),
            "server": text_of(stands.ServerTimestamp),
        }

    async def write(self, node, value):
        await self.server.write_attribute_value(node.nodeid, value, ua.AttributeIds.Value)

    async def stream(self, name, hz, count, first=0):
        """`count` values first, first + 1, … at `hz`, each with its own SourceTimestamp on an exact grid."""
        start = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=1)
        for i in range(count):
            at = start + timedelta(microseconds=round(i * 1e6 / hz))
            wait = (at - datetime.now(timezone.utc)).total_seconds()
            if wait > 0:
                await asyncio.sleep(wait)
            value = ua.Variant(float(first + i), self.types[name])
            await self.write(self.nodes[name], ua.DataValue(value, SourceTimestamp=at, ServerTimestamp=at))
        return {"start": text_of(start)}

    async def history(self, name, start, step_ms, count):
        """Remembers `count` values 0, 1, … from before anybody was connected, to be read by HistoryRead raw."""
        node, storage = self.nodes[name], self.server.iserver.history_manager.storage
        if node.nodeid not in storage._datachanges:
            await self.server.historize_node_data_change(node, period=None)
            while not storage._datachanges[node.nodeid]:  # the present value comes by itself; the past must stand before it
                await asyncio.sleep(0.01)
            storage._datachanges[node.nodeid].clear()
        for i in range(count):
            at = time_of(start) + timedelta(milliseconds=i * step_ms)
            value = ua.DataValue(ua.Variant(float(i), self.types[name]), SourceTimestamp=at, ServerTimestamp=at)
            await storage.save_node_value(node.nodeid, value)
        return {"count": count}


async def main():
    line = Line()
    await line.start(json.loads(sys.argv[1]))
    print(json.dumps({"ready": True}), flush=True)
    while text := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(text)
        if "set" in command:
            answer = [await line.set(sample) for sample in command["set"]]
        elif "stream" in command:
            answer = await line.stream(**command["stream"])
        else:
            answer = await line.history(**command["history"])
        print(json.dumps(answer), flush=True)


asyncio.run(main())
