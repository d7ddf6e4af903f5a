"""A plant of many variables that change once a second, a service that sees them, and what it costs the machine."""

import os

from asyncua import ua

from support import service as services
from support.client import TWINS
from support.process import PROGRAM, Process, free_port


def types(plant_port, count, limits=""):
    """One twin `Load` with variables `V0`, `V1`, … of the plant."""
    lines = [limits, f'[plc.load]\nendpoint = "opc.tcp://127.0.0.1:{plant_port}"\nsecurity_policy = "None"\npublishing_interval = "500ms"']
    for i in range(count):
        lines.append(f'[twin_type.Load.variable.V{i}]\nsource = "nsu=urn:uatwin:plant;s=Load.{i + 1:05}"\nsampling_interval = "1s"')
    return "\n".join([*lines, '[twin.Load]\ntype = "Load"\nplc = "load"\n'])


class Loaded:
    """The plant and the service, each a process."""

    def __init__(self, folder, identity, count, limits="", more=""):
        self.folder, self.count, port = folder, count, free_port()
        self.plant = Process([PROGRAM, "plant", "--port", port, "--load", count, "--pki-dir", folder / "plant-certs"], folder, "plant")
        self.plant.wait_for_port(port)
        self.service = services.of_types(folder, identity, "Loaded", types(port, count, limits) + more)

    @property
    def pid(self):
        return self.service.process.child.pid

    async def nodes(self, client):
        """NodeIds of all variables."""
        namespaces = (await client.read([ua.NodeId(ua.ObjectIds.Server_NamespaceArray)]))[0].Value.Value
        return [ua.NodeId(f"Load.V{i}", namespaces.index(TWINS)) for i in range(self.count)]

    def end(self):
        try:
            if self.service.process.running():
                self.service.stop()
        finally:
            self.service.process.kill()
            self.plant.kill()


def resident_kib(pid):
    """Memory that a process takes at present."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def cpu_s(pid):
    """Processor time that a process has taken."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def slope(points):
    """Least squares: y per x."""
    count = len(points)
    x, y = sum(p[0] for p in points) / count, sum(p[1] for p in points) / count
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
