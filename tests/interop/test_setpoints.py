"""Set-points that reach the plant: by a client's write, by OptimizeSetpoints, and back when a bound breaks."""

import re

from asyncua import ua

from support import bench, methods
from support.client import by_id, call, child, children, connected, eventually, now, twins, variant
from support.events import kept, listening, type_of
from support.fitting import backfilled
from support.methods import NUMBER, TEXT, status_of
from support.pki import PKI_FOLDER, trust
from support.plant import PLANT
from support.process import PROGRAM, REPOSITORY, Process, free_port
from support.service import Service

MINUTE_MS = 60_000.0


def optimize(twin, target, apply, output="Temperature", horizon=10 * MINUTE_MS):
    return call(twin, "OptimizeSetpoints", variant(TEXT, output), variant(NUMBER, target), variant(NUMBER, horizon),
                variant(ua.VariantType.Boolean, apply))


async def foreseen(twin, inputs=None, minutes=10):
    """Temperature at the horizon with these inputs."""
    inputs = inputs or {}
    found = await call(twin, "Predict", variant(NUMBER, minutes * MINUTE_MS), variant(NUMBER, minutes * MINUTE_MS), variant(TEXT, "Temperature"),
                       variant(TEXT, list(inputs)), variant(NUMBER, list(inputs.values())))
    return found["Values"][-1]


async def power_at(plant):
    return await by_id(plant, PLANT, "Oven2.HeaterPower")


async def back_to_the_programme(plant):
    """Other tests look at the same plant."""
    auto = await by_id(plant, PLANT, "Oven2.Auto")
    await auto.write_value(ua.DataValue(ua.Variant(True, ua.VariantType.Boolean)))


async def stands_at(node, value):
    """The plant takes what is written in its next second."""
    async def there():
        return await node.read_value() == value
    await eventually(there, 20)


def double(value, **more):
    return ua.DataValue(ua.Variant(value, NUMBER), **more)


async def test_set_points_are_found_tried_and_applied(demo_with_past):
    async with connected(demo_with_past.url) as client, connected(demo_with_past.plant_url) as plant:
        twin = (await twins(client))["Oven2"]
        await methods.fit(twin)
        at_plant, before = await power_at(plant), await (await child(twin, "HeaterPower")).read_value()
        target = await foreseen(twin) + (2.0 if before < 1000 else -2.0)
        dry = await optimize(twin, target, False)
        assert dry["InputNames"] == ["P"] and not dry["Applied"], dry
        assert abs(dry["PredictedOutput"] - target) < 0.2 and dry["Cost"] < 1.0, dry
        assert 0 <= dry["InputValues"][0] <= 2000 and abs(dry["InputValues"][0] - before) <= 500, dry
        # The other method foresees the same: a model's second or two have gone by between the calls.
        assert abs(await foreseen(twin, {"P": dry["InputValues"][0]}) - dry["PredictedOutput"]) < 0.3
        assert await at_plant.read_value() == before, "a dry run moves nothing"

        applied = await optimize(twin, target, True)
        assert applied["Applied"] and "Good" in applied["Message"].Text, applied
        await stands_at(at_plant, applied["InputValues"][0])
        await stands_at(await child(twin, "HeaterPower"), applied["InputValues"][0])
        assert await status_of(optimize(twin, target, True)) == ua.StatusCodes.BadResourceUnavailable, "it is being watched"
        assert not (await optimize(twin, target, False))["Applied"]
        await back_to_the_programme(plant)


async def test_what_cannot_be_meant_is_refused(demo_with_past):
    async with connected(demo_with_past.url) as client:
        all_twins = await twins(client)
        twin, invalid = all_twins["Oven1"], ua.StatusCodes.BadInvalidArgument
        assert await status_of(optimize(twin, 100.0, False, output="Nothing")) == invalid
        assert await status_of(optimize(twin, float("nan"), False)) == invalid
        assert await status_of(optimize(twin, 100.0, False, horizon=0.0)) == invalid
        assert await status_of(optimize(twin, 100.0, False, horizon=-5.0)) == invalid
        out_of_reach = await optimize(twin, 100_000.0, False, horizon=MINUTE_MS / 60)
        assert out_of_reach["PredictedOutput"] < 1000, out_of_reach
        assert "OptimizeSetpoints" not in await children(all_twins["Pump1"]), "nothing may be moved there"


async def test_a_client_writes_through_to_the_plant(demo_with_past):
    async with connected(demo_with_past.url) as client, connected(demo_with_past.plant_url) as plant:
        twin = (await twins(client))["Oven2"]
        power, at_plant, codes = await child(twin, "HeaterPower"), await power_at(plant), ua.StatusCodes
        await power.write_value(double(321.0))
        await stands_at(at_plant, 321.0)
        await stands_at(power, 321.0)
        assert await status_of(power.write_value(double(5000.0))) == codes.BadOutOfRange, "the plant's own answer"
        assert await status_of(power.write_value(double(1.0, StatusCode=ua.StatusCode(codes.UncertainInitialValue)))) == codes.BadWriteNotSupported
        assert await status_of((await child(twin, "Temperature")).write_value(double(20.0))) == codes.BadNotWritable
        assert await at_plant.read_value() == 321.0
        await back_to_the_programme(plant)


async def test_the_old_values_go_back_when_a_bound_breaks(tmp_path, identity):
    plant_port, port = free_port(), free_port()
    plant_process = Process([PROGRAM, "plant", "--port", plant_port], tmp_path, "plant")
    plant_process.wait_for_port(plant_port)
    service = None
    try:
        async with connected(f"opc.tcp://127.0.0.1:{plant_port}") as plant:
            at_plant = await power_at(plant)
            bound = await (await by_id(plant, PLANT, "Oven2.HeaterTemperature")).read_value() + 8.0
            text = (REPOSITORY / "config/demo.toml").read_text()
            for pattern, new in [
                (r"127\.0\.0\.1:4840", f"127.0.0.1:{port}"),
                (r"127\.0\.0\.1:4841", f"127.0.0.1:{plant_port}"),
                (r'pki_dir = "[^"]*"', f'pki_dir = "{PKI_FOLDER}"'),
                (r"keep\.HeaterTemperature = .*", f"keep.HeaterTemperature = {{ max = {bound} }}"),
            ]:
                text, count = re.subn(pattern, new, text)
                assert count == 1, pattern
            (tmp_path / "uatwin.toml").write_text(text)
            trust(tmp_path / PKI_FOLDER, identity)
            service = Service(tmp_path, tmp_path / PKI_FOLDER, ["run", "--config", tmp_path / "uatwin.toml"], port)
            await backfilled(service.url)
            async with connected(service.url) as client:
                twin = (await twins(client))["Oven2"]
                await methods.fit(twin)
                # Whatever the programme does now, a little less of it.
                before = await at_plant.read_value()
                await at_plant.write_value(double(before))
                applied = await optimize(twin, await foreseen(twin, minutes=2) - 3.0, True, horizon=2 * MINUTE_MS)
                assert applied["Applied"] and applied["InputValues"][0] < before, applied
                await stands_at(at_plant, applied["InputValues"][0])
                await at_plant.write_value(double(2000.0))  # somebody at the plant
                await stands_at(at_plant, 2000.0)
                await stands_at(at_plant, before)
        assert "a bound broke" in service.process.said()
    finally:
        if service:
            service.process.kill()
        plant_process.kill()


# Internal variables stand for the plant.
OPTIMIZE = """
[twin_type.Bench.optimize]
move.Power = { min = 0, max = 100, max_change = 40 }
keep.Temperature = { max = 90 }
watch = "5m"
"""


async def test_what_is_written_and_what_goes_back_is_told_and_kept(tmp_path, identity):
    service = bench.run(tmp_path, identity, live=OPTIMIZE)
    try:
        async with connected(service.url) as client:
            await written_and_put_back(client)
        service.stop()
    finally:
        service.process.kill()


async def written_and_put_back(client):
    twin, start = (await twins(client))[bench.TWIN], now()
    power, temperature = await child(twin, "Power"), await child(twin, "Temperature")
    kind = await type_of(client, "SetpointEventType")
    await power.write_value(double(50.0))
    await temperature.write_value(double(50.0))
    async with listening(client, twin, kind) as (listener, _):
        dry = await optimize(twin, 60.0, False)
        applied = await optimize(twin, 60.0, True)
        assert applied["Applied"] and applied["InputNames"] == ["Power"], applied
        [written] = await listener.count(1)
        # The event names the first change: a dry run tells of nothing.
        assert not dry["Applied"] and written.Values == applied["InputValues"] != [50.0]
        assert (written.Names, written.By, written.Severity) == (["Power"], "ANONYMOUS", 100)
        assert written.SourceNode == twin.nodeid and written.Message.Text in applied["Message"].Text
        await temperature.write_value(double(95.0))  # the bound breaks
        written, back = await listener.count(2)
        assert (back.Names, back.Values, back.By or "", back.Severity) == (["Power"], [50.0], "", 700)
        assert back.SourceNode == twin.nodeid and "Temperature is at 95" in back.Message.Text
        assert await power.read_value() == 50.0

    def fields(events):
        return [(event.EventId, event.Time, event.Names, event.Values, event.By, event.Severity) for event in events]
    for node in [twin, client.nodes.server]:
        assert fields(await kept(node, kind, 2, start)) == fields([written, back])
