"""A foreign PLC in a process of its own, told what to do by JSON lines.

{"set": [{name, value, status, source, server}, …]}   → what then stands in the address space, in the same form
{"stream": {name, hz, count, first}}                  → {start}: value first + i has SourceTimestamp start + i / hz
{"history": {name, start, step_ms, count}}            → {count}: value i has SourceTimestamp start + i · step (asyncua only)
Times are ISO 8601 with microseconds and Z.
"""

import json
import pathlib
import subprocess
import sys

from support.process import Process

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "plcs"
LINE = json.loads((FOLDER / "line.json").read_text())
COMMANDS = {
    "asyncua": [sys.executable, FOLDER / "asyncua_plc.py"],
    "node": ["node", FOLDER / "node_plc.mjs"],
}
USER, PASSWORD = "twin", "Tür-7 & Tor"


class Plc:
    """A PLC of one stack; `identity` makes it want Basic256Sha256 and the user; `line`: its
    variables in place of plcs/line.json (asyncua only)."""

    def __init__(self, stack, name, port, folder, identity=None, line=None):
        self.line = folder / f"{name}-line.json" if line else None
        if line:
            self.line.write_text(json.dumps(line))
        self.stack, self.name, self.port, self.folder, self.identity = stack, name, port, folder, identity
        self.start()

    @property
    def url(self):
        return f"opc.tcp://127.0.0.1:{self.port}/foreign"

    def start(self):
        options = {"port": self.port, "user": USER, "password": PASSWORD, "folder": str(self.folder / f"{self.name}-pki"),
                   "application_uri": self.identity.uri if self.identity else f"urn:foreign:{self.name}"}
        if self.line:
            options["line"] = str(self.line)
        if self.identity:
            options |= {"certificate": str(self.identity.certificate), "key": str(self.identity.key)}
        self.process = Process([*COMMANDS[self.stack], json.dumps(options)], self.folder, self.name,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._answer() == {"ready": True}

    def stop(self):
        self.process.kill()

    def set(self, *samples):
        return self._ask({"set": samples})

    def stream(self, name, hz, count, first=0):
        return self._ask({"stream": {"name": name, "hz": hz, "count": count, "first": first}})

    def history(self, name, start, step_ms, count):
        return self._ask({"history": {"name": name, "start": start, "step_ms": step_ms, "count": count}})

    def _ask(self, command):
        self.process.child.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.child.stdin.flush()
        return self._answer()

    def _answer(self):
        """The next JSON line; what libraries print besides goes to the log."""
        while text := self.process.child.stdout.readline():
            if text.startswith((b"{", b"[")):
                try:
                    return json.loads(text)
                except ValueError:
                    pass
            self.process.output.write(text)
        raise AssertionError(f"the {self.stack} PLC ended:\n{self.process.said()}")
