"""Every service and method that could change something or tell something, each as one attempt of one user."""

import dataclasses
from collections.abc import Awaitable, Callable
from datetime import timedelta

from asyncua import ua

from support.client import TWINS, now
from support.history import at_ms, data_value
from support.methods import NULL_TIME, NUMBER, TEXT, TIME, variant

START = 1_700_000_000_000  # where history is inserted that no fit looks at
OBSERVER, OPERATOR, ENGINEER, SECURITY = "Observer", "Operator", "Engineer", "SecurityAdmin"
ANYBODY, NOBODY = "anybody", "nobody"


def name_of(code):
    return "Good" if code == 0 else ua.status_codes.get_name_and_doc(code)[0]


@dataclasses.dataclass(frozen=True)
class Attempt:
    """`least` is the least role that may; `do` gives the StatusCode that matters."""

    name: str
    least: str
    do: Callable[["Asker"], Awaitable[int]]


class Asker:
    """One session; nodes by what their ids say, for whoever may not may not browse to them either."""

    def __init__(self, client, namespace, twin, anothers):
        self.anothers = anothers  # the SubscriptionId of somebody else
        self.client, self.session, self.namespace, self.twin = client, client.uaclient.session, namespace, twin

    def id(self, below=""):
        return ua.NodeId(f"{self.twin}.{below}" if below else self.twin, self.namespace)

    def node(self, below=""):
        return self.client.get_node(self.id(below))

    async def status(self, awaitable):
        """Of what is awaited, or the worst in the list of StatusCodes or results that it gives."""
        try:
            found = await awaitable
        except ua.UaStatusCodeError as error:
            return error.code
        for result in found if isinstance(found, list) else [found]:
            code = getattr(result, "StatusCode_", None) or getattr(result, "StatusCode", result)
            if isinstance(code, ua.StatusCode) and not code.is_good():
                return code.value
        return 0

    async def read(self, node_id, attribute=ua.AttributeIds.Value):
        parameters = ua.ReadParameters(NodesToRead=[ua.ReadValueId(NodeId=node_id, AttributeId=attribute)])
        [value] = await self.session.read(parameters)
        return value

    async def write(self, node_id, value, attribute=ua.AttributeIds.Value):
        wanted = ua.WriteValue(NodeId=node_id, AttributeId=attribute, Value=ua.DataValue(value))
        return await self.session.write(ua.WriteParameters(NodesToWrite=[wanted]))

    async def call(self, object_id, method_id, *arguments):
        request = ua.CallMethodRequest(ObjectId=object_id, MethodId=method_id, InputArguments=list(arguments))
        return await self.session.call([request])

    def method(self, name, *arguments):
        """Of the twin, or of what stands before the last dot in it."""
        owner, _, _ = name.rpartition(".")
        return self.call(self.id(owner), self.id(name), *arguments)

    async def browse(self, node_id):
        wanted = ua.BrowseDescription(NodeId=node_id, BrowseDirection=ua.BrowseDirection.Forward, IncludeSubtypes=True,
                                      ReferenceTypeId=ua.NodeId(ua.ObjectIds.References), ResultMask=63)
        parameters = ua.BrowseParameters(NodesToBrowse=[wanted])
        parameters.View.Timestamp = ua.get_win_epoch()
        [result] = await self.session.browse(parameters)
        return result

    async def translate(self, *names):
        elements = [ua.RelativePathElement(ua.NodeId(ua.ObjectIds.HierarchicalReferences), IsInverse=False, IncludeSubtypes=True,
                                           TargetName=ua.QualifiedName(name, self.namespace)) for name in names]
        path = ua.BrowsePath(ua.NodeId(ua.ObjectIds.ObjectsFolder), ua.RelativePath(elements))
        [result] = await self.session.translate_browsepaths_to_nodeids([path])
        return result

    async def monitor(self, node_id, events=False):
        """What a monitored item is answered; it is gone again afterwards."""
        subscription = await self.client.create_subscription(1000, Deaf())
        try:
            filter_ = ua.EventFilter(SelectClauses=[ua.SimpleAttributeOperand(
                ua.NodeId(ua.ObjectIds.BaseEventType), [ua.QualifiedName("EventId")], ua.AttributeIds.Value)])
            wanted = ua.ReadValueId(NodeId=node_id, AttributeId=ua.AttributeIds.EventNotifier if events else ua.AttributeIds.Value)
            parameters = ua.MonitoringParameters(ClientHandle=1, SamplingInterval=0, QueueSize=10, DiscardOldest=True,
                                                 Filter=filter_ if events else None)
            [result] = await self.session.create_monitored_items(ua.CreateMonitoredItemsParameters(
                SubscriptionId=subscription.subscription_id, TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=[ua.MonitoredItemCreateRequest(wanted, ua.MonitoringMode.Reporting, parameters)]))
            return result
        finally:
            await subscription.delete()

    async def refresh(self):
        subscription = await self.client.create_subscription(1000, Deaf())
        try:
            return await self.call(ua.NodeId(ua.ObjectIds.ConditionType), ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
                                   ua.Variant(subscription.subscription_id, ua.VariantType.UInt32))
        finally:
            await subscription.delete()

    async def own_items(self, method):
        subscription = await self.client.create_subscription(1000, Deaf())
        try:
            return await self.call(ua.NodeId(ua.ObjectIds.Server), ua.NodeId(method),
                                   ua.Variant(subscription.subscription_id, ua.VariantType.UInt32))
        finally:
            await subscription.delete()

    async def history(self, node_id, details):
        parameters = ua.HistoryReadParameters(
            HistoryReadDetails=details, TimestampsToReturn=ua.TimestampsToReturn.Source, ReleaseContinuationPoints=False,
            NodesToRead=[ua.HistoryReadValueId(NodeId=node_id)])
        return await self.session.history_read(parameters)

    async def update(self, details):
        [result] = await self.session.history_update(ua.HistoryUpdateParameters([details]))
        return [result.StatusCode, *(result.OperationResults or [])]


class Deaf:
    def event_notification(self, event):
        pass

    def datachange_notification(self, *what):
        pass


def double(value):
    return ua.Variant(float(value), NUMBER)


def _history():
    end = now()
    span = {"StartTime": end - timedelta(minutes=5), "EndTime": end}
    raw = ua.ReadRawModifiedDetails(IsReadModified=False, NumValuesPerNode=10, ReturnBounds=False, **span)
    modified = ua.ReadRawModifiedDetails(IsReadModified=True, NumValuesPerNode=10, ReturnBounds=False, **span)
    processed = ua.ReadProcessedDetails(ProcessingInterval=60_000.0, AggregateType=[ua.NodeId(ua.ObjectIds.AggregateFunction_Average)], **span)
    processed.AggregateConfiguration.UseServerCapabilitiesDefaults = True
    at_time = ua.ReadAtTimeDetails(ReqTimes=[end], UseSimpleBounds=False)
    events = ua.ReadEventDetails(NumValuesPerNode=10, **span)
    events.Filter = ua.EventFilter(SelectClauses=[ua.SimpleAttributeOperand(
        ua.NodeId(ua.ObjectIds.BaseEventType), [ua.QualifiedName("EventId")], ua.AttributeIds.Value)])
    return {"raw": raw, "modified": modified, "processed": processed, "at time": at_time, "events": events}


def _reads():
    temperature = "Temperature"
    yield Attempt("Browse the twin", OBSERVER, lambda a: a.status(a.browse(a.id())))
    yield Attempt("TranslateBrowsePaths", OBSERVER, lambda a: a.status(a.translate("Twins", a.twin, temperature)))
    yield Attempt("Read a value", OBSERVER, lambda a: a.status(a.read(a.id(temperature))))
    yield Attempt("Read a DisplayName", OBSERVER, lambda a: a.status(a.read(a.id(temperature), ua.AttributeIds.DisplayName)))
    yield Attempt("Read the server's state", ANYBODY, lambda a: a.status(a.read(ua.NodeId(ua.ObjectIds.Server_ServerStatus_State))))
    yield Attempt("Read who has a role", SECURITY,
                  lambda a: a.status(a.read(ua.NodeId(ua.ObjectIds.WellKnownRole_Operator_Identities))))
    yield Attempt("Monitor a value", OBSERVER, lambda a: a.status(a.monitor(a.id(temperature))))
    yield Attempt("Monitor the twin's events", OBSERVER, lambda a: a.status(a.monitor(a.id(), events=True)))
    yield Attempt("Monitor the server's events", OBSERVER,
                  lambda a: a.status(a.monitor(ua.NodeId(ua.ObjectIds.Server), events=True)))
    for kind, details in _history().items():
        node = "" if kind == "events" else temperature
        yield Attempt(f"HistoryRead {kind}", OBSERVER, lambda a, node=node, details=details: a.status(a.history(a.id(node), details)))
    events = _history()["events"]
    yield Attempt("HistoryRead the server's events", OBSERVER, lambda a: a.status(a.history(ua.NodeId(ua.ObjectIds.Server), events)))


def _writes():
    yield Attempt("Write an internal variable", OPERATOR, lambda a: a.status(a.write(a.id("Remark"), double(7.0))))
    yield Attempt("Write through to the PLC", OPERATOR, lambda a: a.status(a.write(a.id("Valve"), double(7.0))))
    yield Attempt("Write a parameter's value", NOBODY, lambda a: a.status(a.write(a.id("Model.Parameters.tau"), double(7.0))))
    yield Attempt("Write a DisplayName", NOBODY, lambda a: a.status(
        a.write(a.id("Remark"), ua.Variant(ua.LocalizedText("x")), ua.AttributeIds.DisplayName)))
    yield Attempt("Write the standard's EnabledFlag", NOBODY, lambda a: a.status(
        a.write(ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_EnabledFlag), ua.Variant(False))))
    values = [data_value(1.0, at_ms(START))]
    for kind in ["Insert", "Replace", "Update"]:
        yield Attempt(f"HistoryUpdate {kind}", ENGINEER, lambda a, kind=kind: a.status(a.update(ua.UpdateDataDetails(
            NodeId=a.id("Remark"), PerformInsertReplace=getattr(ua.PerformUpdateType, kind), UpdateValues=values))))
    yield Attempt("HistoryUpdate annotations", ENGINEER, lambda a: a.status(a.update(annotation(a.id("Remark.Annotations")))))
    yield Attempt("DeleteAtTime", ENGINEER, lambda a: a.status(a.update(ua.DeleteAtTimeDetails(NodeId=a.id("Remark"), ReqTimes=[at_ms(START)]))))
    whole = {"StartTime": at_ms(0), "EndTime": now() + timedelta(minutes=1)}
    yield Attempt("DeleteEvent", NOBODY, lambda a: a.status(a.update(ua.DeleteEventDetails(NodeId=a.id(), EventIds=[b"0" * 16]))))
    yield Attempt("DeleteRawModified", ENGINEER, lambda a: a.status(a.update(
        ua.DeleteRawModifiedDetails(NodeId=a.id("Remark"), IsDeleteModified=False, **whole))))


def annotation(node_id):
    value = ua.Annotation(Message="who was here", UserName="", AnnotationTime=at_ms(START))
    details = ua.UpdateStructureDataDetails(NodeId=node_id, PerformInsertReplace=ua.PerformUpdateType.Update)
    details.UpdateValues = [ua.DataValue(ua.Variant(value, ua.VariantType.ExtensionObject), SourceTimestamp=at_ms(START))]
    return details


def _methods():
    span = (variant(TIME, NULL_TIME), variant(TIME, NULL_TIME))
    nothing = (variant(TEXT, []), variant(NUMBER, []))
    goal = (variant(TEXT, "Temperature"), variant(NUMBER, 50.0), variant(NUMBER, 60_000.0))
    flag = lambda value: variant(ua.VariantType.Boolean, value)
    calls = [
        ("Fit", OPERATOR, (*span, variant(TEXT, []), variant(NUMBER, 0.0))),
        ("CancelFit", OPERATOR, ()),
        ("Simulate", OPERATOR, (*span, variant(TEXT, "Temperature"), *nothing)),
        ("Predict", OPERATOR, (variant(NUMBER, 60_000.0), variant(NUMBER, 60_000.0), variant(TEXT, "Temperature"), *nothing)),
        ("OptimizeSetpoints", OPERATOR, (*goal, flag(False))),
        ("Correlate", OPERATOR, (*span, variant(TEXT, []))),
        ("Statistics.ResetStatistics", OPERATOR, ()),
        *((f"FitProgram.{name}", OPERATOR, ()) for name in ["Reset", "Start", "Suspend", "Resume", "Halt"]),
        ("SetParameters", ENGINEER, (variant(TEXT, ["tau"]), variant(NUMBER, [99.0]))),
        ("ActivateRevision", ENGINEER, (variant(ua.VariantType.UInt32, 1),)),
    ]
    for name, least, arguments in calls:
        yield Attempt(name, least, lambda a, name=name, arguments=arguments: a.status(a.method(name, *arguments)))
    yield Attempt("OptimizeSetpoints with Apply", ENGINEER, lambda a: a.status(a.method("OptimizeSetpoints", *goal, flag(True))))
    start = ua.NodeId(ua.ObjectIds.ProgramStateMachineType_Start)
    yield Attempt("Start by the standard's MethodId", OPERATOR, lambda a: a.status(a.call(a.id("FitProgram"), start)))
    alarm, event = "TemperatureLevelAlarm", (ua.Variant(b"0" * 16, ua.VariantType.ByteString), ua.Variant(ua.LocalizedText("seen")))
    for name, least in [("Acknowledge", OPERATOR), ("Confirm", OPERATOR), ("AddComment", OPERATOR), ("Disable", ENGINEER), ("Enable", ENGINEER)]:
        arguments = event if least == OPERATOR else ()
        yield Attempt(name, least, lambda a, name=name, arguments=arguments: a.status(a.method(f"{alarm}.{name}", *arguments)))
    disable = ua.NodeId(ua.ObjectIds.ConditionType_Disable)
    yield Attempt("Disable by the standard's MethodId", ENGINEER, lambda a: a.status(a.call(a.id(alarm), disable)))
    yield Attempt("ConditionRefresh", OBSERVER, lambda a: a.status(a.refresh()))
    yield Attempt("GetMonitoredItems", OBSERVER, lambda a: a.status(a.own_items(ua.ObjectIds.Server_GetMonitoredItems)))
    yield Attempt("ResendData", OBSERVER, lambda a: a.status(a.own_items(ua.ObjectIds.Server_ResendData)))
    role, roles = ua.NodeId(ua.ObjectIds.WellKnownRole_Engineer), ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_RoleSet)
    rule = ua.Variant(ua.IdentityMappingRuleType(ua.IdentityCriteriaType.AuthenticatedUser, ""), ua.VariantType.ExtensionObject)
    yield Attempt("AddRole", NOBODY, lambda a: a.status(a.call(
        roles, ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_RoleSet_AddRole), ua.Variant("Mine"), ua.Variant("urn:mine"))))
    server = ua.NodeId(ua.ObjectIds.Server)
    for name in ["Server_SetSubscriptionDurable", "Server_RequestServerStateChange"]:
        method = ua.NodeId(getattr(ua.ObjectIds, name))
        yield Attempt(name.partition("_")[2], NOBODY, lambda a, method=method: a.status(a.call(server, method)))
    yield Attempt("AddIdentity", NOBODY, lambda a: a.status(a.call(role, ua.NodeId(ua.ObjectIds.WellKnownRole_Engineer_AddIdentity), rule)))


def _node_management():
    def added(a):
        item = ua.AddNodesItem(ParentNodeId=ua.ExpandedNodeId(a.twin, a.namespace), BrowseName=ua.QualifiedName("Mine"))
        item.ReferenceTypeId, item.NodeClass = ua.NodeId(ua.ObjectIds.HasComponent), ua.NodeClass.Object
        item.TypeDefinition = ua.ExpandedNodeId(ua.ObjectIds.FolderType)
        item.NodeAttributes = ua.ObjectAttributes()
        return a.session.add_nodes([item])

    def deleted(a):
        return a.session.delete_nodes(ua.DeleteNodesParameters([ua.DeleteNodesItem(a.id("Remark"), True)]))

    def referred(a):
        item = ua.AddReferencesItem(SourceNodeId=a.id(), ReferenceTypeId=ua.NodeId(ua.ObjectIds.Organizes), IsForward=True,
                                    TargetNodeId=ua.ExpandedNodeId(ua.ObjectIds.Server), TargetNodeClass=ua.NodeClass.Object)
        return a.session.add_references([item])

    yield Attempt("AddNodes", NOBODY, lambda a: a.status(added(a)))
    yield Attempt("DeleteNodes", NOBODY, lambda a: a.status(deleted(a)))
    def parted(a):
        item = ua.DeleteReferencesItem(SourceNodeId=a.id(), ReferenceTypeId=ua.NodeId(ua.ObjectIds.HasComponent), IsForward=True,
                                       TargetNodeId=ua.ExpandedNodeId(f"{a.twin}.Remark", a.namespace), DeleteBidirectional=True)
        return a.session.delete_references([item])

    yield Attempt("DeleteReferences", NOBODY, lambda a: a.status(parted(a)))
    yield Attempt("AddReferences", NOBODY, lambda a: a.status(referred(a)))


def _of_another():
    """What belongs to another session."""
    def transferred(a):
        return a.session.transfer_subscriptions(ua.TransferSubscriptionsParameters([a.anothers], False))

    def item(a):
        wanted = ua.ReadValueId(NodeId=ua.NodeId(ua.ObjectIds.Server_ServerStatus_State), AttributeId=ua.AttributeIds.Value)
        request = ua.MonitoredItemCreateRequest(wanted, ua.MonitoringMode.Reporting, ua.MonitoringParameters(ClientHandle=1))
        return a.session.create_monitored_items(ua.CreateMonitoredItemsParameters(
            SubscriptionId=a.anothers, TimestampsToReturn=ua.TimestampsToReturn.Both, ItemsToCreate=[request]))

    def stopped(a):
        return a.session.set_publishing_mode(ua.SetPublishingModeParameters(PublishingEnabled=False, SubscriptionIds=[a.anothers]))

    def listed(a):
        return a.call(ua.NodeId(ua.ObjectIds.Server), ua.NodeId(ua.ObjectIds.Server_GetMonitoredItems),
                      ua.Variant(a.anothers, ua.VariantType.UInt32))

    yield Attempt("Transfer another's subscription", NOBODY, lambda a: a.status(transferred(a)))
    yield Attempt("Add an item to another's", NOBODY, lambda a: a.status(item(a)))
    yield Attempt("Stop another's publishing", NOBODY, lambda a: a.status(stopped(a)))
    yield Attempt("Delete another's subscription", NOBODY, lambda a: a.status(a.session.delete_subscriptions([a.anothers])))
    yield Attempt("Refresh another's conditions", NOBODY, lambda a: a.status(a.call(
        ua.NodeId(ua.ObjectIds.ConditionType), ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
        ua.Variant(a.anothers, ua.VariantType.UInt32))))
    yield Attempt("GetMonitoredItems of another's", NOBODY, lambda a: a.status(listed(a)))


def attempts():
    """What reads first: so a table is read from harmless to harmful."""
    return [*_reads(), *_writes(), *_methods(), *_node_management(), *_of_another()]


async def asker(client, twin, anothers):
    return Asker(client, await client.get_namespace_index(TWINS), twin, anothers)
