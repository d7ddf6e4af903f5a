"""The demo's plant, seen from outside: what is true, and how to make it age."""

from asyncua import ua

from support.client import by_id, children, connected

PLANT = "urn:uatwin:plant"


async def truth(plant_url, device):
    """The constants that the device's physics uses at present, by name."""
    async with connected(plant_url) as plant:
        folder = await children(await by_id(plant, PLANT, f"{device}.Truth"))
        return {name: await node.read_value() for name, node in folder.items()}


async def age(plant_url, device, wear):
    async with connected(plant_url) as plant:
        node = await by_id(plant, PLANT, f"{device}.Ageing")
        await node.write_value(ua.DataValue(ua.Variant(wear, ua.VariantType.Double)))
