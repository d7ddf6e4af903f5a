"""History services through asyncua's low-level calls: processed, at-time, modified, update, delete, annotations."""

from datetime import datetime, timedelta, timezone

from asyncua import ua

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def at_ms(milliseconds):
    return EPOCH + timedelta(milliseconds=milliseconds)


def ms_of(time):
    return round((time - EPOCH) / timedelta(milliseconds=1))


async def read(node, details, point=None, stamps=ua.TimestampsToReturn.Source, release=False, index_range=None):
    """One HistoryRead of one node: the result as it is."""
    wanted = ua.HistoryReadValueId()
    wanted.NodeId, wanted.IndexRange, wanted.ContinuationPoint = node.nodeid, index_range, point
    parameters = ua.HistoryReadParameters()
    parameters.HistoryReadDetails = details
    parameters.TimestampsToReturn = stamps
    parameters.ReleaseContinuationPoints = release
    parameters.NodesToRead.append(wanted)
    [result] = await node.session.history_read(parameters)
    return result


async def pages(node, details, **options):
    """The DataValues of all pages."""
    values, point = [], None
    while True:
        result = await read(node, details, point, **options)
        result.StatusCode.check()
        values += result.HistoryData.DataValues
        point = result.ContinuationPoint
        if not point:
            return values


def processed_details(aggregate, start, end, interval_ms, configuration=None):
    details = ua.ReadProcessedDetails()
    details.StartTime, details.EndTime, details.ProcessingInterval = start, end, float(interval_ms)
    details.AggregateType = [aggregate]
    details.AggregateConfiguration = configuration or ua.AggregateConfiguration()
    details.AggregateConfiguration.UseServerCapabilitiesDefaults = configuration is None
    return details


def standard(name):
    """The NodeId of a standard aggregate."""
    return ua.NodeId(getattr(ua.ObjectIds, f"AggregateFunction_{name}"))


async def processed(node, aggregate, start, end, interval_ms, configuration=None):
    return await pages(node, processed_details(aggregate, start, end, interval_ms, configuration))


async def at_times(node, times, simple_bounds=False):
    return await pages(node, ua.ReadAtTimeDetails(ReqTimes=times, UseSimpleBounds=simple_bounds))


def data_value(value, at, status=0, kind=ua.VariantType.Double):
    variant = ua.Variant(None) if value is None else ua.Variant(value, kind)
    return ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=at, ServerTimestamp=at)


async def update(node, kind, values):
    """The operation results of an insert, a replacement or an update."""
    details = ua.UpdateDataDetails(NodeId=node.nodeid, PerformInsertReplace=kind, UpdateValues=values)
    return await send(node, details)


async def send(node, details):
    """(status, operation results) of one HistoryUpdate of one node."""
    parameters = ua.HistoryUpdateParameters()
    parameters.HistoryUpdateDetails.append(details)
    [result] = await node.session.history_update(parameters)
    return result.StatusCode.value, [code.value for code in result.OperationResults or []]


async def insert(node, samples, kind=ua.VariantType.Double, chunk=5000):
    """Samples as (ms, value, status); every one is new."""
    for start in range(0, len(samples), chunk):
        values = [data_value(value, at_ms(at), status, kind) for at, value, status in samples[start:start + chunk]]
        status, results = await update(node, ua.PerformUpdateType.Insert, values)
        assert status == 0 and set(results) == {ua.StatusCodes.GoodEntryInserted}, (status, set(results))
