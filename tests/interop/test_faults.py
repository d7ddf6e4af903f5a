"""What becomes of a PLC's data when networks and PLCs do what they do. One service watches a PLC for each fault and one that nothing
happens to; each PLC's value tells when it was made, so history shows what was lost, doubled or said to be good though it wasn't."""

import asyncio
import dataclasses
import os
import signal
import time
from datetime import datetime, timedelta, timezone

import pytest
from asyncua import ua

from support import service as services
from support.client import TWINS, by_id, child, connected, eventually, history, now
from support.process import free_port
from support.proxy import Proxy
from support.ticking import CONFIG, Ticking, flows, plc_config, ticks

RECOVERY_S = 10
BAD_NODE = "N500"
FLAPPING_S = 60


@dataclasses.dataclass
class Outage:
    """What a fault did: its name, and when data could not come; `up` is when they could again."""

    down: datetime
    up: datetime


async def cut(plc, proxy):
    down = now()
    await proxy.close()
    await asyncio.sleep(5)
    await proxy.open()
    return Outage(down, now())


async def half_open(_, proxy):
    """The peer is gone without a word; whoever connects anew is served."""
    down = now()
    proxy.freeze()
    await asyncio.sleep(4)
    proxy.drop_frozen()
    return Outage(down, now())


async def stall(_, proxy):
    down = now()
    proxy.freeze()
    await asyncio.sleep(10)
    proxy.thaw()
    return Outage(down, now())


async def frozen_process(plc, _):
    down = now()
    os.kill(plc.process.child.pid, signal.SIGSTOP)
    await asyncio.sleep(8)
    os.kill(plc.process.child.pid, signal.SIGCONT)
    return Outage(down, now())


async def restart(plc, _):
    down = now()
    plc.kill()
    await asyncio.sleep(3)
    await asyncio.to_thread(plc.start)
    return Outage(down, now())


async def restart_with_other_namespaces(plc, _):
    plc.options["before"] = ["urn:new:one", "urn:new:two"]
    return await restart(plc, _)


async def restart_with_data_lost(plc, _):
    """Its history is asked for what was missed, and has nothing of it."""
    return await restart(plc, _)


async def one_bad_node_among_1000(plc, _):
    """It comes later, and nobody says so."""
    await asyncio.sleep(10)
    await asyncio.to_thread(plc.tell, add=BAD_NODE)
    return Outage(None, now())


async def slow(_, proxy):
    proxy.delay_s = 0.3
    await asyncio.sleep(15)
    return None


async def absent_at_start(plc, _):
    await asyncio.sleep(8)
    await asyncio.to_thread(plc.start)
    return Outage(None, now())


async def flapping(plc, proxy):
    down = now()
    until = time.monotonic() + FLAPPING_S
    while time.monotonic() < until:
        await proxy.close()
        await asyncio.sleep(1)
        await proxy.open()
        await asyncio.sleep(1)
    return Outage(down, now())


FAULTS = [cut, half_open, stall, frozen_process, restart, restart_with_other_namespaces, restart_with_data_lost, slow,
          absent_at_start, one_bad_node_among_1000, flapping]
NAMES = [fault.__name__ for fault in FAULTS] + ["undisturbed"]

MANY = "\n".join(f'[twin_type.Many.variable.N{i}]\nsource = "nsu=urn:ticking:plc;s=N{i}"' for i in range(1000)) + """
[twin.Many]
type = "Many"
plc = "one_bad_node_among_1000"
"""


def made_at(sample):
    return datetime.fromtimestamp(sample.value / 10, timezone.utc)


def judge(samples, outage, until):
    """What history says: figures of one row of the table."""
    good = [sample for sample in samples if sample.status & 0xC0000000 == 0 and sample.value]
    times = [sample.source for sample in samples]
    assert times == sorted(set(times)), "a SourceTimestamp twice, or out of order"
    assert len({sample.value for sample in good}) == len(good), "a sample twice"
    assert all(abs(made_at(sample) - sample.source) < timedelta(milliseconds=1) for sample in good), "a sample at another time than its own"
    unsaid = [second for second in seconds(samples[0].source, until) if not said(samples, good, second)]
    recovery = None
    if outage:
        first = next(sample.source for sample in good if sample.source > outage.up)
        recovery = (first - outage.up).total_seconds()
    return {"samples": len(good), "recovery_s": recovery, "bad_s": sum(not has(good, s) for s in seconds(samples[0].source, until)), "unsaid": unsaid}


def seconds(start, end):
    at = start.replace(microsecond=0) + timedelta(seconds=1)
    while at + timedelta(seconds=1) < end:
        yield at
        at += timedelta(seconds=1)


def has(good, second):
    return any(second <= sample.source < second + timedelta(seconds=1) for sample in good)


def said(samples, good, second):
    """Whether a second has samples, or reads back Bad at its end."""
    before = [sample for sample in samples if sample.source < second + timedelta(seconds=1)]
    return has(good, second) or before[-1].status >> 30 == 2


@pytest.fixture
def plcs(tmp_path):
    plcs = {name: Ticking(tmp_path, name) for name in NAMES}
    plcs["one_bad_node_among_1000"].options.update(still=1000, missing=[BAD_NODE])
    for name, plc in plcs.items():
        if name != "absent_at_start":
            plc.start()
    yield plcs
    for plc in plcs.values():
        plc.kill()


async def test_data_flow_again_after_every_fault_and_no_gap_is_unsaid(tmp_path, identity, plcs):
    proxies = {name: Proxy(free_port(), plc.port) for name, plc in plcs.items()}
    for proxy in proxies.values():
        await proxy.open()
    config = CONFIG + "".join(plc_config(name, proxy.port) for name, proxy in proxies.items()) + MANY
    config = config.replace("[plc.restart_with_data_lost]", '[plc.restart_with_data_lost]\nbackfill = "10m"')
    service = await asyncio.to_thread(services.of_types, tmp_path, identity, "Faults", config)
    began = now()
    async with connected(service.url) as client:
        await asyncio.gather(*(flows(client, name) for name in NAMES if name != "absent_at_start"))
        await asyncio.sleep(3)
        outages = await asyncio.gather(*(fault(plcs[fault.__name__], proxies[fault.__name__]) for fault in FAULTS))
        await asyncio.gather(*(flows(client, name) for name in NAMES))
        bad_node, another = [await by_id(client, TWINS, f"Many.{name}") for name in (BAD_NODE, "N501")]

        async def is_there():
            return (await bad_node.read_data_value(raise_on_bad_status=False)).StatusCode.is_good()
        await eventually(is_there, 30)
        came = await history(bad_node, began - timedelta(seconds=5), now())
        assert [sample.status for sample in came[:-1]] == [ua.StatusCodes.BadNodeIdUnknown] and came[-1].status == 0
        assert await another.read_value() == 501.0
        await asyncio.sleep(3)
        until = now() - timedelta(seconds=1)
        rows, failed = {}, []
        for name, outage in zip(NAMES, [*outages, None]):
            samples = await history(await ticks(client, name), began - timedelta(seconds=5), until)
            rows[name] = row = judge([sample for sample in samples if sample.status >> 30 == 2 or sample.value], outage, until)
            connection = await child(client.nodes.objects, f"Connections/{name}")
            row["reconnects"] = await (await child(connection, "Reconnects")).read_value()
            print(f"{name:32} samples {row['samples']:5}  seconds without {row['bad_s']:3}  not said to be Bad {len(row['unsaid'])}  "
                  f"first sample after {row['recovery_s'] if row['recovery_s'] is not None else '-'} s  reconnects {row['reconnects']}")
            if row["unsaid"] or (row["recovery_s"] or 0) > RECOVERY_S:
                failed.append(name)
        assert not failed, rows
        assert rows["undisturbed"]["bad_s"] == 0 and rows["undisturbed"]["reconnects"] == 0
        assert rows["slow"]["bad_s"] == 0
    service.stop()
    for proxy in proxies.values():
        await proxy.close()
