//! Attributes, values, access.

use opcua::{nodes::AccessLevel, types::*};
use uatwin::{northbound::Role, sample::Sample, twin::Facet};

use crate::support::{COUNTER, Fixture, TEMPERATURE};

#[tokio::test(flavor = "multi_thread")]
async fn every_attribute_that_its_class_must_have_is_there_and_no_other() {
    use AttributeId as A;
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let common = [
        A::NodeId,
        A::NodeClass,
        A::BrowseName,
        A::DisplayName,
        A::Description,
        A::WriteMask,
        A::UserWriteMask,
        A::RolePermissions,
        A::UserRolePermissions,
        A::AccessRestrictions,
    ];
    let variable = [
        A::Value,
        A::DataType,
        A::ValueRank,
        A::AccessLevel,
        A::UserAccessLevel,
        A::AccessLevelEx,
        A::Historizing,
        A::MinimumSamplingInterval,
    ];
    let array = [&variable[..], &[A::ArrayDimensions]].concat();
    let expected: [(&str, &[A]); 8] = [
        ("Twins", &[A::EventNotifier]),
        ("Heater1", &[A::EventNotifier]),
        ("type:Heater", &[A::IsAbstract]),
        ("Heater1.Fit", &[A::Executable, A::UserExecutable]),
        ("Heater1.Temperature", &variable),
        ("Heater1.Statistics.Temperature.Mean", &variable),
        ("Heater1.Mode.EnumStrings", &array),
        ("Heater1.Fit.InputArguments", &array),
    ];
    for (path, own) in expected {
        for attribute in (1..=27).filter_map(|id| A::from_u32(id).ok()) {
            let read = client.read_attribute(&client.id(path), attribute).await;
            let is_there = read.status() != StatusCode::BadAttributeIdInvalid;
            assert_eq!(
                is_there,
                common.contains(&attribute) || own.contains(&attribute),
                "{path} {attribute:?} {read:?}"
            );
        }
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_with_the_stamps_that_were_asked_for_and_bad_ones_without_a_number() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let sample = fixture.good(21.5);
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), sample.clone());
    let wanted = ReadValueId { node_id: client.id("Heater1.Temperature"), attribute_id: 13, ..ReadValueId::default() };
    for (stamps, source, server) in [
        (TimestampsToReturn::Both, true, true),
        (TimestampsToReturn::Source, true, false),
        (TimestampsToReturn::Server, false, true),
        (TimestampsToReturn::Neither, false, false),
    ] {
        let read = client.read(std::slice::from_ref(&wanted), stamps, 0.0).await.unwrap().remove(0);
        assert_eq!(read.value, Some(Variant::Double(21.5)));
        assert_eq!(read.source_timestamp.map(|time| time.ticks()), source.then_some(sample.source_timestamp.ticks()));
        assert_eq!(read.server_timestamp.is_some(), server);
    }
    let status = StatusCode::from(StatusCode::BadOutOfRange.bits() | 0x0500);
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), Sample { status, ..sample });
    let read = client.value("Heater1.Temperature").await;
    assert_eq!((read.status, read.value), (Some(status), Some(Variant::Empty)));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_no_better_than_what_they_are_of() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let mean = || client.value("Heater1.Statistics.Temperature.Mean");
    assert_eq!(mean().await.status, Some(StatusCode::BadNoData));
    let start = fixture.now();
    for i in 0..3 {
        fixture.set(
            "Heater1",
            Facet::Variable(TEMPERATURE),
            Sample::good(start.plus_seconds(f64::from(i)), f64::from(i)),
        );
    }
    let read = mean().await;
    assert_eq!((read.status, read.value), (Some(StatusCode::Good), Some(Variant::Double(1.0))));
    let down = Sample::bad(start.plus_seconds(3.0), StatusCode::BadNoCommunication);
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), down);
    let read = mean().await;
    assert_eq!((read.status, read.value), (Some(StatusCode::UncertainSubNormal), Some(Variant::Double(1.0))));
    let count = client.value("Heater1.Statistics.Temperature.Count").await;
    assert_eq!(count.value, Some(Variant::UInt32(3)));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_bits_tell_the_truth_and_writes_are_refused_by_them() {
    let both = [Role::Observer, Role::Operator];
    for role in both {
        let fixture = Fixture::start_as(role).await;
        let client = fixture.connect().await;
        let bits = async |path: &str, attribute| {
            let Some(Variant::Byte(bits)) = client.read_attribute(&client.id(path), attribute).await.value else {
                panic!("{path}")
            };
            bits
        };
        let (read, history) = (AccessLevel::CURRENT_READ.bits(), AccessLevel::HISTORY_READ.bits());
        let write = (AccessLevel::CURRENT_WRITE | AccessLevel::STATUS_WRITE | AccessLevel::TIMESTAMP_WRITE).bits();
        let edit = AccessLevel::HISTORY_WRITE.bits();
        assert_eq!(bits("Heater1.Temperature", AttributeId::AccessLevel).await, read | history | edit);
        assert_eq!(bits("Heater1.Counter", AttributeId::AccessLevel).await, read);
        assert_eq!(bits("Heater1.Setpoint", AttributeId::AccessLevel).await, read | history | edit | write);
        let may = if role == Role::Observer { read | history } else { read | history | write };
        assert_eq!(bits("Heater1.Setpoint", AttributeId::UserAccessLevel).await, may);
        // A value and nothing else goes through to a PLC.
        let through = AccessLevel::CURRENT_WRITE.bits();
        assert_eq!(bits("Heater1.HeaterPower", AttributeId::AccessLevel).await, read | history | edit | through);
        let may = if role == Role::Observer { read | history } else { read | history | through };
        assert_eq!(bits("Heater1.HeaterPower", AttributeId::UserAccessLevel).await, may);
        assert_eq!(bits("Heater1.Statistics.Temperature.Mean", AttributeId::UserAccessLevel).await, read);

        let value = |value: Variant| DataValue { value: Some(value), ..DataValue::default() };
        let stamped = DataValue { source_timestamp: Some(DateTime::now()), ..value(1.0.into()) };
        let denied = if role == Role::Observer { StatusCode::BadUserAccessDenied } else { StatusCode::BadTypeMismatch };
        let no_plc = if role == Role::Observer { denied } else { StatusCode::BadNoCommunication };
        let writes = [
            ("Heater1.Temperature", AttributeId::Value, value(1.0.into()), StatusCode::BadNotWritable),
            ("Heater1.Temperature", AttributeId::Value, stamped.clone(), StatusCode::BadWriteNotSupported),
            ("Heater1.HeaterPower", AttributeId::Value, stamped, StatusCode::BadWriteNotSupported),
            ("Heater1.HeaterPower", AttributeId::Value, value("hot".into()), denied),
            ("Heater1.HeaterPower", AttributeId::Value, value(1.0.into()), no_plc),
            ("Heater1.Setpoint", AttributeId::Value, value("hot".into()), denied),
            ("Heater1.Setpoint", AttributeId::Value, value(Variant::Empty), denied),
            ("Heater1.Setpoint", AttributeId::DisplayName, value("x".into()), StatusCode::BadNotWritable),
            ("Heater1", AttributeId::Value, value(1.0.into()), StatusCode::BadAttributeIdInvalid),
            ("Heater1.Model.Revision", AttributeId::Value, value(1u32.into()), StatusCode::BadNotWritable),
            ("Nobody", AttributeId::Value, value(1.0.into()), StatusCode::BadNodeIdUnknown),
        ];
        for (path, attribute, value, expected) in writes {
            let write =
                WriteValue { node_id: client.id(path), attribute_id: attribute as u32, value, ..WriteValue::default() };
            assert_eq!(client.write(&[write]).await.unwrap(), [expected], "{path} as {role:?}");
        }
        for (method, least) in [("Heater1.Fit", Role::Operator), ("Heater1.SetParameters", Role::Engineer)] {
            let executable = client.read_attribute(&client.id(method), AttributeId::UserExecutable).await.value;
            assert_eq!(
                executable,
                Some(Variant::Boolean(role == least || role == Role::Engineer)),
                "{method} as {role:?}"
            );
        }
        fixture.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_can_do_is_said_truly() {
    use VariableId as V;
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let read = async |id: V| client.read_value(&id.into()).await.value.unwrap_or_default();
    assert_eq!(read(V::HistoryServerCapabilities_AccessHistoryDataCapability).await, Variant::Boolean(true));
    assert_eq!(read(V::HistoryServerCapabilities_MaxReturnDataValues).await, Variant::UInt32(10_000));
    assert_eq!(read(V::HistoryServerCapabilities_InsertEventCapability).await, Variant::Boolean(false));
    let Variant::Array(profiles) = read(V::Server_ServerCapabilities_ServerProfileArray).await else { panic!() };
    assert!(!profiles.values.is_empty());
    for folder in
        [ObjectId::HistoryServerCapabilities_AggregateFunctions, ObjectId::Server_ServerCapabilities_AggregateFunctions]
    {
        let references = client.references(&folder.into(), 0).await;
        let organised = references.iter().filter(|r| r.is_forward && r.reference_type_id == ReferenceTypeId::Organizes);
        let names: Vec<&str> = organised.clone().map(|r| r.browse_name.name.as_ref()).collect();
        assert_eq!(
            names,
            uatwin::aggregate::Aggregate::ALL.iter().map(|aggregate| aggregate.name()).collect::<Vec<_>>()
        );
        for reference in organised {
            let id = &reference.node_id.node_id;
            assert_eq!(reference.type_definition.node_id, ObjectTypeId::AggregateFunctionType);
            let name = client.read_attribute(id, AttributeId::BrowseName).await.value;
            assert_eq!(name, Some(Variant::from(reference.browse_name.clone())), "{id}");
        }
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_looked_up_and_none_is_one() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let unit = async |path: &str| {
        let Some(Variant::ExtensionObject(object)) = client.value(path).await.value else { panic!("{path}") };
        object.into_inner_as::<EUInformation>().unwrap().unit_id
    };
    assert_eq!(unit("Heater1.Temperature.EngineeringUnits").await, i32::from_be_bytes(*b"\0CEL"));
    assert_eq!(unit("Heater1.Temperature.Simulated.EngineeringUnits").await, i32::from_be_bytes(*b"\0CEL"));
    assert_eq!(unit("Heater1.Counter.EngineeringUnits").await, i32::from_be_bytes(*b"\0C62"));
    fixture.set(
        "Heater1",
        Facet::Variable(COUNTER),
        Sample { value: uatwin::sample::Value::UInt32(7), ..fixture.good(0.0) },
    );
    assert_eq!(client.value("Heater1.Counter").await.value, Some(Variant::UInt32(7)));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_says_how_often_it_is_written() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    for (path, ms) in [
        ("Heater1.Temperature", 100.0),
        ("Heater1.Temperature.Residual", 100.0),
        ("Heater1.Setpoint", 0.0), // clients write it
        ("Heater1.Model.Parameters.C", 0.0),
    ] {
        let interval = client.value(&format!("{path}.HA Configuration.MinTimeInterval")).await;
        assert_eq!((interval.value, interval.status), (Some(Variant::Double(ms)), Some(StatusCode::Good)), "{path}");
        // 0: none. What stays as it is is not recorded again.
        let longest = client.value(&format!("{path}.HA Configuration.MaxTimeInterval")).await;
        assert_eq!((longest.value, longest.status), (Some(Variant::Double(0.0)), Some(StatusCode::Good)), "{path}");
    }
    fixture.stop().await;
}
