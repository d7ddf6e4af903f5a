"""The ticking PLC of `plcs/`, and twins of it."""

import json
import subprocess
import sys
from datetime import timedelta

from support.client import TWINS, by_id, eventually, now
from support.plc import FOLDER
from support.process import Process, free_port


class Ticking:
    """The ticking PLC of `plcs/`, in a process of its own."""

    def __init__(self, folder, name, **options):
        self.folder, self.name, self.port, self.options, self.process = folder, name, free_port(), options, None

    def start(self):
        options = json.dumps({"port": self.port, **self.options})
        self.process = Process([sys.executable, FOLDER / "ticking_plc.py", options], self.folder, self.name,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert json.loads(self.process.child.stdout.readline()) == {"ready": True}

    def tell(self, **command):
        self.process.child.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.child.stdin.flush()
        assert json.loads(self.process.child.stdout.readline()) == {"done": True}

    def kill(self):
        if self.process and self.process.running():
            self.process.kill()

    @property
    def url(self):
        return f"opc.tcp://127.0.0.1:{self.port}/ticking"


CONFIG = """
[twin_type.Ticking.variable.Ticks]
source = "nsu=urn:ticking:plc;s=Ticks"
sampling_interval = "50ms"
"""


def plc_config(name, *ports):
    """A PLC that is reached over one port, or over several as redundant servers, and its twin of the same name."""
    urls = [f"opc.tcp://127.0.0.1:{port}/ticking" for port in ports]
    endpoint = f"endpoint = {json.dumps(urls[0])}" if len(urls) == 1 else f"endpoints = {json.dumps(urls)}"
    return (f'[plc.{name}]\n{endpoint}\nsecurity_policy = "None"\npublishing_interval = "200ms"\n'
            f'[twin.{name}]\ntype = "Ticking"\nplc = "{name}"\n')


async def ticks(client, name):
    return await by_id(client, TWINS, f"{name}.Ticks")


async def flows(client, name):
    node = await ticks(client, name)

    async def good():
        value = await node.read_data_value(raise_on_bad_status=False)
        return value.StatusCode.is_good() and value.SourceTimestamp > now() - timedelta(seconds=1)
    return await eventually(good, 30)
