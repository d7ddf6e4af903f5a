"""Every policy and mode with every client stack: a user logs on by password, writes, and reads what it wrote."""

import asyncio

import pytest
from asyncua import ua
from asyncua.crypto import security_policies

from support import service as services
from support.client import TWINS, by_id, connected
from support.other_clients import run_steps
from support.users import User

POLICIES = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
MODES = ["Sign", "SignAndEncrypt"]
MARIA = User("maria", ("Operator",), (), "a long password")
TYPES = """
[twin_type.Note.variable.Value]
writable = true
[twin.Note1]
type = "Note"
"""
VALUE = f"nsu={TWINS};s=Note1.Value"


@pytest.fixture(scope="module")
def service(tmp_path_factory, identity):
    folder = tmp_path_factory.mktemp("policies")
    service = services.of_types(folder, identity, "Policies", TYPES, "observer", users=[MARIA], policies=POLICIES)
    asyncio.run(write(service, identity))
    yield service
    service.stop()


async def write(service, identity, policy="Basic256Sha256", mode="SignAndEncrypt", value=1.5):
    """By asyncua."""
    settings = {"policy": POLICIES[policy], "mode": ua.MessageSecurityMode[mode]}
    async with connected(service.url, identity, **MARIA.as_client(), **settings) as client:
        node = await by_id(client, TWINS, "Note1.Value")
        await node.write_value(value)
        return await node.read_value()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", POLICIES)
async def test_asyncua_comes_by_every_policy_and_mode(service, identity, policy, mode):
    value = 10.0 * list(POLICIES).index(policy) + MODES.index(mode)
    assert await write(service, identity, policy, mode, value) == value


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("stack", ["node", "o6"])
def test_others_come_by_every_policy_and_mode(service, identity, tmp_path, stack, policy, mode):
    login = {"name": MARIA.name, "password": MARIA.password}
    [values] = run_steps(stack, service.url, tmp_path, identity, {"read": {"nodes": [VALUE]}}, user=login, policy=policy, mode=mode)
    assert values[0]["status"] == 0 and values[0]["value"] is not None


async def test_none_is_not_there_unless_it_was_asked_for(service):
    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
        async with connected(service.url):
            pass
