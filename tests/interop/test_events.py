"""What the server tells of besides alarms: fits, revisions, programs, connections, and the audit trail."""

import asyncio

import pytest
from asyncua import ua

from support import bench, methods
from support.client import TWINS, by_id, call, child, connected, now, twins
from support.events import listening, type_of
from support.history import insert, ms_of
from support.methods import refusal_of


@pytest.fixture(scope="module")
def service(tmp_path_factory, identity):
    service = bench.run(tmp_path_factory.mktemp("bench"), identity)
    asyncio.run(bench.with_history(service))
    yield service
    service.stop()


def of(kind):
    return lambda event: event.EventType == kind.nodeid


async def test_a_fit_tells_its_end_and_what_it_put_in_force(service, client_identity):
    async with connected(service.url, client_identity) as client:
        twin = (await twins(client))[bench.TWIN]
        kinds = {name: await type_of(client, name) for name in ["FitFinishedEventType", "RevisionEventType"]}
        async with listening(client, twin, list(kinds.values())) as (listener, _):
            answer = await methods.fit(twin)
            fit = await listener.until(of(kinds["FitFinishedEventType"]))
            assert fit.SourceNode == twin.nodeid and fit.State == answer["State"] == "Completed"
            assert (fit.Names, fit.Values, fit.Rmse) == (answer["Names"], answer["Values"], answer["Rmse"])
            assert (fit.StandardErrors, fit.Revision) == (answer["StandardErrors"], answer["Revision"])
            assert fit.Message.Text == answer["Message"].Text
            await methods.set_parameters(twin, ["tau"], [123.0])
            revision = await listener.until(lambda event: of(kinds["RevisionEventType"])(event) and event.Values == [123.0])
            assert revision.Names == ["tau"] and revision.OldValues == [dict(zip(fit.Names, fit.Values))["tau"]]
            assert revision.Revision > revision.PreviousRevision and revision.By


async def test_a_program_tells_each_of_its_transitions(service):
    async with connected(service.url) as client:
        twin = (await twins(client))[bench.TWIN]
        program = await child(twin, "FitProgram")
        async with listening(client, twin, ua.ObjectIds.ProgramTransitionEventType) as (listener, _):
            await program.call_method(ua.NodeId(ua.ObjectIds.ProgramStateMachineType_Start))
            ends = [(event.FromState.Text, event.ToState.Text) for event in await listener.count(2)]
            assert ends == [("Ready", "Running"), ("Running", "Ready")]
            event = listener.events[0]
            assert event.SourceNode == program.nodeid
            assert getattr(event, "Transition/Id") == ua.NodeId(ua.ObjectIds.ProgramStateMachineType_ReadyToRunning)
            assert getattr(event, "FromState/Id") == ua.NodeId(ua.ObjectIds.ProgramStateMachineType_Ready)


async def test_the_audit_trail_tells_writes_calls_and_changes_of_history(service):
    async with connected(service.url) as client:
        twin = (await twins(client))[bench.TWIN]
        power = await child(twin, "Power")
        kinds = ["AuditWriteUpdateEventType", "AuditUpdateMethodEventType", "AuditHistoryValueUpdateEventType",
                 "AuditHistoryRawModifyDeleteEventType"]
        kinds = {name: client.get_node(getattr(ua.ObjectIds, name)) for name in kinds}
        async with listening(client, types=list(kinds.values())) as (listener, _):
            await power.write_value(ua.Variant(41.0, ua.VariantType.Double))
            await power.write_value(ua.Variant(42.0, ua.VariantType.Double))
            written = await listener.until(lambda event: getattr(event, "NewValue", None) == 42.0)
            assert written.EventType == kinds["AuditWriteUpdateEventType"].nodeid and written.SourceNode == power.nodeid
            assert (written.OldValue, written.AttributeId, written.Status) == (41.0, 13, True) and written.ClientUserId
            assert await refusal_of(power.write_value(ua.Variant("text", ua.VariantType.String))) == "BadTypeMismatch"
            await listener.until(lambda event: getattr(event, "NewValue", None) == "text" and event.Status is False)

            wrong = methods.set_parameters(twin, ["tau"], [1e9])
            assert await refusal_of(wrong) == "BadInvalidArgument"
            called = await listener.until(of(kinds["AuditUpdateMethodEventType"]))
            assert called.MethodId == (await child(twin, "SetParameters")).nodeid and called.Status is False
            assert called.SourceNode == twin.nodeid

            begin = ms_of(now()) - 10 * 3600 * 1000
            await insert(power, [(begin, 1.0, 0)])
            inserted = await listener.until(of(kinds["AuditHistoryValueUpdateEventType"]))
            assert inserted.UpdatedNode == power.nodeid and inserted.Status is True


async def test_the_audit_trail_tells_who_comes(service):
    async with connected(service.url) as client:
        async with listening(client, types=ua.ObjectIds.AuditActivateSessionEventType) as (listener, _):
            async with connected(service.url):
                event = (await listener.count(1))[0]
            assert event.SourceName == "Server" and event.Status is True and "ANONYMOUS" in event.Message.Text


async def test_who_may_not_is_told_of(tmp_path, identity):
    """To those who may see it: in history, for an operator's session has no ear for it."""
    service = bench.run(tmp_path, identity, "operator")
    try:
        async with connected(service.url) as client:
            twin = (await twins(client))[bench.TWIN]
            async with listening(client) as (listener, _):
                assert await refusal_of(methods.set_parameters(twin, ["tau"], [5.0])) == "BadUserAccessDenied"
                await asyncio.sleep(0.5)
                assert listener.events == []
    finally:
        service.stop()


async def test_a_burst_reaches_a_client_that_asks_for_a_queue_of_one(service):
    async with connected(service.url) as client:
        twin = (await twins(client))[bench.TWIN]
        power = await child(twin, "Power")
        async with listening(client, types=ua.ObjectIds.AuditWriteUpdateEventType, queuesize=1) as (listener, _):
            for value in range(100):
                await power.write_value(ua.Variant(float(value), ua.VariantType.Double))
            await listener.until(lambda event: event.NewValue == 99.0, 60)
            assert [event.NewValue for event in listener.events] == [float(value) for value in range(100)]


@pytest.mark.parametrize("stack", ["asyncua"])
async def test_a_plc_that_goes_and_comes_back_is_told(world, stack):
    plc = world.plc(stack, "line1")
    service = world.run(plc)
    async with connected(service.url) as client:
        kind = await type_of(client, "ConnectionEventType")
        async with listening(client, types=kind) as (listener, _):
            plc.stop()
            lost = await listener.until(lambda event: event.State == "Lost", 60)
            assert lost.SourceNode == (await by_id(client, TWINS, "plc:line1")).nodeid
            assert lost.SourceName == "line1" and lost.Endpoint == plc.url and lost.Severity == 700
            plc.start()
            back = await listener.until(lambda event: event.State == "Connected", 60)
            assert back.Time > lost.Time and back.LastError in (None, "")
