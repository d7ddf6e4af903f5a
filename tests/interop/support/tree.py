"""A foreign PLC with a tree of nodes that a test chooses, and the commands that look at it."""

import json
import os
import pathlib
import subprocess
import sys

from support.plc import FOLDER
from support.process import PROGRAM, Process, free_port

COMMANDS = {"asyncua": [sys.executable, FOLDER / "tree.py"], "node": ["node", FOLDER / "tree.mjs"]}
NAMESPACE = "urn:foreign:tree"


class Tree:
    """A PLC of one stack; see plcs/tree.py for its nodes."""

    def __init__(self, stack, folder, nodes, **options):
        self.port = free_port()
        options = {"port": self.port, "namespace": NAMESPACE, "nodes": nodes, "folder": str(folder / f"{stack}-pki"), **options}
        self.process = Process([*COMMANDS[stack], json.dumps(options)], folder, f"tree-{stack}-{self.port}",
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answer()

    @property
    def url(self):
        return f"opc.tcp://127.0.0.1:{self.port}/tree"

    def set(self, node_id, value):
        self.process.child.stdin.write(json.dumps({"set": [node_id, value]}).encode() + b"\n")
        self.process.child.stdin.flush()
        self._answer()

    def stop(self):
        self.process.kill()

    def _answer(self):
        while text := self.process.child.stdout.readline():
            if text.startswith(b"{"):
                return json.loads(text)
        raise AssertionError(f"the PLC ended:\n{self.process.said()}")


def command(folder, *arguments, env=None, timeout=120):
    """`uatwin …` in a folder; its exit code and what it said."""
    return subprocess.run([PROGRAM, *map(str, arguments)], cwd=folder, env={**os.environ, **(env or {})},
                          capture_output=True, text=True, timeout=timeout)


def imported(folder, url, *arguments, name="uatwin.toml", env=None):
    """The text of the config that an import gives."""
    done = command(folder, "import", url, "--output", name, *arguments, env=env)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(folder / name).read_text()


def served_at(folder, port, name="uatwin.toml"):
    """Lets the imported config listen on a port of the test's, and take clients without security; nothing else changes."""
    config = folder / name
    lines = config.read_text().splitlines()
    endpoint = next(i for i, line in enumerate(lines) if line.startswith('endpoint = "opc.tcp://0.0.0.0:'))
    lines[endpoint] = (f'endpoint = "opc.tcp://127.0.0.1:{port}"\nadvertise = "127.0.0.1"\n'
                       '[server.security]\npolicies = ["None"]\nanonymous = "operator"')
    config.write_text("\n".join(lines) + "\n")
    return config


def changed(folder, old, new, name="uatwin.toml"):
    """Another config, with the first `old` replaced."""
    text = (folder / name).read_text()
    assert old in text, f"{old!r} is not in\n{text}"
    other = folder / f"changed-{name}"
    other.write_text(text.replace(old, new, 1))
    return other
