"""Who may what: every role at every service and method, what UserAccessLevel and the like say of it, and twins that are hidden."""

import asyncio
import contextlib

import pytest
from asyncua import ua

from support import attempts, bench, methods, service as services
from support.attempts import ANYBODY, ENGINEER, NOBODY, OBSERVER, OPERATOR, SECURITY, name_of
from support.client import TWINS, TYPES, by_id, child, children, connected, eventually, history, now, twins
from support.events import listening
from support.methods import refusal_of
from support.other_clients import run_steps
from support.users import User, add

PASSWORD = "long enough"
ROLES = ["Observer", "Operator", "Engineer", "SecurityAdmin", "ConfigureAdmin"]
MAY = {  # the rows of the information model's table
    "nothing": {ANYBODY},
    "Observer": {ANYBODY, OBSERVER},
    "Operator": {ANYBODY, OBSERVER, OPERATOR},
    "Engineer": {ANYBODY, OBSERVER, OPERATOR, ENGINEER},
    "SecurityAdmin": {ANYBODY, OBSERVER, SECURITY},
    "ConfigureAdmin": {ANYBODY, OBSERVER},
}
CONFIG = bench.types(False, "").replace("[twin_type.Bench.variable.Temperature]", """[plc.gone]
endpoint = "opc.tcp://127.0.0.1:1"
security_policy = "None"
[twin_type.Bench.variable.Temperature]
alarm = { high = 90, severity = 700 }
[twin_type.Bench.variable.Remark]
[twin_type.Bench.variable.Valve]
source = "nsu=urn:gone;s=Valve"
writable = true""") + f"""
plc = "gone"
[twin_type.Bench.optimize]
move.Power = {{ min = 0, max = 100 }}
[twin_type.Tank.variable.Level]
alarm = {{ high = 5 }}
[twin.Tank1]
type = "Tank"
[twin.Tank2]
type = "Tank"
"""
PEOPLE = [
    User("nothing", (), (), PASSWORD),
    *(User(role, (role,), (), PASSWORD) for role in ROLES),
    User("confined", ("Engineer", "SecurityAdmin"), ("Tank1",), PASSWORD),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory, identity):
    folder = tmp_path_factory.mktemp("access")
    service = services.of_types(folder, identity, "Access", CONFIG, "engineer", users=PEOPLE)
    asyncio.run(bench.with_history(service))
    yield service
    service.stop()


@contextlib.asynccontextmanager
async def as_user(service, identity, name):
    async with connected(service.url, identity, user=name, password=PASSWORD) as client:
        yield client


async def everything(client, twin):
    """Every value below a twin, what is stored of it, and the history of what clients write."""
    seen, todo, values = set(), [twin], {}
    while todo:
        node = todo.pop()
        if node.nodeid in seen or node.nodeid.NamespaceIndex != twin.nodeid.NamespaceIndex:
            continue
        seen.add(node.nodeid)
        todo += (await children(node)).values()
        if await node.read_node_class() == ua.NodeClass.Variable:
            value = await node.read_data_value(raise_on_bad_status=False)
            values[node.nodeid.Identifier] = (str(value.Value), value.StatusCode.value)
    for name in ["Remark", "Power", "Temperature"]:
        values[f"history of {name}"] = len(await history(await child(twin, name), attempts.at_ms(0), now()))
    return values


async def tried(asker):
    return {attempt.name: name_of(await attempt.do(asker)) for attempt in attempts.attempts()}


def printed(table):
    users = list(table)
    lines = [" | ".join(["service or method".ljust(36), *(user.ljust(22) for user in users)])]
    for attempt in attempts.attempts():
        lines.append(" | ".join([attempt.name.ljust(36), *(table[user][attempt.name].ljust(22) for user in users)]))
    return "\n".join(lines)


async def test_every_role_may_what_its_row_says_and_who_has_none_changes_nothing(service, identity):
    table = {}
    async with connected(service.url, identity) as witness, listening(witness) as (_, another):
        anothers = another.subscription_id
        twin = (await twins(witness))[bench.TWIN]
        # What moves by itself between two looks tells nothing.
        before, again = await everything(witness, twin), await everything(witness, twin)
        still = {name for name, value in before.items() if again[name] == value}
        for name in ["Model.Parameters.tau", "Model.Revision", "Model.LastFit.State", "Remark", "Statistics.StartTime",
                     "TemperatureLevelAlarm.EnabledState", "TemperatureLevelAlarm.Comment", "FitProgram.CurrentState"]:
            assert f"{bench.TWIN}.{name}" in still, name
        for user in ["nothing", "Observer", "SecurityAdmin", "ConfigureAdmin"]:
            async with as_user(service, identity, user) as client:
                table[user] = await tried(await attempts.asker(client, bench.TWIN, anothers))
            after = await everything(witness, twin)
            assert {name: (before[name], after[name]) for name in still if before[name] != after.get(name)} == {}, user
            assert set(after) == set(before), user
        for user in ["Operator", "Engineer"]:
            async with as_user(service, identity, user) as client:
                table[user] = await tried(await attempts.asker(client, bench.TWIN, anothers))
    print("\n" + printed(table))

    refusals = {"BadUserAccessDenied", "BadNodeIdUnknown", "BadNoMatch"}
    wrong = {}
    for user, statuses in table.items():
        for attempt in attempts.attempts():
            status = statuses[attempt.name]
            is_refused = status in refusals
            is_wrong = (status == "Good") if attempt.least == NOBODY else is_refused == (attempt.least in MAY[user])
            if is_wrong:
                wrong[user, attempt.name] = status
    assert wrong == {}
    # What nobody tried in vain: the attempts are such as do something where they may.
    for name in ["Write an internal variable", "HistoryUpdate Insert", "HistoryUpdate annotations", "DeleteRawModified", "SetParameters",
                 "ActivateRevision", "Statistics.ResetStatistics", "FitProgram.Start", "Fit", "Disable", "Enable", "Read who has a role"]:
        assert "Good" in {table[user][name] for user in table}, (name, {user: table[user][name] for user in table})


async def test_attributes_tell_what_a_user_may(service, identity):
    read, history_read, write = 1, 4, 2
    more = 32 | 64  # StatusWrite, TimestampWrite
    expected = {
        "Observer": {"Remark": read | history_read, "Valve": read | history_read, "Fit": False, "SetParameters": False,
                     "TemperatureLevelAlarm.Acknowledge": False, "TemperatureLevelAlarm.Disable": False},
        "Operator": {"Remark": read | history_read | write | more, "Valve": read | history_read | write, "Fit": True, "SetParameters": False,
                     "TemperatureLevelAlarm.Acknowledge": True, "TemperatureLevelAlarm.Disable": False},
        "Engineer": {"Remark": read | history_read | write | more | 8, "Valve": read | history_read | write | 8, "Fit": True,
                     "SetParameters": True, "TemperatureLevelAlarm.Acknowledge": True, "TemperatureLevelAlarm.Disable": True},
    }
    expected["SecurityAdmin"] = expected["ConfigureAdmin"] = expected["Observer"]
    role_ids = {role: ua.NodeId(getattr(ua.ObjectIds, f"WellKnownRole_{role}")) for role in ROLES}
    of_all = {}
    for role in ROLES:
        async with as_user(service, identity, role) as client:
            for name, wanted in expected[role].items():
                node = await by_id(client, TWINS, f"{bench.TWIN}.{name}")
                attribute = ua.AttributeIds.UserExecutable if isinstance(wanted, bool) else ua.AttributeIds.UserAccessLevel
                assert (await node.read_attribute(attribute)).Value.Value == wanted, (role, name)
                assert (await node.read_attribute(ua.AttributeIds.UserWriteMask)).Value.Value == 0
                own = (await node.read_attribute(ua.AttributeIds.UserRolePermissions)).Value.Value
                assert [entry.RoleId for entry in own] == [role_ids[role]]
                of_all[role, name] = int(own[0].Permissions)
                every = (await node.read_attribute(ua.AttributeIds.RolePermissions)).Value.Value
                assert {entry.RoleId for entry in every} == set(role_ids.values())
                assert of_all[role, name] in [int(entry.Permissions) for entry in every if entry.RoleId == role_ids[role]]
    calls, writes, edits = ua.PermissionType.Call, ua.PermissionType.Write, ua.PermissionType.InsertHistory
    assert not of_all["Observer", "Fit"] & calls and of_all["Operator", "Fit"] & calls
    assert not of_all["Operator", "SetParameters"] & calls and of_all["Engineer", "SetParameters"] & calls
    assert not of_all["Observer", "Remark"] & writes and of_all["Operator", "Remark"] & writes
    assert not of_all["Operator", "Remark"] & edits and of_all["Engineer", "Remark"] & edits


async def test_the_roles_are_shown_to_those_who_may_see_them(service, identity):
    async with as_user(service, identity, "SecurityAdmin") as client:
        role_set = client.get_node(ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_RoleSet))
        shown = await children(role_set)
        assert {"Anonymous", "AuthenticatedUser", *ROLES} <= set(shown)
        rules = {}
        for role in ["Anonymous", "AuthenticatedUser", *ROLES, "Supervisor"]:
            properties = await children(shown[role])
            rules[role] = {(rule.CriteriaType.name, rule.Criteria or "") for rule in await properties["Identities"].read_value()}
            if role in ["Anonymous", "AuthenticatedUser"]:  # the standard gives them no more
                continue
            assert await properties["ApplicationsExclude"].read_value() is True and await properties["Applications"].read_value() == []
            assert await properties["EndpointsExclude"].read_value() is True
        confined = ("UserName", "confined")
        assert rules == {
            "Anonymous": {("Anonymous", "")}, "AuthenticatedUser": {("AuthenticatedUser", "")}, "Supervisor": set(),
            "Observer": {("UserName", "Observer")}, "Operator": {("UserName", "Operator")},
            "Engineer": {("Anonymous", ""), ("UserName", "Engineer"), confined},  # the config has it so
            "SecurityAdmin": {("UserName", "SecurityAdmin"), confined}, "ConfigureAdmin": {("UserName", "ConfigureAdmin")},
        }
    async with as_user(service, identity, "Engineer") as client:
        identities = client.get_node(ua.NodeId(ua.ObjectIds.WellKnownRole_Operator_Identities))
        assert (await identities.read_attribute(ua.AttributeIds.UserAccessLevel)).Value.Value == 0
        assert await refusal_of(identities.read_value()) == "BadUserAccessDenied"


async def test_a_security_admin_hears_the_audit_trail_and_an_operator_does_not(service, identity):
    audit = ua.ObjectIds.AuditUpdateMethodEventType
    async with as_user(service, identity, "SecurityAdmin") as admin, as_user(service, identity, "Operator") as operator:
        async with listening(admin, types=audit) as (hears, _), listening(operator, types=audit) as (deaf, _):
            twin = (await twins(operator))[bench.TWIN]
            assert await refusal_of(methods.set_parameters(twin, ["tau"], [5.0])) == "BadUserAccessDenied"
            event = await hears.until(lambda event: event.ClientUserId == "Operator")
            assert event.Status is False and event.SourceNode == twin.nodeid
            await asyncio.sleep(0.5)
            assert deaf.events == []


# ---- Confined to Tank1

async def test_other_twins_do_not_exist_for_who_is_confined(service, identity):
    async with as_user(service, identity, "confined") as client:
        assert set(await twins(client)) == {"Tank1"}
        folder = await child(client.nodes.objects, "Twins")
        for direction in [ua.BrowseDirection.Forward, ua.BrowseDirection.Both]:
            found = {r.BrowseName.Name for r in await folder.get_references(direction=direction)}
            assert not found & {bench.TWIN, "Tank2"}, found
        assert await children(await child(client.nodes.objects, "Connections")) == {}, "the PLC feeds none of his"
        twin_type = client.get_node(ua.NodeId(1000, await client.get_namespace_index(TYPES)))
        subtypes = await twin_type.get_references(ua.ObjectIds.HasSubtype, ua.BrowseDirection.Forward)
        assert {r.BrowseName.Name for r in subtypes} == {"Tank"}, "a type would tell that there are twins of it"
        # To the letter what is said of a twin that nobody configured.
        hidden = await tried(await attempts.asker(client, bench.TWIN, 4_000_000))
        unknown = await tried(await attempts.asker(client, "Nowhere", 4_000_000))
        # Of another's subscription no twin is part, and what is said of one depends on which there are at the time.
        of_twins = [{name: said for name, said in all.items() if "another's" not in name} for all in (hidden, unknown)]
        assert of_twins[0] == of_twins[1]
        tank = await attempts.asker(client, "Tank1", 4_000_000)
        other = ua.NodeId("Tank2.Statistics.ResetStatistics", tank.namespace)
        nowhere = ua.NodeId("Nowhere.Statistics.ResetStatistics", tank.namespace)
        answers = [name_of(await tank.status(tank.call(tank.id("Statistics"), method))) for method in [other, nowhere]]
        assert answers == ["BadMethodInvalid"] * 2
        assert name_of(await tank.status(tank.method("Statistics.ResetStatistics"))) == "Good"
        assert name_of(await tank.status(tank.write(tank.id("Level"), attempts.double(1)))) == "Good"
    async with connected(service.url, identity) as client:
        assert set(await twins(client)) == {bench.TWIN, "Tank1", "Tank2"}


async def test_events_of_other_twins_are_not_heard_live_nor_in_history(service, identity):
    begin = now()
    async with as_user(service, identity, "confined") as client, connected(service.url, identity) as other:
        own, all_twins = await twins(client), await twins(other)
        folder, kinds = await child(client.nodes.objects, "Twins"), [ua.ObjectIds.AuditWriteUpdateEventType, ua.ObjectIds.ExclusiveLevelAlarmType]
        async with listening(client, types=kinds) as (at_server, _), listening(client, folder, kinds) as (at_folder, _):
            for value in [9.0, 1.0]:
                for name in ["Tank2", "Tank1"]:
                    await (await child(all_twins[name], "Level")).write_value(value, ua.VariantType.Double)
            for listener in [at_server, at_folder]:
                await listener.until(lambda event: event.SourceName == "Tank1.Level" and getattr(event, "NewValue", None) == 1.0)
                await listener.until(lambda event: event.EventType == ua.NodeId(ua.ObjectIds.ExclusiveLevelAlarmType))
            await asyncio.sleep(0.5)
            heard = {event.SourceName.split(".")[0] for event in at_server.events + at_folder.events}
            assert heard == {"Tank1"}, heard
        end = now()
        for session, node, seen in [(client, client.nodes.server, {"Tank1"}), (other, other.nodes.server, {"Tank1", "Tank2"})]:
            result = await node.read_event_history(begin, end, evtypes=[client.get_node(ua.ObjectIds.AuditWriteUpdateEventType)])
            assert {event.SourceName.split(".")[0] for event in result} == seen
        assert set(own) == {"Tank1"}


async def test_a_refresh_of_conditions_tells_none_of_other_twins(service, identity):
    async with connected(service.url, identity) as other:
        for name in ["Tank2", "Tank1"]:
            await (await child((await twins(other))[name], "Level")).write_value(9.0, ua.VariantType.Double)
    async with as_user(service, identity, "confined") as client:
        async with listening(client, types=ua.ObjectIds.ConditionType) as (listener, subscription):
            refresh = ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh)
            await client.get_node(ua.ObjectIds.ConditionType).call_method(refresh, ua.Variant(subscription.subscription_id, ua.VariantType.UInt32))
            await listener.until(lambda event: event.EventType == ua.NodeId(ua.ObjectIds.RefreshEndEventType))
            sources = {event.SourceName for event in listener.events} - {"Server"}
            assert sources == {"Tank1.Level"}


async def test_the_beginning_of_names_confines_to_all_of_them(service, identity):
    add(service.folder, User("late", ("Observer",), ("Tank*",), PASSWORD))

    async def seen():
        async with as_user(service, identity, "late") as client:
            return set(await twins(client))

    async def comes():
        return await refusal_of(seen()) is None
    await eventually(comes, 30, every_s=0.5)
    assert await seen() == {"Tank1", "Tank2"}


@pytest.mark.parametrize("stack", ["node", "o6"])
def test_other_stacks_see_no_more(service, identity, tmp_path, stack):
    steps = {"browse": {"node": f"nsu={TWINS};s=Twins"}}, {"read": {"nodes": [f"nsu={TWINS};s=Tank2.Level", f"nsu={TWINS};s=Tank1.Level"]}}
    who = {"name": "confined", "password": PASSWORD}
    found, [hidden, own] = run_steps(stack, service.url, tmp_path, identity, *steps, user=who)
    assert set(found) == {"Tank1"}
    assert hidden["status"] == ua.StatusCodes.BadNodeIdUnknown != own["status"]
