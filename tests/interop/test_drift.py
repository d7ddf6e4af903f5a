"""A device that changes while its twin looks on: the alarm, the fit that answers it, and the residual after it."""

import asyncio
import math
import random
import time

import pytest
from asyncua import ua

from support import service as services
from support.client import TWINS, by_id, child, connected, eventually, recent_history, twins
from support.events import listening, type_of

TAU_S, TAU_WORN_S = 10.0, 6.0
SIGMA = 0.2
HZ = 40


TYPES = f"""
[twin_type.Bench.variable.Temperature]
[twin_type.Bench.variable.Power]
stepped = true
[twin_type.Bench.model.state.T]
init = "T0"
[twin_type.Bench.model.parameter]
tau = {{ value = {TAU_S}, min = 1, max = 100 }}
T0 = {{ value = 20, min = 0, max = 100 }}
[twin_type.Bench.model.input.Power]
[twin_type.Bench.model.equation]
T = "(Power - T)/tau"
[twin_type.Bench.model.output.Temperature]
expr = "T"
sigma = {SIGMA}
[twin_type.Bench.model.live]
period = "10ms"
[twin_type.Bench.model.fit]
window = "1m"
[twin_type.Bench.drift]
false_alarms_per_year = 20000
block = "1s"
learn = "60s"
severity = 650
refit = {{ window = "20s", improve = 0.05, at_most_every = "1h" }}
[twin.Bench1]
type = "Bench"
"""


class Device:
    """A heater of one time constant that is switched every four seconds; clients write what it measures."""

    def __init__(self):
        self.tau, self.temperature, self.power, self.began = TAU_S, 20.0, 20.0, time.monotonic()
        self.at, self.noise = self.began, random.Random(1)

    def step(self):
        now = time.monotonic()
        self.temperature = self.power + (self.temperature - self.power) * math.exp(-(now - self.at) / self.tau)
        self.at = now
        self.power = 80.0 if int((now - self.began) / 4) % 2 == 0 else 30.0
        return self.temperature + self.noise.gauss(0, SIGMA), self.power

    async def run(self, twin):
        temperature, power = await child(twin, "Temperature"), await child(twin, "Power")
        while True:
            values = self.step()
            await asyncio.gather(*(node.write_value(ua.Variant(value, ua.VariantType.Double))
                                   for node, value in zip((temperature, power), values)))
            await asyncio.sleep(1 / HZ)


@pytest.fixture
def service(tmp_path, identity):
    service = services.of_types(tmp_path, identity, "Drift", TYPES)
    yield service
    if service.process.running():
        service.stop()


async def learned(twin):
    """When there are residuals for seventy blocks: sixty to learn from, and some more without an alarm."""
    async def enough():
        return len(await recent_history(await child(twin, "Temperature/Residual"))) > 70 * 32
    await eventually(enough, 240, every_s=2)


async def test_a_worn_device_is_found_fitted_again_and_then_as_its_model_says(service):
    async with connected(service.url) as client:
        twin = (await twins(client))["Bench1"]
        device, alarm = Device(), await by_id(client, TWINS, "Bench1.DriftAlarm")
        kinds = [await type_of(client, name) for name in ("DriftAlarmType", "RefitEventType", "RevisionEventType")]
        drift, refit, revised = (kind.nodeid for kind in kinds)
        assert await alarm.read_type_definition() == drift
        async with listening(client, twin, kinds) as (listener, _):
            running = asyncio.create_task(device.run(twin))
            try:
                await learned(twin)
                assert listener.events == []
                device.tau = TAU_WORN_S
                active = await listener.until(lambda event: event.EventType == drift, 60)
                assert getattr(active, "ActiveState/Id") is True and active.Severity == 650
                assert active.Output == "Temperature" and active.Statistic > active.Limit > 0
                assert active.FalseAlarmsPerYear == 20000 and active.InputNode.Identifier == "Bench1.Temperature.Residual"
                assert active.NodeId == alarm.nodeid and active.ChangedSince < active.Time
                answer = await listener.until(lambda event: event.EventType == refit, 90)
                assert answer.IsAccepted is True and answer.Improvement > 0.05 and answer.State == "Completed"
                found = dict(zip(answer.Names, answer.Values))
                assert abs(found["tau"] - TAU_WORN_S) < 5 * answer.StandardErrors[answer.Names.index("tau")] + 0.3
                revision = await listener.until(lambda event: event.EventType == revised)
                assert (revision.Revision, revision.PreviousRevision, revision.By) == (2, 1, "drift")
                normal = await listener.until(lambda event: event.EventType == drift and not getattr(event, "ActiveState/Id"))
                assert normal.Retain is True, "nobody has acknowledged it yet"
                # As its model says again: nothing is left to find, and what is left is as large as the noise.
                await asyncio.sleep(30)
                assert len([event for event in listener.events if event.EventType == drift]) == 2
                residual = await by_id(client, TWINS, "Bench1.Temperature.Residual")
                values = [abs(await residual.read_value()) for _ in range(20) if await asyncio.sleep(0.1) is None]
                assert sorted(values)[10] < 3 * SIGMA
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


async def test_an_alarm_that_stands_outlives_a_restart(service):
    device = Device()
    async with connected(service.url) as client:
        twin = (await twins(client))["Bench1"]
        running = asyncio.create_task(device.run(twin))
        alarm = await by_id(client, TWINS, "Bench1.DriftAlarm")
        await learned(twin)
        device.tau = TAU_WORN_S

        async def active():
            return await (await child(alarm, "ActiveState/Id")).read_value()
        await eventually(active, 60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    service.stop()
    service.start()
    async with connected(service.url) as client:
        alarm = await by_id(client, TWINS, "Bench1.DriftAlarm")
        await asyncio.sleep(3)  # what history holds has been gone through by now
        assert await (await child(alarm, "ActiveState/Id")).read_value() is True
