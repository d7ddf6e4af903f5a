"""Limits: each is refused with its StatusCode, and while ten thousand a minute come who want nothing, a hundred sessions and fifty
subscriptions of 500 items each are served as if nobody had. UATWIN_CROWD_SECONDS=60 makes it the whole minute."""

import asyncio
import json
import os
import pathlib
import sys
import time

import pytest
from asyncua import ua

from support import service as services
from support.client import by_id, connected, TWINS
from support.load import Loaded, cpu_s, resident_kib
from support.raw import Raw, Refused, activate_session

SECONDS = int(os.environ.get("UATWIN_CROWD_SECONDS", "12"))
PER_SECOND = 170  # ten thousand a minute
SESSIONS, SUBSCRIPTIONS, ITEMS = 100, 50, 500
# Values come once a second, each subscription publishes every 500 ms; more on a machine that others use too.
GAP_S = 5
# Four hundred connections at 256 KiB, and what they leave in the allocator.
GROWTH_KIB = 200 << 10
CROWD = pathlib.Path(__file__).parent / "clients" / "crowd.py"


class Served:
    """A subscription, and when its notifications came."""

    def __init__(self, raw):
        self.raw, self.came = raw, []

    async def begin(self, nodes):
        subscription = await self.raw.subscribe(500.0)
        assert set(await self.raw.monitor(subscription, nodes)) == {0}
        self.tasks = [asyncio.create_task(self._publish()) for _ in range(2)]

    async def _publish(self):
        while True:
            body = await self.raw.publish()
            if len(body) > 2_000:  # not a keep-alive
                self.came.append((time.monotonic(), len(body)))

    def gap_s(self, begin, end):
        times = [begin, *(at for at, _ in self.came if begin < at < end), end]
        return max(b - a for a, b in zip(times, times[1:]))


@pytest.fixture
def loaded(tmp_path, identity):
    loaded = Loaded(tmp_path, identity, ITEMS)
    yield loaded
    loaded.end()


async def test_a_hundred_sessions_are_served_while_ten_thousand_a_minute_come(loaded):
    port = loaded.service.port
    raws = await asyncio.gather(*(Raw(port).session() for _ in range(SESSIONS)))
    nodes = await loaded.nodes(raws[0])
    served = [Served(raw) for raw in raws[:SUBSCRIPTIONS]]
    for one in served:
        await one.begin(nodes)
    await asyncio.sleep(3)
    before = cpu_s(loaded.pid), resident_kib(loaded.pid), time.monotonic()
    await asyncio.sleep(4)
    alone = (cpu_s(loaded.pid) - before[0]) / (time.monotonic() - before[2])
    # The crowd comes from the same address as everybody: nothing but their behaviour tells them apart.
    began, used = time.monotonic(), cpu_s(loaded.pid)
    crowd = await asyncio.create_subprocess_exec(sys.executable, str(CROWD), str(port), "127.0.0.1", str(SECONDS * PER_SECOND), str(PER_SECOND),
                                                 stdout=asyncio.subprocess.PIPE)
    said, honest, idle = asyncio.create_task(crowd.communicate()), [], []
    while not said.done():
        asked = time.monotonic()
        await asyncio.gather(*(raw.read([nodes[0]]) for raw in raws[SUBSCRIPTIONS:]))
        idle.append(time.monotonic() - asked)
        asked = time.monotonic()
        async with connected(loaded.service.url) as client:
            await (await by_id(client, TWINS, "Load.V0")).read_value()
        honest.append(time.monotonic() - asked)
        await asyncio.sleep(0.5)
    end = time.monotonic()
    outcome = json.loads((await said)[0])
    crowded = (cpu_s(loaded.pid) - used) / (end - began)
    grown = resident_kib(loaded.pid) - before[1]
    gaps = [one.gap_s(began, end) for one in served]
    values = sum(length for one in served for at, length in one.came if began < at < end) / (end - began)
    print(f"{outcome['attempts']} attempts in {outcome['seconds']:.1f} s; longest gap {max(gaps):.2f} s; {values / 1e6:.2f} MB/s of notifications; "
          f"{len(honest)} new clients, {max(honest):.2f} s at most; 50 reads {max(idle):.2f} s at most; CPU {alone:.2f} alone, {crowded:.2f} with the "
          f"crowd; memory +{grown / 1024:.0f} MiB")
    for what, count in sorted(outcome["outcomes"].items()):
        print(f"  {count:6} {what}")
    assert max(gaps) < GAP_S and len(honest) >= SECONDS // 4
    assert grown < GROWTH_KIB
    assert not any(task.done() for one in served for task in one.tasks), "a subscriber was cut off"
    for one in served:
        for task in one.tasks:
            task.cancel()
    for raw in raws:
        raw.drop()
    assert "panicked" not in loaded.service.process.said()


LIMITS = """
[server.limits]
connections = 12
connections_per_address = 10
sessions = 6
unactivated_sessions = 2
subscriptions_per_session = 3
monitored_items = 20
monitored_items_per_subscription = 12
queue_size = 50
queued_values = 100
message_size = 65536
nodes_per_request = 40
"""
VARIABLES = "\n".join(f"[twin_type.T.variable.V{i}]" for i in range(30)) + '\n[twin.T]\ntype = "T"\n'


@pytest.fixture(scope="module")
def limited(tmp_path_factory, identity):
    service = services.of_types(tmp_path_factory.mktemp("limited"), identity, "Limited", LIMITS + VARIABLES)
    yield service
    service.stop()


async def refused(awaitable):
    """The StatusCode's name of what is refused."""
    with pytest.raises(Refused) as caught:
        await awaitable
    return str(caught.value)


async def nodes_of(raw):
    namespaces = (await raw.read([ua.NodeId(ua.ObjectIds.Server_NamespaceArray)]))[0].Value.Value
    return [ua.NodeId(f"T.V{i}", namespaces.index(TWINS)) for i in range(30)]


async def left(service, raws):
    """All links cut; returns when the server has forgotten them."""
    for raw in raws:
        raw.drop()
    await asyncio.sleep(0.3)


async def test_items_and_queues_are_bounded_over_all_sessions(limited):
    raw, other = await Raw(limited.port).session(1_000), await Raw(limited.port).session(1_000)
    nodes = await nodes_of(raw)
    first, second = await raw.subscribe(), await other.subscribe()
    assert set(await raw.monitor(first, nodes[:12], queue=2)) == {0}
    assert await refused(raw.monitor(first, nodes[:1])) == "BadTooManyMonitoredItems"
    assert set(await raw.monitor(await raw.subscribe(), nodes[:3], queue=1)) == {0}
    statuses = await other.monitor(second, nodes[:10], queue=1)
    assert statuses == [0] * 5 + [ua.StatusCodes.BadTooManyMonitoredItems] * 5
    await raw.subscribe()
    assert await refused(raw.subscribe()) == "BadTooManySubscriptions"
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters = ua.DeleteSubscriptionsParameters(SubscriptionIds=[first])
    await raw.ask(request, ua.DeleteSubscriptionsResponse)
    # 8 of 20 items, 8 of 100 places: two queues of 50 are too many, though one more item is not.
    third = await other.subscribe()
    assert await other.monitor(third, nodes[:2], queue=1_000) == [0, ua.StatusCodes.BadTooManyMonitoredItems]
    await left(limited, [raw, other])
    await asyncio.sleep(1.5)


async def test_capabilities_say_what_holds(limited):
    raw = await Raw(limited.port).session(1_000)
    capabilities = {
        "MaxSessions": 6, "MaxSubscriptions": 18, "MaxSubscriptionsPerSession": 3, "MaxMonitoredItems": 20,
        "MaxMonitoredItemsPerSubscription": 12, "MaxMonitoredItemsQueueSize": 50, "MaxArrayLength": 100_000,
        "OperationLimits_MaxNodesPerRead": 40, "OperationLimits_MaxNodesPerBrowse": 40,
    }
    ids = [ua.NodeId(getattr(ua.ObjectIds, f"Server_ServerCapabilities_{name}", None) or {"MaxMonitoredItemsQueueSize": 31916}[name])
           for name in capabilities]
    assert [value.Value.Value for value in await raw.read(ids)] == list(capabilities.values())
    assert await refused(raw.read([ids[0]] * 41)) == "BadTooManyOperations"
    await left(limited, [raw])
    await asyncio.sleep(1.5)


async def test_the_seventh_session_is_refused_but_not_for_those_that_were_never_activated(limited):
    raws = [await Raw(limited.port).connect() for _ in range(5)]
    for raw in raws[:4]:
        await raw.create_session()
    await asyncio.sleep(2.2)
    await raws[4].create_session()
    # Of those that were not activated in two seconds one is left, and the new one.
    assert [await answers(raw) for raw in raws] == [False, False, False, True, True]
    await left(limited, raws)
    active = [await Raw(limited.port).session(1_000) for _ in range(6)]
    late = await Raw(limited.port).connect()
    assert await refused(late.create_session()) == "BadTooManySessions"
    await left(limited, [*active, late])
    await asyncio.sleep(1.5)


async def answers(raw):
    """Whether a session that was created can still be activated."""
    try:
        await raw.ask(activate_session(), ua.ActivateSessionResponse)
    except Refused:
        return False
    request = ua.CloseSessionRequest()
    request.DeleteSubscriptions = True
    await raw.ask(request, ua.CloseSessionResponse)
    return True


async def test_connections_with_a_session_stay_and_the_others_make_room(limited):
    honest = await Raw(limited.port).session()
    silent = [await Raw(limited.port).connect() for _ in range(9)]
    more = [await Raw(limited.port).connect() for _ in range(5)]
    assert (await honest.read([ua.NodeId(2258)]))[0].StatusCode.value == 0
    gone = [raw.reader.at_eof() or not await raw.reader.read(1) for raw in silent[:5]]
    assert all(gone), "the oldest without a session went"
    another = await Raw(limited.port, "127.0.0.2").session()
    assert (await another.read([ua.NodeId(2258)]))[0].StatusCode.value == 0
    request = ua.CloseSessionRequest()
    for raw in (honest, another):
        await raw.ask(request, ua.CloseSessionResponse)
    await left(limited, [honest, another, *silent, *more])


async def test_a_message_that_is_too_long_ends_its_connection_only(limited):
    raw = await Raw(limited.port).session(1_000)
    nodes = await nodes_of(raw)
    big = [ua.NodeId("x" * 2_000, 4)] * 40
    assert await refused(raw.read(big)) in ("connection closed", "BadTcpMessageTooLarge", "BadEncodingLimitsExceeded", "BadConnectionClosed")
    again = await Raw(limited.port).session(1_000)
    assert len(await again.read(nodes)) == 30
    await left(limited, [raw, again])
