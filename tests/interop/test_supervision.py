"""PLCs that look alive and aren't, that change under a client, and that are there twice."""

import asyncio

import pytest

from support import service as services
from support.client import TWINS, by_id, child, connected, eventually, now
from support.ticking import CONFIG, Ticking, flows, plc_config

CHANGING = """
[twin_type.Changing.variable.Value]
path = "/Objects/Ticking/N0"
[twin_type.Changing.variable.Late]
source = "nsu=urn:ticking:plc;s=N1"
[twin.Changing]
type = "Changing"
plc = "line"
"""


@pytest.fixture
def ticking(tmp_path):
    plcs = []

    def start(name, **options):
        plcs.append(Ticking(tmp_path, name, **options))
        plcs[-1].start()
        return plcs[-1]
    yield start
    for plc in plcs:
        plc.kill()


async def test_a_subscription_that_brings_nothing_of_a_value_that_changes_is_made_anew(tmp_path, identity, ticking):
    plc = ticking("line")
    service = await asyncio.to_thread(services.of_types, tmp_path, identity, "Deaf", CONFIG + plc_config("line", plc.port))
    async with connected(service.url) as client:
        await flows(client, "line")
        connection = await child(client.nodes.objects, "Connections/line")
        plc.tell(deafen="Ticks")
        last_error = await child(connection, "LastError")

        async def found():
            return "brings nothing of" in await last_error.read_value()
        await eventually(found, 30)
        await flows(client, "line")
        assert await (await child(connection, "Reconnects")).read_value() == 0, "the session stands"
    service.stop()


async def test_changed_nodes_are_looked_for_again_and_late_ones_found(tmp_path, identity, ticking):
    plc = ticking("line", still=2, missing=["N1"])
    service = await asyncio.to_thread(services.of_types, tmp_path, identity, "Changing", CONFIG + plc_config("line", plc.port) + CHANGING)
    async with connected(service.url) as client:
        await flows(client, "line")
        value, late = [await by_id(client, TWINS, f"Changing.{name}") for name in ("Value", "Late")]
        assert await value.read_value() == 0.0
        assert (await late.read_data_value(raise_on_bad_status=False)).StatusCode.name == "BadNodeIdUnknown"
        plc.tell(replace="N0", tell=True)

        async def is_new():
            return await value.read_value() == 7.0
        await eventually(is_new, 20)
        plc.tell(add="N1")

        async def is_there():
            return (await late.read_data_value(raise_on_bad_status=False)).StatusCode.is_good()
        await eventually(is_there, 30)
        assert await (await child(client.nodes.objects, "Connections/line/Reconnects")).read_value() == 0
    service.stop()


async def test_of_redundant_servers_the_one_that_serves_best_is_used(tmp_path, identity, ticking):
    one, two = ticking("one"), ticking("two")
    one.tell(level=220)
    two.tell(level=255)
    config = CONFIG + plc_config("line", one.port, two.port)
    service = await asyncio.to_thread(services.of_types, tmp_path, identity, "Redundant", config)
    async with connected(service.url) as client:
        connection = await child(client.nodes.objects, "Connections/line")
        endpoint, level = await child(connection, "Endpoint"), await child(connection, "ServiceLevel")

        async def served_by(plc, at_level):
            async def there():
                return await endpoint.read_value() == plc.url and await level.read_value() == at_level
            await eventually(there, 30)
            began = now()
            await flows(client, "line")
            return began
        await served_by(two, 255)
        two.tell(level=150)
        await served_by(one, 220)
        one.tell(level=180)  # unwell too, but still the best
        await asyncio.sleep(8)
        await served_by(one, 180)
        one.kill()
        await served_by(two, 150)
    service.stop()
