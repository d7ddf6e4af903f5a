"""History that has too little disk left: it pauses and says so, goes on once there is room, and has lost nothing."""

from asyncua import ua

from support import bench, small_disk
from support.client import TWINS, by_id, child, connected, eventually, now, recent_history, twins
from support.events import kept, listening, type_of
from support.history import at_ms, data_value, ms_of, update

FLOOR_BYTES = 256 * small_disk.MIB


async def test_history_that_pauses_for_lack_of_space_is_told_and_so_is_its_going_on(tmp_path, identity):
    data = tmp_path / "data"
    service = bench.run(tmp_path, identity, via=small_disk.via(data))
    try:
        await paused_and_going_on(service, small_disk.Ballast(service.process, data))
        service.stop()
    finally:
        service.process.kill()


async def paused_and_going_on(service, ballast):
    async with connected(service.url) as client:
        twin, start = (await twins(client))[bench.TWIN], now()
        power, history = await child(twin, "Power"), await by_id(client, TWINS, "History")
        state, free = await child(history, "State"), await child(history, "FreeSpace")
        kind = await type_of(client, "HistoryEventType")

        async def write(value):
            await power.write_value(ua.Variant(value, ua.VariantType.Double))

        async with listening(client, types=kind) as (listener, _), listening(client, twin, kind) as (of_twin, _):
            await write(1.0)
            assert await state.read_value() == "Running" and await free.read_value() > FLOOR_BYTES
            ballast.load()
            await write(2.0)
            [paused] = await listener.count(1)
            assert (paused.State, paused.Severity, paused.SourceName) == ("DiskFull", 900, "History")
            assert paused.SourceNode == history.nodeid and "disk space" in paused.Message.Text
            assert await state.read_value() == "DiskFull" and await free.read_value() < FLOOR_BYTES
            await write(3.0)
            inserted = data_value(9.0, at_ms(ms_of(start) - 3_600_000))
            status, _ = await update(power, ua.PerformUpdateType.Insert, [inserted])
            assert status == ua.StatusCodes.BadResourceUnavailable, "what must be durable at once is refused"
            assert len(listener.events) == 1

            ballast.drop()
            paused, again = await listener.count(2)
            assert (again.State, again.Severity, again.SourceNode) == ("Running", 300, history.nodeid)
            assert again.Time > paused.Time and "again" in again.Message.Text

            async def stored():
                return [sample.value for sample in await recent_history(power)][-3:] == [1.0, 2.0, 3.0]
            await eventually(stored, 20)
            assert await state.read_value() == "Running"
            assert len(listener.events) == 2 and not of_twin.events, "it is no twin's event"

    def fields(events):
        return [(event.EventId, event.Time, event.State, event.Severity, event.SourceNode) for event in events]
    async with connected(service.url) as client:
        assert fields(await kept(client.nodes.server, kind, 2, start)) == fields([paused, again])
