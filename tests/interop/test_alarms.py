"""Alarms and conditions (OPC 10000-9) as a stranger meets them: limits of a variable that clients write."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
from asyncua import ua

from support import service as services
from support.client import TWINS, by_id, child, children, connected, eventually, now, text_of, twins
from support.events import Listener, listening
from support.methods import refusal_of
from support.other_clients import run_steps

ALARM = ua.ObjectIds.ExclusiveLevelAlarmType


TYPES = """
[twin_type.Boiler.variable.Temperature]
unit = "°C"
alarm = { high_high = 100, high = 90, low = 10, deadband = 2, severity = 700 }
[twin_type.Boiler.variable.Pressure]
alarm = { high = 5, delay = "1s" }
[twin.Boiler1]
type = "Boiler"
[twin.Boiler2]
type = "Boiler"
"""


def run(folder, identity, anonymous="engineer"):
    return services.of_types(folder, identity, "Alarms", TYPES, anonymous)


@pytest.fixture
def service(tmp_path, identity):
    service = run(tmp_path, identity)
    yield service
    if service.process.running():
        service.stop()


async def write(twin, name, value):
    await (await child(twin, name)).write_value(ua.Variant(value, ua.VariantType.Double))


async def alarm_of(client, twin="Boiler1", variable="Temperature"):
    return await by_id(client, TWINS, f"{twin}.{variable}LevelAlarm")


def acknowledge(alarm, event_id, comment="", method="AcknowledgeableConditionType_Acknowledge"):
    """By the MethodId of the standard's type, as most clients call it."""
    return alarm.call_method(ua.NodeId(getattr(ua.ObjectIds, method)), event_id, ua.LocalizedText(comment, "en"))


async def test_a_limit_is_crossed_acknowledged_confirmed_and_left(service, client_identity):
    async with connected(service.url, client_identity) as client:
        twin = (await twins(client))["Boiler1"]
        async with listening(client, types=ALARM) as (listener, _):
            await write(twin, "Temperature", 95.0)
            event = (await listener.count(1))[0]
            assert event.EventType == ua.NodeId(ALARM)
            assert event.SourceName == "Boiler1.Temperature" and event.Severity == 700
            assert event.SourceNode == (await child(twin, "Temperature")).nodeid
            assert event.Message.Text == "Temperature = 95 °C is above 90 °C (High)"
            assert event.NodeId == (await alarm_of(client)).nodeid  # ConditionId
            assert getattr(event, "ActiveState/Id") is True and event.ActiveState.Text == "Active"
            assert getattr(event, "LimitState/CurrentState").Text == "High"
            assert getattr(event, "LimitState/CurrentState/Id") == ua.NodeId(ua.ObjectIds.ExclusiveLimitStateMachineType_High)
            assert event.Retain is True and getattr(event, "AckedState/Id") is False
            assert (event.HighHighLimit, event.HighLimit, event.LowLimit, event.LowLowLimit) == (100, 90, 10, None)
            assert event.InputNode == event.SourceNode and event.BranchId.is_null()
            assert getattr(event, "EnabledState/Id") is True

            alarm = await alarm_of(client)
            await acknowledge(alarm, event.EventId, "seen")
            acked = (await listener.count(2))[1]
            assert getattr(acked, "AckedState/Id") is True and acked.Comment.Text == "seen" and acked.Retain is True
            assert acked.EventId != event.EventId and acked.ClientUserId
            assert await refusal_of(acknowledge(alarm, event.EventId)) == "BadConditionBranchAlreadyAcked"
            assert await refusal_of(acknowledge(alarm, b"0" * 16)) == "BadEventIdUnknown"
            assert await refusal_of(acknowledge(alarm, b"?")) == "BadEventIdUnknown"

            # Further out is another thing to acknowledge; back within the deadband is none.
            await write(twin, "Temperature", 101.0)
            worse = (await listener.count(3))[2]
            assert getattr(worse, "LimitState/CurrentState").Text == "HighHigh" and getattr(worse, "AckedState/Id") is False
            await write(twin, "Temperature", 98.5)
            await write(twin, "Temperature", 50.0)
            normal = (await listener.count(4))[3]
            assert getattr(normal, "ActiveState/Id") is False and normal.Retain is True
            assert getattr(normal, "LimitState/CurrentState") is None
            await acknowledge(alarm, worse.EventId)
            await acknowledge(alarm, worse.EventId, "dealt with", "AcknowledgeableConditionType_Confirm")
            done = (await listener.count(6))[5]
            assert getattr(done, "ConfirmedState/Id") is True and done.Retain is False and done.Comment.Text == "dealt with"
            assert [event.Time for event in listener.events] == sorted(event.Time for event in listener.events)


async def test_the_nodes_of_a_condition_show_how_it_stands(service):
    async with connected(service.url) as client:
        twin = (await twins(client))["Boiler1"]
        alarm = await alarm_of(client)
        assert await alarm.read_type_definition() == ua.NodeId(ALARM)
        found = await children(alarm)
        assert {"EnabledState", "AckedState", "ActiveState", "Acknowledge", "Confirm", "AddComment", "Enable", "Disable",
                "LimitState", "HighLimit", "InputNode", "Comment"} <= set(found) and "LowLowLimit" not in found
        assert await (await child(alarm, "ActiveState/Id")).read_value() is False
        await write(twin, "Temperature", 5.0)
        async def active():
            return await (await child(alarm, "ActiveState/Id")).read_value()
        await eventually(active, 5)
        assert (await (await child(alarm, "LimitState/CurrentState")).read_value()).Text == "Low"
        assert await (await child(alarm, "Retain")).read_value() is True
        event_id = await (await child(alarm, "EventId")).read_value()
        await alarm.call_method(await child(alarm, "Acknowledge"), event_id, ua.LocalizedText("by the instance", "en"))
        assert (await (await child(alarm, "Comment")).read_value()).Text == "by the instance"
        # Who looks for conditions finds them from the variable, and notifiers from the server.
        variable = await child(twin, "Temperature")
        conditions = await variable.get_referenced_nodes(ua.ObjectIds.HasCondition, ua.BrowseDirection.Forward)
        assert [node.nodeid for node in conditions] == [alarm.nodeid]
        notifiers = await client.nodes.server.get_referenced_nodes(ua.ObjectIds.HasNotifier, ua.BrowseDirection.Forward)
        below = [node for notifier in notifiers for node in await notifier.get_referenced_nodes(ua.ObjectIds.HasNotifier)]
        assert twin.nodeid in [node.nodeid for node in below]
        sources = await twin.get_referenced_nodes(ua.ObjectIds.HasEventSource, ua.BrowseDirection.Forward)
        assert variable.nodeid in [node.nodeid for node in sources]


async def test_events_come_to_their_twin_and_to_nobody_elses(service):
    async with connected(service.url) as client:
        found = await twins(client)
        folder = await by_id(client, TWINS, "Twins")
        async with listening(client, found["Boiler1"], ALARM) as (own, _), listening(client, found["Boiler2"], ALARM) as (other, _), \
                listening(client, folder, ALARM) as (both, _):
            await write(found["Boiler1"], "Temperature", 95.0)
            await write(found["Boiler2"], "Temperature", 95.0)
            await both.count(2)
            await own.count(1)
            await other.count(1)
            assert {event.SourceName for event in own.events} == {"Boiler1.Temperature"}
            assert {event.SourceName for event in other.events} == {"Boiler2.Temperature"}
        variable = await child(found["Boiler1"], "Temperature")
        subscription = await client.create_subscription(100, None)
        assert await refusal_of(subscription.subscribe_events(variable, ALARM)) == "BadAttributeIdInvalid"
        await subscription.delete()


async def test_a_delay_lets_short_excursions_pass(service):
    async with connected(service.url) as client:
        twin = (await twins(client))["Boiler1"]
        async with listening(client, types=ALARM) as (listener, _):
            await write(twin, "Pressure", 6.0)
            await asyncio.sleep(0.2)
            await write(twin, "Pressure", 4.0)
            await asyncio.sleep(1.5)
            assert listener.events == []
            await write(twin, "Pressure", 6.0)  # and nothing more: it still holds
            event = (await listener.count(1))[0]
            assert event.SourceName == "Boiler1.Pressure" and event.Severity == 500


async def test_a_disabled_condition_is_silent_and_says_how_things_are_when_enabled(service):
    async with connected(service.url) as client:
        twin = (await twins(client))["Boiler1"]
        alarm = await alarm_of(client)
        enable = lambda name: alarm.call_method(ua.NodeId(getattr(ua.ObjectIds, f"ConditionType_{name}")))
        assert await refusal_of(enable("Enable")) == "BadConditionAlreadyEnabled"
        async with listening(client, types=ALARM) as (listener, _):
            await enable("Disable")
            assert getattr((await listener.count(1))[0], "EnabledState/Id") is False
            assert await refusal_of(enable("Disable")) == "BadConditionAlreadyDisabled"
            await write(twin, "Temperature", 95.0)
            event_id = listener.events[0].EventId
            assert await refusal_of(acknowledge(alarm, event_id)) == "BadConditionDisabled"
            await asyncio.sleep(0.5)
            assert len(listener.events) == 1
            await enable("Enable")
            event = await listener.until(lambda event: getattr(event, "ActiveState/Id"))
            assert event.Retain is True and getattr(event, "LimitState/CurrentState").Text == "High"


async def test_a_refresh_brings_what_matters_between_its_marks(service, client_identity):
    async with connected(service.url, client_identity) as client:
        found = await twins(client)
        for name in ["Boiler1", "Boiler2"]:
            await write(found[name], "Temperature", 95.0)
        async with listening(client) as (listener, subscription):
            await asyncio.sleep(0.5)
            before = len(listener.events)
            refresh = client.get_node(ua.ObjectIds.ConditionType)
            await refresh.call_method(ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
                                      ua.Variant(subscription.subscription_id, ua.VariantType.UInt32))
            end = ua.NodeId(ua.ObjectIds.RefreshEndEventType)
            await listener.until(lambda event: event.EventType == end)
            kinds = [event.EventType for event in listener.events[before:] if event.SourceName != "Server"
                     or event.EventType.Identifier in (ua.ObjectIds.RefreshStartEventType, ua.ObjectIds.RefreshEndEventType)]
            alarms = [kind for kind in kinds if kind == ua.NodeId(ALARM)]
            assert len(alarms) == 2
            assert kinds[0] == ua.NodeId(ua.ObjectIds.RefreshStartEventType) and kinds[-1] == end
            assert await refusal_of(refresh.call_method(ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
                                                       ua.Variant(4_000_000, ua.VariantType.UInt32))) == "BadSubscriptionIdInvalid"
        # Another session's subscription is not ours to refresh.
        async with connected(service.url) as other, listening(client) as (_, subscription):
            refresh = other.get_node(ua.ObjectIds.ConditionType)
            call = refresh.call_method(ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
                                       ua.Variant(subscription.subscription_id, ua.VariantType.UInt32))
            assert await refusal_of(call) == "BadUserAccessDenied"


async def test_a_refresh_of_one_item_brings_it_to_that_item_alone(service):
    async with connected(service.url) as client:
        await write((await twins(client))["Boiler1"], "Temperature", 95.0)
        refresh = client.get_node(ua.ObjectIds.ConditionType)
        listener = Listener()
        subscription = await client.create_subscription(100, listener)
        items = [await subscription.subscribe_events(client.nodes.server, kind) for kind in (ALARM, ua.ObjectIds.BaseEventType)]

        def of_item(item):
            return refresh.call_method(ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh2),
                                       ua.Variant(subscription.subscription_id, ua.VariantType.UInt32), ua.Variant(item, ua.VariantType.UInt32))
        await of_item(items[0])  # its filter lets alarms through; the marks come whatever it says
        await listener.until(lambda event: event.EventType == ua.NodeId(ua.ObjectIds.RefreshEndEventType))
        await asyncio.sleep(0.5)
        assert [event.EventType.Identifier for event in listener.events] == [
            ua.ObjectIds.RefreshStartEventType, ALARM, ua.ObjectIds.RefreshEndEventType]
        assert await refusal_of(of_item(4_000_000)) == "BadMonitoredItemIdInvalid"
        await subscription.delete()


async def test_a_client_selects_by_source_severity_and_text(service):
    async with connected(service.url) as client:
        found = await twins(client)

        def field(name):
            return ua.SimpleAttributeOperand(TypeDefinitionId=ua.NodeId(ua.ObjectIds.BaseEventType),
                                             BrowsePath=[ua.QualifiedName(name)], AttributeId=ua.AttributeIds.Value)

        def literal(value, kind):
            return ua.LiteralOperand(Value=ua.Variant(value, kind))

        def where(operator, *operands):
            return ua.ContentFilter(Elements=[ua.ContentFilterElement(FilterOperator=operator, FilterOperands=list(operands))])

        # A field in the middle that no event has: null, and the others stay in their places.
        select = [field("SourceName"), field("NoSuchField"), field("Severity"), field("Message")]
        source = literal((await child(found["Boiler2"], "Temperature")).nodeid, ua.VariantType.NodeId)
        clauses = {
            "source": where(ua.FilterOperator.Equals, field("SourceNode"), source),
            "name": where(ua.FilterOperator.Equals, field("SourceName"), literal("Boiler2.Temperature", ua.VariantType.String)),
            "like": where(ua.FilterOperator.Like, field("Message"), literal("%above%", ua.VariantType.String)),
            "severe": where(ua.FilterOperator.GreaterThan, field("Severity"), literal(600, ua.VariantType.UInt16)),
            "type": where(ua.FilterOperator.OfType, literal(ua.NodeId(ua.ObjectIds.ConditionType), ua.VariantType.NodeId)),
        }
        async with contextlib.AsyncExitStack() as stack:
            listeners = {}
            for name, clause in clauses.items():
                evfilter = ua.EventFilter(SelectClauses=select, WhereClause=clause)
                listeners[name], _ = await stack.enter_async_context(listening(client, evfilter=evfilter))
            await write(found["Boiler1"], "Temperature", 5.0)
            await write(found["Boiler2"], "Temperature", 95.0)
            await write(found["Boiler1"], "Pressure", 6.0)  # severity 500
            await listeners["type"].count(3)
            await asyncio.sleep(0.5)
        sources = {name: [event.SourceName for event in listener.events] for name, listener in listeners.items()}
        second = ["Boiler2.Temperature"]
        both = ["Boiler1.Temperature", "Boiler2.Temperature"]
        # Whoever asks for a source gets what the audit trail says of it too.
        assert set(sources["source"]) == set(sources["name"]) == set(second)
        assert len(sources["source"]) == 2
        assert sources["severe"] == both and sources["type"] == [*both, "Boiler1.Pressure"]
        assert sources["like"] == ["Boiler2.Temperature", "Boiler1.Pressure"]
        event = next(event for event in listeners["name"].events if event.Severity == 700)
        assert (event.Severity, event.NoSuchField) == (700, None) and "above" in event.Message.Text


async def test_node_opcua_listens_acknowledges_refreshes_and_reads_back(service, identity, tmp_path):
    server, twin = f"ns=0;i={ua.ObjectIds.Server}", f"nsu={TWINS};s=Boiler1"
    fields = ["SourceName", "Severity", "ActiveState.Id", "AckedState.Id", "Comment", "LimitState.CurrentState", "Retain"]
    begin = now()
    listened, = run_steps("node", service.url, tmp_path, identity, {"events": {
        "node": server, "type": "ExclusiveLevelAlarmType", "fields": fields, "comment": "by node-opcua",
        "write": {"node": f"nsu={TWINS};s=Boiler1.Temperature", "value": 95.0}, "alarm": f"nsu={TWINS};s=Boiler1.TemperatureLevelAlarm"}})
    assert listened["acknowledged"] == "Good"
    raised = ["Boiler1.Temperature", 700, True, False, None, "High", True]
    acked = ["Boiler1.Temperature", 700, True, True, "by node-opcua", "High", True]
    mark = ["Server", 100, None, None, None, None, None]
    assert listened["events"] == [raised, acked, mark, acked, mark]
    past, = run_steps("node", service.url, tmp_path, identity, {"event_history": {
        "node": twin, "fields": fields, "page": 1, "start": text_of(begin), "end": text_of(now() + timedelta(seconds=1))}})
    assert [event for event in past if event[2] is not None] == [raised, acked]


async def test_conditions_survive_a_restart(service):
    async with connected(service.url) as client:
        twin = (await twins(client))["Boiler1"]
        alarm = await alarm_of(client)
        await write(twin, "Temperature", 95.0)
        async def active():
            return await (await child(alarm, "ActiveState/Id")).read_value()
        await eventually(active, 5)
        event_id = await (await child(alarm, "EventId")).read_value()
        await acknowledge(alarm, event_id, "before the restart")
    service.stop()
    service.start()
    async with connected(service.url) as client:
        alarm = await alarm_of(client)
        assert await (await child(alarm, "ActiveState/Id")).read_value() is True
        assert await (await child(alarm, "AckedState/Id")).read_value() is True
        assert (await (await child(alarm, "Comment")).read_value()).Text == "before the restart"
        async with listening(client, types=ALARM) as (listener, _):
            twin = (await twins(client))["Boiler1"]
            await write(twin, "Temperature", 96.0)  # as before: nothing new
            await write(twin, "Temperature", 50.0)
            event = (await listener.count(1))[0]
            assert getattr(event, "ActiveState/Id") is False and getattr(event, "AckedState/Id") is True


async def test_an_observer_sees_alarms_and_may_not_touch_them(tmp_path, identity):
    service = run(tmp_path, identity, "operator")
    try:
        async with connected(service.url) as client:
            twin = (await twins(client))["Boiler1"]
            alarm = await alarm_of(client)
            async with listening(client) as (listener, _):
                await write(twin, "Temperature", 95.0)
                event = await listener.until(lambda event: event.EventType == ua.NodeId(ALARM))
                await acknowledge(alarm, event.EventId)
                disable = alarm.call_method(ua.NodeId(ua.ObjectIds.ConditionType_Disable))
                assert await refusal_of(disable) == "BadUserAccessDenied"
                await asyncio.sleep(0.5)
                # An operator does not see the audit trail.
                assert {event.EventType for event in listener.events} == {ua.NodeId(ALARM)}
    finally:
        service.stop()
