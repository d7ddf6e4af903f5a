"""The servers under measurement: 10,000 Double nodes each, the same string NodeIds, policy None.

Fair is: each peer in its plainest and fastest set-up (what it is stands in its own file in `peers/`), all of them running at once and idle but for the one
that is measured, so that rounds can be interleaved closely. A peer's values change only while it is measured by subscription, and what that
costs without a subscriber is taken off. Ours is fed by a PLC all the time, as it would be, and keeps history of it all.
"""

import json
import pathlib
import tempfile

from peers import line
from support.process import PROGRAM, REPOSITORY, Process, free_port

HERE = pathlib.Path(__file__).parent
INTEROP = REPOSITORY / "tests" / "interop"
PATIENCE_S = 120  # ten thousand nodes on a busy machine


class Peer:
    """A foreign server in a process of its own, which says when it is ready and takes orders (peers/line.py)."""

    def __init__(self, name, command, folder, sizes):
        self.name, self.port = name, free_port()
        arguments = [*command, self.port, sizes.variables, sizes.with_history, sizes.samples]
        self.process = Process(arguments, folder, name, stdin=-1, stdout=-1)

    def wait(self):
        told = self._answer()
        self.namespace, self.version = str(told["namespace"]), told["version"]

    def _answer(self):
        for text in self.process.child.stdout:
            if text.startswith(b"{"):  # libraries print banners and warnings
                return json.loads(text)
        raise RuntimeError(f"{self.name} ended:\n{self.process.said()[-2000:]}")

    @property
    def pid(self):
        return self.process.child.pid

    def change(self, hz):
        self.process.child.stdin.write(json.dumps({"hz": hz}).encode() + b"\n")
        self.process.child.stdin.flush()
        self._answer()

    def end(self):
        self.process.kill()


class Twins:
    """The program, with a simulated plant in another process whose load changes so many times a second."""

    namespace = "urn:uatwin:twins"

    def __init__(self, folder, sizes, hz):
        self.name, self.port, plant_port = "uatwin", free_port(), free_port()
        folder.mkdir(exist_ok=True)
        self.plant = Process([PROGRAM, "plant", "--port", plant_port, "--load", sizes.variables, "--load-rate", round(hz), "--pki-dir", folder / "plant-certs"],
                             folder, "plant")
        self.plant.wait_for_port(plant_port)
        self.config = folder / f"uatwin-{self.port}.toml"
        self.config.write_text(config(self.port, plant_port, sizes.variables, hz))
        if sizes.with_history and not (folder / "data").exists():
            self._import_history(folder, sizes)
        self.process = Process([PROGRAM, "run", "--config", self.config], folder, "uatwin", {"UATWIN_LOG": "error"})

    def _import_history(self, folder, sizes):
        rows = ["series,source_timestamp,type,value"]
        for index in range(1, sizes.with_history + 1):
            rows += [f"{line.node(index)},{time:%Y-%m-%dT%H:%M:%SZ},Double,{value!r}" for time, value in line.history(index, sizes.samples)]
        (folder / "history.csv").write_text("\n".join(rows) + "\n")
        done = Process([PROGRAM, "history", "import", "--config", self.config, folder / "history.csv"], folder, "import")
        assert done.child.wait(PATIENCE_S) == 0, done.said()[-2000:]

    def wait(self):
        self.process.wait_for_port(self.port)
        version = Process([PROGRAM, "--version"], self.config.parent, "version", stdout=-1).child.communicate()[0]
        self.version = version.decode().strip()

    @property
    def pid(self):
        return self.process.child.pid

    def change(self, hz):
        """The plant sees to that."""

    def end(self):
        self.process.kill()
        self.plant.kill()


def config(port, plant_port, variables, hz):
    lines = [
        '[server]', 'name = "Compare"', f'endpoint = "opc.tcp://127.0.0.1:{port}"', 'advertise = "127.0.0.1"', 'data_dir = "data"', 'pki_dir = "certs"',
        '[server.security]', 'policies = ["None"]', 'anonymous = "observer"',
        '[plc.load]', f'endpoint = "opc.tcp://127.0.0.1:{plant_port}"', 'security_policy = "None"', 'security_mode = "None"', 'publishing_interval = "100ms"',
    ]
    for v in range(line.VARIABLES):
        lines += [f"[twin_type.Load.variable.V{v}]", 'source = "nsu=urn:uatwin:plant;s=none"', f'sampling_interval = "{1000 // hz}ms"']
    for name, indices in line.objects(variables):
        lines += [f"[twin.{name}]", 'type = "Load"', 'plc = "load"', 'device = "Load"']
        lines += [f'variable.V{(index - 1) % line.VARIABLES}.source = "nsu=urn:uatwin:plant;s=Load.{index:05}"' for index in indices]
    return "\n".join(lines) + "\n"


class Field:
    """All servers of a round."""

    def __init__(self, sizes, python, names):
        self.sizes, self.folder = sizes, pathlib.Path(tempfile.mkdtemp(prefix="uatwin-compare-"))
        self.commands = {
            "open62541": [python, HERE / "peers" / "o6_peer.py"],
            "node-opcua": ["node", HERE / "peers" / "node_opcua_peer.mjs"],
            "asyncua": [python, HERE / "peers" / "asyncua_peer.py"],
        }
        self.names, self.servers = names, []

    def __enter__(self):
        self.servers = [Twins(self.folder / "twins", self.sizes, 1)]
        self.servers += [Peer(name, self.commands[name], self.folder, self.sizes) for name in self.names]
        for server in self.servers:
            server.wait()
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.end()
