"""HistoryUpdate by a foreign client: what is changed, what is kept of the old, who may, and that it is safe at once."""

import pytest
from asyncua import ua

from support.client import connected, history, twins, variables
from support.config import twin_name
from support.history import at_ms, data_value, insert, pages, read, send, update

START = 1_700_000_000_000
S = ua.StatusCodes
EXTRA = 0x408  # InfoType DataValue with ExtraData: the value hides another one of its instant
INSERT, REPLACE, UPDATE = ua.PerformUpdateType.Insert, ua.PerformUpdateType.Replace, ua.PerformUpdateType.Update


async def variable_of(client, service, name):
    [twin] = [node for twin, node in (await twins(client)).items() if twin.endswith("Line")]
    return (await variables(twin))[name]


async def load_of(client, service):
    return await variable_of(client, service, "Load")


@pytest.fixture(scope="module")
def service(make_world):
    world = make_world()
    return world.run(world.plc("asyncua", "north"))


def values(*samples):
    return [data_value(value, at_ms(at)) for at, value in samples]


async def stored(load, start, end):
    return [(sample.value, sample.status) for sample in await history(load, at_ms(start), at_ms(end))]


async def modified(load, start, end):
    details = ua.ReadRawModifiedDetails(IsReadModified=True, StartTime=at_ms(start), EndTime=at_ms(end), NumValuesPerNode=0, ReturnBounds=False)
    data = (await read(load, details)).HistoryData
    return list(zip(data.DataValues, data.ModificationInfos, strict=True))


async def test_insert_replace_and_update_say_what_became_of_each_value(service):
    t = START
    async with connected(service.url) as client:
        load = await load_of(client, service)
        assert await update(load, INSERT, values((t, 1.0), (t + 1000, 2.0))) == (0, [S.GoodEntryInserted] * 2)
        assert (await update(load, INSERT, values((t, 9.0), (t + 2000, 3.0))))[1] == [S.BadEntryExists, S.GoodEntryInserted]
        assert (await update(load, REPLACE, values((t, 1.5), (t + 500, 9.0))))[1] == [S.GoodEntryReplaced, S.BadNoEntryExists]
        assert (await update(load, UPDATE, values((t + 1000, 2.5), (t + 3000, 4.0))))[1] == [S.GoodEntryReplaced, S.GoodEntryInserted]
        assert await stored(load, t, t + 60_000) == [(1.5, EXTRA), (2.5, EXTRA), (3.0, 0), (4.0, 0)]


async def test_what_was_replaced_can_be_read_with_who_and_when(service):
    t = START + 3_600_000
    async with connected(service.url) as client:
        load = await load_of(client, service)
        await insert(load, [(t, 1.0, 0), (t + 1000, 2.0, 0)])
        await update(load, REPLACE, values((t, 1.5)))
        await update(load, REPLACE, values((t, 1.75)))
        old = [(value.Value.Value, info) for value, info in await modified(load, t, t + 500) if info.UpdateType == ua.HistoryUpdateType.Replace]
        assert sorted(value for value, _ in old) == [1.0, 1.5]
        assert all(info.UserName and info.ModificationTime > at_ms(t) for _, info in old)
        assert await stored(load, t, t + 60_000) == [(1.75, EXTRA), (2.0, 0)]


async def test_deletion_by_range_and_by_time(service):
    t = START + 2 * 3_600_000
    async with connected(service.url) as client:
        load = await load_of(client, service)
        await insert(load, [(t + i * 1000, float(i), 0) for i in range(10)])
        details = ua.DeleteRawModifiedDetails(NodeId=load.nodeid, IsDeleteModified=False, StartTime=at_ms(t + 2000), EndTime=at_ms(t + 5000))
        assert (await send(load, details))[0] == 0
        details = ua.DeleteAtTimeDetails(NodeId=load.nodeid, ReqTimes=[at_ms(t + 7000), at_ms(t + 7500)])
        assert (await send(load, details))[1] == [S.Good, S.BadNoEntryExists]
        assert [value for value, _ in await stored(load, t, t + 60_000)] == [0.0, 1.0, 5.0, 6.0, 8.0, 9.0]
        deleted = sorted(value.Value.Value for value, info in await modified(load, t, t + 60_000) if info.UpdateType == ua.HistoryUpdateType.Delete)
        assert deleted == [2.0, 3.0, 4.0, 7.0]


async def test_a_value_of_another_type_or_without_a_time_changes_nothing(service):
    t = START + 3 * 3_600_000
    async with connected(service.url) as client:
        load = await load_of(client, service)
        text = ua.DataValue(ua.Variant("warm", ua.VariantType.String), SourceTimestamp=at_ms(t))
        timeless = ua.DataValue(ua.Variant(1.0, ua.VariantType.Double))
        _, results = await update(load, INSERT, [text, timeless, *values((t, 1.0))])
        assert results == [S.BadTypeMismatch, S.BadInvalidTimestamp, S.GoodEntryInserted]
        assert await stored(load, t, t + 60_000) == [(1.0, 0)]


async def test_history_of_an_array_comes_whole_or_in_part(service):
    t = START + 4 * 3_600_000
    async with connected(service.url) as client:
        profile = await variable_of(client, service, "Profile")
        arrays = [[0.5, 1.5, 2.5], [3.5], [4.5, 5.5]]
        assert await update(profile, INSERT, values(*((t + i * 1000, array) for i, array in enumerate(arrays)))) == (0, [S.GoodEntryInserted] * 3)
        raw = ua.ReadRawModifiedDetails(IsReadModified=False, StartTime=at_ms(t), EndTime=at_ms(t + 9000), NumValuesPerNode=0, ReturnBounds=False)

        async def parts(index_range):
            return [(value.Value.Value, value.StatusCode.value) for value in await pages(profile, raw, index_range=index_range)]
        assert await parts(None) == [(array, 0) for array in arrays]
        assert await parts("1:2") == [([1.5, 2.5], 0), (None, S.BadIndexRangeNoData), ([5.5], 0)]
        assert await parts("0") == [([0.5], 0), ([3.5], 0), ([4.5], 0)]
        assert (await read(await load_of(client, service), raw, index_range="0")).StatusCode.value == S.BadIndexRangeNoData
        with pytest.raises(ua.UaStatusCodeError):
            await parts("2:1")
        assert await parts("0:2") == [(array, 0) for array in arrays], "the session goes on"


async def test_only_an_engineer_may(make_world):
    world = make_world()
    service = world.run(world.plc("asyncua", "south"), anonymous="operator")
    async with connected(service.url) as client:
        load = await load_of(client, service)
        status, _ = await update(load, INSERT, values((START, 1.0)))
        assert status == S.BadUserAccessDenied
        assert await stored(load, START, START + 60_000) == []
        level = (await load.read_attribute(ua.AttributeIds.UserAccessLevel)).Value.Value
        assert not level & 1 << ua.AccessLevel.HistoryWrite


async def test_an_answer_of_good_survives_a_kill(make_world):
    world = make_world()
    plc = world.plc("asyncua", "east")
    service = world.run(plc)
    async with connected(service.url) as client:
        load = await load_of(client, service)
        await insert(load, [(START + i, float(i), 0) for i in range(1000)])
    service.process.kill()
    service.start()
    async with connected(service.url) as client:
        load = await load_of(client, service)
        # After a restart a Bad sample may stand behind the newest: where the gap begins.
        remembered = [value for value, status in await stored(load, START, START + 60_000) if status == 0]
        assert remembered == [float(i) for i in range(1000)]
