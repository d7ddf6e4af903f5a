"""What a client browses is what information-model.md promises, for every twin."""

import pytest
from asyncua import ua

from support.client import TWINS, TYPES, child, children, connected, twins, variables
from support.other_clients import run_steps

STATISTICS = {"Mean", "VariancePopulation", "VarianceSample", "StandardDeviationPopulation", "StandardDeviationSample",
              "Minimum", "Maximum", "Count", "Total", "Percentile05", "Percentile50", "Percentile95", "Slope", "SlopePValue", "Skewness",
              "Kurtosis", "ControlLimitLower", "ControlLimitUpper", "StartTime", "EndTime"}
PARAMETER = {"StandardError", "Lower95", "Upper95", "LowerBound", "UpperBound", "Nominal", "Free"}
LAST_FIT = {"State", "Message", "StartTime", "EndTime", "Samples", "Rmse", "RSquared", "Iterations", "Duration", "FinishedAt"}
METHODS = {"Fit", "Simulate", "SetParameters", "Correlate"}
CONNECTION = {"State", "LastError", "LastDataTime"}
NUMERIC = {"Double", "Float", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64"}


async def names(node, path=None):
    return set(await children(await child(node, path) if path else node))


async def is_numeric(node):
    return (await node.read_data_type_as_variant_type()).name in NUMERIC


async def test_every_twin_has_the_promised_nodes(demo, client_identity):
    async with connected(demo.url, client_identity) as client:
        found = await twins(client)
        assert found, "the demo has twins"
        for name, twin in found.items():
            has = await children(twin)
            assert METHODS | {"Statistics", "Model", "FitProgram", "Connection"} <= set(has), name
            assert CONNECTION <= await names(has["Connection"]), name
            model = await children(has["Model"])
            assert {"Kind", "Equations", "Revision", "Parameters", "LastFit"} <= set(model), name
            assert LAST_FIT <= await names(model["LastFit"]), name
            for parameter, node in (await children(model["Parameters"])).items():
                assert PARAMETER <= await names(node), (name, parameter)
            statistics = await children(has["Statistics"])
            assert {"WindowDuration", "StartTime", "ResetStatistics"} <= set(statistics), name
            for variable, node in (await variables(twin)).items():
                if await is_numeric(node) and variable in statistics:
                    assert STATISTICS <= await names(statistics[variable]), (name, variable)
            for output in await names(model["Outputs"]):
                assert {"Simulated", "Residual"} <= await names(has[output]), (name, output)


async def test_node_ids_are_paths_of_names_and_browse_names_have_their_namespaces(demo):
    async with connected(demo.url) as client:
        own, types = [await client.get_namespace_index(uri) for uri in (TWINS, TYPES)]
        for name, twin in (await twins(client)).items():
            assert twin.nodeid == ua.NodeId(name, own)
            assert await twin.read_browse_name() == ua.QualifiedName(name, own)
            parameter = sorted(await names(twin, "Model/Parameters"))[0]
            expected = {
                "Statistics": types, "Model": types, "Fit": types, "Model.Parameters": types, "Model.LastFit.Rmse": types,
                f"Model.Parameters.{parameter}": own, f"Model.Parameters.{parameter}.StandardError": types,
            } | {variable: own for variable in await variables(twin)}
            for path, namespace in expected.items():
                node = client.get_node(ua.NodeId(f"{name}.{path}", own))
                assert await node.read_browse_name() == ua.QualifiedName(path.split(".")[-1], namespace), (name, path)
            path = [f"{types}:Model", f"{types}:LastFit", f"{types}:Rmse"]
            assert (await twin.get_child(path)).nodeid == ua.NodeId(f"{name}.Model.LastFit.Rmse", own)


async def test_a_twin_is_an_instance_of_its_type_which_is_a_twin_type(demo):
    async with connected(demo.url) as client:
        types = await client.get_namespace_index(TYPES)
        for name, twin in (await twins(client)).items():
            kind = client.get_node(await twin.read_type_definition())
            [parent] = await kind.get_referenced_nodes(ua.ObjectIds.HasSubtype, ua.BrowseDirection.Inverse)
            assert await parent.read_browse_name() == ua.QualifiedName("TwinType", types), name


async def test_analogue_variables_carry_range_unit_and_texts(demo):
    async with connected(demo.url) as client:
        for name, twin in (await twins(client)).items():
            for variable, node in (await variables(twin)).items():
                assert (await node.read_display_name()).Text, (name, variable)
                has = await children(node)
                if not await is_numeric(node):
                    continue
                unit = await has["EngineeringUnits"].read_value()
                assert unit.NamespaceUri == "http://www.opcfoundation.org/UA/units/un/cefact" or unit.UnitId == -1, (name, variable)
                assert unit.DisplayName.Text, (name, variable)
                limits = await has["EURange"].read_value()
                assert limits.Low < limits.High, (name, variable)
                assert (await node.read_description()).Text, (name, variable)


async def test_connections_and_history_stand_beside_the_twins(demo):
    async with connected(demo.url) as client:
        connections = await children(await child(client.nodes.objects, "Connections"))
        assert connections
        for plc, node in connections.items():
            assert CONNECTION | {"Endpoint", "Reconnects", "SamplesReceived", "SamplesDropped"} <= await names(node), plc
        assert {"DurableUntil", "State", "FreeSpace"} <= await names(client.nodes.objects, "History")


async def test_the_server_says_what_it_can_do(demo):
    async with connected(demo.url) as client:
        capabilities = await child(client.nodes.server, "ServerCapabilities")
        profiles = await (await child(capabilities, "ServerProfileArray")).read_value()
        assert profiles and all(profile.startswith("http://opcfoundation.org/UA-Profile/") for profile in profiles)
        history = await children(await child(capabilities, "HistoryServerCapabilities"))
        assert await history["AccessHistoryDataCapability"].read_value() is True
        assert await history["AccessHistoryEventsCapability"].read_value() is True
        assert await history["MaxReturnDataValues"].read_value() >= 1000
        for update in ("InsertDataCapability", "DeleteRawCapability"):
            assert isinstance(await history[update].read_value(), bool)


@pytest.mark.parametrize("policy", ["None", "SignAndEncrypt"])
def test_node_opcua_finds_and_reads_the_twins(demo, identity, policy):
    identity = identity if policy != "None" else None
    [folder] = run_steps("node", demo.url, demo.folder, identity, {"browse": {"node": f"nsu={TWINS};s=Twins"}})
    steps = [{"browse": {"node": node}} for node in folder.values()]
    found = dict(zip(folder, run_steps("node", demo.url, demo.folder, identity, *steps), strict=True))
    assert all(METHODS | {"Model", "Statistics"} <= set(members) for members in found.values())
    parameters = [f"nsu={TWINS};s={name}.Model.Revision" for name in found]
    [values] = run_steps("node", demo.url, demo.folder, identity, {"read": {"nodes": parameters}})
    assert all(value["status"] == 0 for value in values)
