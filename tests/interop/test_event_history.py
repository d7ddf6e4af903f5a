"""History of events for a foreign client: what was told live is read again, page by page, filtered, and after a kill."""

import asyncio
from datetime import timedelta

import pytest
from asyncua import ua
from asyncua.common.events import get_filter_from_event_type

from support import bench, methods
from support.client import connected, now, twins
from support.events import kept, listening, type_of

COUNT = 7


@pytest.fixture(scope="module")
def service(tmp_path_factory, identity):
    service = bench.run(tmp_path_factory.mktemp("bench"), identity)
    yield service
    service.stop()


async def revised(client, count):
    """Revisions of the twin, as a subscription told them, and since when."""
    twin = (await twins(client))[bench.TWIN]
    kind = await type_of(client, "RevisionEventType")
    start = now()  # not a moment before: the test before this one told of the same
    async with listening(client, twin, kind) as (listener, _):
        for step in range(count):
            await methods.set_parameters(twin, ["tau"], [100.0 + step])
        told = await listener.count(count)
    return twin, kind, start, told


def key(event):
    return event.EventId, event.Time, event.Revision, event.Values, event.SourceNode, event.Message.Text


async def test_what_was_told_is_read_again_by_the_server_the_twins_and_the_twin(service, client_identity):
    async with connected(service.url, client_identity) as client:
        twin, kind, start, told = await revised(client, COUNT)
        for node in [client.nodes.server, await twin.get_parent(), twin]:
            events = await kept(node, kind, COUNT, start)
            assert [key(event) for event in events] == [key(event) for event in told]
            back = await node.read_event_history(now() + timedelta(seconds=5), start, 0, kind)
            assert [key(event) for event in back] == [key(event) for event in reversed(told)]
            newest = await node.read_event_history(None, now() + timedelta(seconds=5), 2, kind)
            assert [key(event) for event in newest] == [key(told[-1]), key(told[-2])]
        with pytest.raises(ua.uaerrors.BadHistoryOperationUnsupported):
            await client.nodes.objects.read_event_history(start, now(), 0, kind)


async def test_pages_go_on_where_the_last_ended(service):
    async with connected(service.url) as client:
        twin, kind, start, told = await revised(client, COUNT)
        await kept(twin, kind, COUNT, start)
        details = ua.ReadEventDetails()
        details.StartTime, details.EndTime, details.NumValuesPerNode = start, now() + timedelta(seconds=5), 3
        details.Filter = await get_filter_from_event_type([kind])
        wanted = ua.HistoryReadValueId(NodeId=twin.nodeid)
        pages = []
        while True:
            params = ua.HistoryReadParameters(
                HistoryReadDetails=details, ReleaseContinuationPoints=False, NodesToRead=[wanted]
            )
            result = (await twin.session.history_read(params))[0]
            result.StatusCode.check()
            pages.append(len(result.HistoryData.Events))
            if not result.ContinuationPoint:
                break
            wanted.ContinuationPoint = result.ContinuationPoint
        assert pages == [3, 3, 1]


async def test_events_outlive_a_kill(tmp_path, identity):
    service = bench.run(tmp_path, identity)
    async with connected(service.url) as client:
        twin, kind, start, told = await revised(client, COUNT)
        await kept(twin, kind, COUNT, start)
        await asyncio.sleep(2.5)  # they are durable
    service.process.kill()
    service.start()
    async with connected(service.url) as client:
        twin = (await twins(client))[bench.TWIN]
        events = await twin.read_event_history(start, now(), 0, await type_of(client, "RevisionEventType"))
        assert [key(event) for event in events][:COUNT] == [key(event) for event in told]
    service.stop()
