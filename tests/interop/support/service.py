"""The service under test."""

import json

from support.config import write_config
from support.pki import DEMO_PKI_FOLDER, PKI_FOLDER, trust
from support.process import PROGRAM, Process, free_port
from support.users import USERS_FILE, add


class Service:
    """`uatwin`, run from a folder of its own; `via` is the command that runs it, if another one does."""

    def __init__(self, folder, pki, arguments, port, env=None, via=()):
        self.folder, self.pki, self.port, self.env = folder, pki, port, env
        self.command = [*via, PROGRAM, *arguments]
        self.start()

    @property
    def url(self):
        return f"opc.tcp://127.0.0.1:{self.port}"

    def start(self):
        self.process = Process(self.command, self.folder, "uatwin", self.env)
        self.process.wait_for_port(self.port)

    def stop(self):
        """Ctrl-C; it must end in order."""
        code = self.process.interrupt()
        assert code == 0, f"exit code {code} after SIGINT:\n{self.process.said()[-4000:]}"


def demo(folder, identity):
    """`uatwin demo` that trusts `identity`; its plant is at `plant_url`."""
    data, port, plant_port = folder / "data", free_port(), free_port()
    trust(data / DEMO_PKI_FOLDER, identity)
    service = Service(folder, data / DEMO_PKI_FOLDER,
                      ["demo", "--port", port, "--plant-port", plant_port, "--data-dir", data], port)
    service.plant_url = f"opc.tcp://127.0.0.1:{plant_port}"
    return service


HEAD = """
[server]
name = "{name}"
endpoint = "opc.tcp://127.0.0.1:{port}"
advertise = "127.0.0.1"
data_dir = "data"
pki_dir = "{pki}"
[server.security]
policies = ["None", "Basic256Sha256"]
anonymous = "{anonymous}"
{security}
"""


def of_types(folder, identity, name, types, anonymous="engineer", via=(), users=None, security="",
             policies=None):
    """`uatwin run` without PLCs: `types` is what the config says below its server; `users` are those of a users file."""
    port = free_port()
    trust(folder / PKI_FOLDER, identity)
    config = folder / "uatwin.toml"
    if users is not None:
        security += f'\nusers_file = "{USERS_FILE}"'
    head = HEAD.format(name=name, port=port, pki=PKI_FOLDER, anonymous=anonymous, security=security)
    if policies:
        head = head.replace('["None", "Basic256Sha256"]', json.dumps(list(policies)))
    config.write_text(head + types)
    for user in users or []:
        add(folder, user)
    return Service(folder, folder / PKI_FOLDER, ["run", "--config", config], port, via=via)


def run(folder, identity, plcs, **settings):
    """`uatwin run` on the PLCs; trusts `identity` and the PLCs' certificates."""
    port = free_port()
    config, env = write_config(folder, port, plcs, **settings)
    for trusted in [identity, *(plc.identity for plc in plcs if plc.identity)]:
        trust(folder / PKI_FOLDER, trusted)
    return Service(folder, folder / PKI_FOLDER, ["run", "--config", config], port, env)
