"""The audit trail of changed history: what was deleted or annotated, by whom, whether it was done; and who may read of it."""

import pytest
from asyncua import ua

from support import bench
from support.client import child, connected, now, twins
from support.events import kept, listening
from support.history import at_ms, data_value, insert, ms_of, send

S = ua.StatusCodes
RAW, AT_TIMES, ANNOTATIONS = "AuditHistoryRawModifyDelete", "AuditHistoryAtTimeDelete", "AuditHistoryAnnotationUpdate"


def audited(client, *names):
    return [client.get_node(getattr(ua.ObjectIds, f"{name}EventType")) for name in names]


def delete_range(node, start, end, modified=False):
    return ua.DeleteRawModifiedDetails(NodeId=node.nodeid, IsDeleteModified=modified, StartTime=at_ms(start), EndTime=at_ms(end))


def delete_at(node, *times):
    return ua.DeleteAtTimeDetails(NodeId=node.nodeid, ReqTimes=[at_ms(time) for time in times])


def annotate(node, at, message):
    said = ua.Annotation(Message=message, UserName="", AnnotationTime=at_ms(at))
    value = data_value(said, at_ms(at), kind=ua.VariantType.ExtensionObject)
    return ua.UpdateStructureDataDetails(NodeId=node.nodeid, PerformInsertReplace=ua.PerformUpdateType.Insert, UpdateValues=[value])


async def power_of(client):
    return await child((await twins(client))[bench.TWIN], "Power")


@pytest.fixture
def service(tmp_path, identity):
    service = bench.run(tmp_path, identity)
    yield service
    service.stop()


def key(event):
    return event.EventId, event.EventType, event.SourceNode, event.UpdatedNode, event.ClientUserId, event.Status


async def told(listener, client, node, details):
    """The one event of one change, with the fields that all such events have."""
    count, asked = len(listener.events), now()
    status, _ = await send(node, details)
    event = (await listener.count(count + 1))[-1]
    assert len(listener.events) == count + 1
    assert event.SourceNode == event.UpdatedNode == node.nodeid
    assert event.ClientUserId == "ANONYMOUS" and event.Status is (status == 0)
    assert asked <= event.ActionTimeStamp <= event.Time
    return event


async def test_deletions_and_annotations_are_told_and_kept(service):
    async with connected(service.url) as client:
        power, start = await power_of(client), now()
        notes, t = await child(power, "Annotations"), ms_of(start) - 3_600_000
        await insert(power, [(t + 1000 * i, float(i), 0) for i in range(10)])
        raw, at_times, annotations = kinds = audited(client, RAW, AT_TIMES, ANNOTATIONS)
        async with listening(client, types=kinds) as (listener, _):
            async def expect(node, details, kind, good, words):
                event = await told(listener, client, node, details)
                assert (event.EventType, event.Status) == (kind.nodeid, good)
                assert event.Severity == (100 if good else 400) and words in event.Message.Text, event.Message.Text
            await expect(power, delete_range(power, t + 2000, t + 5000), raw, True, "delete range: 3 changed")
            await expect(power, delete_range(power, t + 2000, t + 5000), raw, False, "BadNoData")
            # The record of five insertions and three deletions.
            await expect(power, delete_range(power, t, t + 5000, modified=True), raw, True, "delete modified: 8 changed")
            await expect(power, delete_at(power, t + 7000, t + 7500), at_times, True, "1 changed, 1 not")
            await expect(power, annotate(power, t, "a"), annotations, True, "annotations: 1 changed, 0 not")
            await expect(notes, annotate(notes, t + 1000, "b"), annotations, True, "annotations: 1 changed, 0 not")
            live = [key(event) for event in listener.events]
        assert [key(event) for event in await kept(client.nodes.server, kinds, len(live), start)] == live


def as_role(service, role):
    """The same service with its data, in which anonymous users have this role."""
    service.stop()
    config = service.folder / "uatwin.toml"
    head, _, rest = config.read_text().partition('anonymous = "')
    config.write_text(f'{head}anonymous = "{role}"{rest[rest.index(chr(34)) + 1:]}')
    service.start()


async def test_who_is_no_engineer_is_told_nothing_of_it(service):
    start = now()
    t = ms_of(start) - 3_600_000
    async with connected(service.url) as client:
        power = await power_of(client)
        await insert(power, [(t, 1.0, 0), (t + 1000, 2.0, 0), (t + 2000, 3.0, 0)])
    for role in ["observer", "operator"]:
        as_role(service, role)
        async with connected(service.url) as client:
            power, kinds = await power_of(client), audited(client, RAW, AT_TIMES, ANNOTATIONS)
            async with listening(client) as (every, _), listening(client, types=kinds) as (audits, _):
                for details in [delete_range(power, t, t + 500), delete_at(power, t + 1000), annotate(power, t, "a")]:
                    assert (await send(power, details))[0] == S.BadUserAccessDenied
                assert await kept(client.nodes.server, kinds, 1, start) == []
                assert every.events == audits.events == []
    as_role(service, "engineer")
    async with connected(service.url) as client:
        power, kinds = await power_of(client), audited(client, RAW, AT_TIMES, ANNOTATIONS)
        events = await kept(client.nodes.server, kinds, 6, start)
        assert [event.EventType for event in events] == [kind.nodeid for kind in kinds] * 2
        for event in events:
            assert event.SourceNode == event.UpdatedNode == power.nodeid and event.ClientUserId == "ANONYMOUS"
            assert event.Status is False and event.Severity == 400 and "BadUserAccessDenied" in event.Message.Text
