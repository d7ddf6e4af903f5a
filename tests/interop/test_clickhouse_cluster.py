"""Three replicas and a killed one. Takes a minute, ZooKeeper and Java: run with UATWIN_TEST_CLICKHOUSE_CLUSTER=1 (Debian: clickhouse-server, zookeeper)."""

import asyncio
import glob
import os
import shutil
import socket
import subprocess
import time
from datetime import timedelta

import pytest

from support.clickhouse import ClickHouse, program
from support.client import child, connected, eventually, history, twins, variables
from support.config import twin_name
from support.process import Process, free_port
from test_clickhouse import HZ, rows, streaming_of

JARS = ":".join(glob.glob("/usr/share/java/*.jar") + ["/usr/share/zookeeper/lib"])
pytestmark = pytest.mark.skipif(os.environ.get("UATWIN_TEST_CLICKHOUSE_CLUSTER") != "1" or not shutil.which("java") or not program(),
                                reason="UATWIN_TEST_CLICKHOUSE_CLUSTER=1 asks for it; clickhouse-server, zookeeper and java are needed")
CLUSTER = """<zookeeper><node><host>127.0.0.1</host><port>{keeper}</port></node></zookeeper>
<interserver_http_host>127.0.0.1</interserver_http_host><interserver_http_port>{own}</interserver_http_port>
<distributed_ddl><path>/clickhouse/ddl</path></distributed_ddl>
<macros><shard>1</shard><replica>node{number}</replica></macros>
<remote_servers><plant><shard><internal_replication>true</internal_replication>{replicas}</shard></plant></remote_servers>"""
REPLICA = "<replica><host>127.0.0.1</host><port>{port}</port></replica>"


def zookeeper(folder):
    port = free_port()
    folder.mkdir()
    (folder / "zoo.cfg").write_text(f"tickTime=500\ndataDir={folder}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n")
    process = Process(["java", "-cp", JARS, "org.apache.zookeeper.server.quorum.QuorumPeerMain", folder / "zoo.cfg"], folder, "zookeeper")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        assert process.running(), process.said()
        time.sleep(0.1)
    raise AssertionError("ZooKeeper does not listen")


@pytest.fixture
def nodes(tmp_path):
    keeper, port = zookeeper(tmp_path / "zookeeper")
    ports = [free_port() for _ in range(3)]
    replicas = "".join(REPLICA.format(port=each) for each in ports)
    nodes = []
    for number, tcp in enumerate(ports):
        more = CLUSTER.format(keeper=port, own=free_port(), number=number, replicas=replicas)
        nodes.append(ClickHouse(tmp_path / f"node{number}", more, tcp=tcp))
        nodes[-1].start()
    yield nodes
    for node in nodes:
        if node.process.running():
            node.kill()
    keeper.kill()


async def test_a_killed_replica_loses_and_doubles_nothing(world, nodes):
    plc = world.plc("asyncua", "north")
    urls = ", ".join(f'"{node.url}"' for node in nodes)
    store = f'[history.store.clickhouse]\nurls = [{urls}]\ncluster = "plant"\nquorum = 2\n[server.security]'
    service = world.run(plc, replace={"[server.security]": store})
    stream = asyncio.create_task(asyncio.to_thread(plc.stream, "Load", HZ, 40 * HZ, 1))
    async with connected(service.url) as client:
        load = (await variables((await twins(client))[twin_name(plc)]))["Load"]
        first = await eventually(streaming_of(load), 20)
        durable = await child(client.nodes.objects, "History/DurableUntil")
        await asyncio.sleep(8)
        nodes[0].kill()
        killed = time.monotonic()
        until = await durable.read_value()
        begin = first.SourceTimestamp + timedelta(seconds=1)
        count = int((until - begin) / timedelta(seconds=1) * HZ)
        await rows(nodes[1], plc, begin, until, count - 1)
        print(f"after the kill the others had all of {count} samples within {time.monotonic() - killed:.1f} s")
        await asyncio.sleep(5)
        nodes[0].start()
        until = await durable.read_value() - timedelta(seconds=1)
        remembered = len(await history(load, begin, until))
        began = time.monotonic()
        for node in (nodes[1], nodes[2], nodes[0]):
            found = await rows(node, plc, begin, until, remembered)
            print(f"node {nodes.index(node)} has {found} of {remembered}, {time.monotonic() - began:.1f} s after it was back")
            assert found == (remembered, remembered)
    plc.stop()
    await asyncio.gather(stream, return_exceptions=True)
