"""A ClickHouse server on loopback with ports, settings and a folder of its own."""

import shutil
import time
import urllib.error
import urllib.request

from support.process import Process, free_port

CONFIG = """<?xml version="1.0"?><yandex>
<logger><level>warning</level><log>{folder}/log</log><errorlog>{folder}/errors</errorlog></logger>
<http_port>{http}</http_port><tcp_port>{tcp}</tcp_port><listen_host>127.0.0.1</listen_host>
<path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><mark_cache_size>67108864</mark_cache_size>
<users_config>users.xml</users_config><default_profile>default</default_profile><default_database>default</default_database>
{more}</yandex>"""
USERS = """<?xml version="1.0"?><yandex><profiles><default></default></profiles><users><default><password></password>
<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
<quotas><default></default></quotas></yandex>"""
START_S = 60


def program():
    return shutil.which("clickhouse-server", path="/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin")


class ClickHouse:
    def __init__(self, folder, more="", http=None, tcp=None):
        self.folder, self.http, self.tcp = folder, http or free_port(), tcp or free_port()
        folder.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(folder=folder, http=self.http, tcp=self.tcp, more=more)
        (folder / "config.xml").write_text(text)
        (folder / "users.xml").write_text(USERS)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http}"

    def start(self):
        self.process = Process([program(), f"--config-file={self.folder}/config.xml"], self.folder, "clickhouse")
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.running(), f"ended at start:\n{self.process.said()}"
            try:
                return self.query("SELECT 1")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def kill(self):
        self.process.kill()

    def query(self, sql):
        """The answer's rows, as lists of texts."""
        with urllib.request.urlopen(self.url, data=sql.encode(), timeout=60) as answer:
            return [line.split("\t") for line in answer.read().decode().splitlines()]
