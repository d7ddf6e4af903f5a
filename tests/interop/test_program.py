"""FitProgram as a stranger finds it: a program of OPC 10000-10, known by its type alone."""

import asyncio

import pytest
from asyncua import ua

from support import bench, methods
from support.client import TWINS, child, children, connected, eventually, subscribed, twins
from support.methods import status_of
from support.other_clients import run_steps

PROGRAM_TYPE = ua.NodeId(ua.ObjectIds.ProgramStateMachineType)
MANDATORY = {"CurrentState", "LastTransition", "Deletable", "AutoDelete", "RecycleCount"}
CALLS = ["Start", "Suspend", "Resume", "Halt", "Reset"]


async def programs(client):
    """Every twin's object of ProgramStateMachineType, whatever it is called."""
    found = {}
    for name, twin in (await twins(client)).items():
        for node in await twin.get_children(nodeclassmask=ua.NodeClass.Object):
            if await node.read_type_definition() == PROGRAM_TYPE:
                found[name] = node
    return found


def ask(program, name):
    """By the MethodId of the standard's type."""
    return program.call_method(ua.NodeId(getattr(ua.ObjectIds, f"ProgramStateMachineType_{name}")))


async def state_of(program):
    """The name of the standard's state that CurrentState refers to; its texts and numbers must agree."""
    text = await child(program, "CurrentState")
    parts = await children(text)
    # In one Read: the state may change between two.
    nodes = [node.nodeid for node in (text, parts["Id"], parts["Number"])]
    current, node_id, number = [value.Value.Value for value in await program.session.read_attributes(nodes, ua.AttributeIds.Value)]
    node = type(program)(program.session, node_id)
    name = (await node.read_browse_name()).Name
    assert await (await child(node, "StateNumber")).read_value() == number
    assert current.Text == name
    return name


async def reaches(program, state, within_s=60):
    async def there():
        return await state_of(program) == state
    await eventually(there, within_s, every_s=0.02)


@pytest.fixture(scope="module")
def service(tmp_path_factory, identity):
    """With a fit that takes longer than any test."""
    service = bench.run(tmp_path_factory.mktemp("bench"), identity, slow=True)
    asyncio.run(bench.with_history(service))
    yield service
    service.stop()


async def test_a_stranger_starts_a_program_watches_it_and_reads_its_result(demo_with_past, client_identity):
    async with connected(demo_with_past.url, client_identity) as client:
        found = await programs(client)
        assert found.keys() == (await twins(client)).keys(), "every twin of the demo has a model"
        for name, program in found.items():
            has = await children(program)
            assert MANDATORY | set(CALLS) | {"FinalResultData", "Progress"} <= set(has), name
            recycled = await has["RecycleCount"].read_value()
            transition = await children(has["LastTransition"])
            watched = [has["CurrentState"], transition["Number"], has["Progress"]]
            async with subscribed(client, watched) as (inbox, _, _):
                await ask(program, "Start")

                async def ready_again():
                    states, numbers, progress = ([sample.value for sample in inbox.samples(node)][1:] for node in watched)
                    done = [state.Text for state in states] == ["Running", "Ready"] and numbers == [2, 4]  # ReadyToRunning, RunningToReady
                    return done and progress[-1] == 100.0 and progress
                progress = await eventually(ready_again, 60)
            assert progress == sorted(progress), (name, progress)
            assert await state_of(program) == "Ready"
            assert await has["RecycleCount"].read_value() == recycled + 1
            result = {key: await node.read_value() for key, node in (await children(has["FinalResultData"])).items()}
            assert result["State"] == "Completed", (name, result)
            assert set(result) == {"State", "Revision", "Names", "Values", "StandardErrors", "Lower95", "Upper95",
                                   "Rmse", "RSquared", "Iterations", "Message"}
            assert len(result["Names"]) == len(result["Values"]) == len(result["StandardErrors"]) > 0, (name, result)
            twin = (await twins(client))[name]
            last = await children(await child(twin, "Model/LastFit"))
            assert result["Rmse"] == await last["Rmse"].read_value(), name
            assert result["Revision"] == await (await child(twin, "Model/Revision")).read_value(), name


async def test_a_fit_by_the_method_is_the_same_program(demo_with_past):
    async with connected(demo_with_past.url) as client:
        name, program = sorted((await programs(client)).items())[0]
        state = await child(program, "CurrentState")
        async with subscribed(client, [state]) as (inbox, _, _):
            answer = await methods.fit((await twins(client))[name])
            assert answer["State"] == "Completed"

            async def ready_again():
                return [sample.value.Text for sample in inbox.samples(state)] == ["Ready", "Running", "Ready"]
            await eventually(ready_again, 20)
        result = await children(await child(program, "FinalResultData"))
        for name in ("Names", "Values", "Rmse", "RSquared", "Revision", "Iterations"):
            assert await result[name].read_value() == answer[name], name


async def test_a_long_run_is_suspended_resumed_halted_and_reset(service):
    invalid = ua.StatusCodes.BadInvalidState
    async with connected(service.url) as client:
        program = (await programs(client))[bench.TWIN]
        assert await state_of(program) == "Ready"
        for name in ("Suspend", "Resume", "Reset"):
            assert await status_of(ask(program, name)) == invalid
        await ask(program, "Start")
        await reaches(program, "Running")
        progress = await child(program, "Progress")

        async def under_way():
            return 0.0 < await progress.read_value() < 100.0
        await eventually(under_way, 60)
        for name in ("Start", "Resume", "Reset"):
            assert await status_of(ask(program, name)) == invalid
        twin = (await twins(client))[bench.TWIN]
        assert await status_of(methods.fit(twin)) == ua.StatusCodes.BadResourceUnavailable
        await ask(program, "Suspend")
        assert await state_of(program) == "Suspended"
        assert await status_of(ask(program, "Start")) == invalid
        await ask(program, "Resume")
        assert await state_of(program) == "Running"
        await ask(program, "Halt")
        assert await state_of(program) == "Halted"
        result = await children(await child(program, "FinalResultData"))
        assert await result["State"].read_value() == "Cancelled"
        assert await (await child(twin, "Model/Revision")).read_value() == 1
        for name in ("Start", "Suspend", "Resume", "Halt"):
            assert await status_of(ask(program, name)) == invalid
        await ask(program, "Reset")
        assert await state_of(program) == "Ready"
        # CancelFit ends it as well.
        await ask(program, "Start")
        await reaches(program, "Running")
        await twin.call_method(await child(twin, "CancelFit"))
        await reaches(program, "Halted")
        await ask(program, "Reset")


async def test_a_program_is_ready_after_a_restart(tmp_path, identity):
    service = bench.run(tmp_path, identity, slow=True)
    try:
        await bench.with_history(service)
        async with connected(service.url) as client:
            program = (await programs(client))[bench.TWIN]
            await ask(program, "Start")
            await reaches(program, "Running")
            await ask(program, "Suspend")
        service.stop()  # in order, though a fit stands still
        service.start()
        async with connected(service.url) as client:
            program = (await programs(client))[bench.TWIN]
            assert await state_of(program) == "Ready"
            assert await (await child(program, "RecycleCount")).read_value() == 0
            assert await (await child(program, "LastTransition")).read_value() is None
    finally:
        service.process.kill()


async def test_an_observer_looks_on(tmp_path, identity):
    service = bench.run(tmp_path, identity, anonymous="observer")
    try:
        async with connected(service.url) as client:
            program = (await programs(client))[bench.TWIN]
            assert await state_of(program) == "Ready"
            for name in CALLS:
                method = await child(program, name)
                value = await method.read_attribute(ua.AttributeIds.UserExecutable)
                assert value.Value.Value is False, name
                assert await status_of(program.call_method(method)) == ua.StatusCodes.BadUserAccessDenied, name
                assert await status_of(ask(program, name)) == ua.StatusCodes.BadUserAccessDenied, name
            assert await state_of(program) == "Ready"
    finally:
        service.process.kill()


def test_node_opcua_walks_a_program(service, identity):
    own = f"nsu={TWINS};s={bench.TWIN}.FitProgram"

    def call(name):
        return {"call": {"object": own, "method": f"{own}.{name}", "inputs": []}}
    state = {"read": {"nodes": [f"{own}.CurrentState", f"{own}.CurrentState.Number", f"{own}.CurrentState.Id"]}}
    walk = [{"browse": {"node": own}}, state, call("Halt"), state, call("Start"), call("Reset"), state]
    members, ready, halted, at_halt, refused, reset, ready_again = run_steps("node", service.url, service.folder, identity, *walk)
    assert MANDATORY | set(CALLS) <= set(members)
    assert [value["value"] for value in ready[:2]] == [value["value"] for value in ready_again[:2]] == ["Ready", 12]
    assert halted["status"] == 0 and reset["status"] == 0
    assert [value["value"] for value in at_halt[:2]] == ["Halted", 11]
    assert refused["status"] == ua.StatusCodes.BadInvalidState
