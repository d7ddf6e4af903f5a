//! Which twins come of which nodes; and of any nodes, a config that the parser accepts and that means the very nodes.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;

use super::{Origin, Sourced, compare, sourced, write};
use crate::{
    config::{self, Config},
    sample::StatusCode,
    southbound::{
        NodeAddress, PathElement, PlcId, SecurityMode,
        survey::{Facts, Found, Inspected, Qualified, Shape, Survey, Unit, What},
    },
};

const PLANT: &str = "urn:plant";

fn origin() -> Origin {
    Origin {
        url: "opc.tcp://plc.example:4840".to_owned(),
        plc: "plc1".to_owned(),
        policy: "None".to_owned(),
        mode: SecurityMode::None,
        user: None,
        at: "2026-11-28T06:00:00Z".to_owned(),
        root: None,
        port: 4840,
        pki_dir: None,
    }
}

fn qualified(namespace: Option<&str>, text: &str) -> Qualified {
    Qualified { namespace: namespace.map(Arc::from), text: text.into() }
}

fn number() -> Facts {
    Facts { built_in: Some(11), data_type: "Double".to_owned(), is_readable: true, ..Facts::unread(StatusCode::Good) }
}

/// A survey of what `lines` name: `Line1/Tank1:TankType` an object, `Line1/Tank1/Level = s=…` a variable with its NodeId.
fn survey(lines: &[&str]) -> Survey {
    let object = |object_type: Option<&str>| What::Object {
        object_type: object_type.map(|of| qualified(Some(PLANT), of)),
        properties: 0,
    };
    let objects = Found {
        parent: 0,
        id: qualified(None, "i=85"),
        name: qualified(None, "Objects"),
        is_ambiguous: false,
        what: object(None),
    };
    let mut survey = Survey { root: vec![qualified(None, "Objects")], nodes: vec![objects], ..Survey::default() };
    let mut known = HashMap::from([(String::new(), 0)]);
    for line in lines {
        let (path, id) = line.split_once(" = ").map_or((*line, None), |(path, id)| (path, Some(id)));
        let (path, object_type) = path.split_once(':').map_or((path, None), |(path, of)| (path, Some(of)));
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        known.insert(path.to_owned(), survey.nodes.len());
        survey.nodes.push(Found {
            parent: known[above],
            id: qualified(Some(PLANT), id.unwrap_or(&format!("s={path}"))),
            name: qualified(Some(PLANT), name),
            is_ambiguous: false,
            what: if id.is_some() { What::Variable(Box::new(number())) } else { object(object_type) },
        });
    }
    survey
}

fn parsed(text: &str) -> Config {
    let none = |path: &Path| Err(io::Error::new(io::ErrorKind::NotFound, path.display().to_string()));
    let config = config::parse(text, "plant/uatwin.toml", &none, &|_| None);
    config.unwrap_or_else(|faults| panic!("{}\n{text}", faults.iter().map(|f| format!("{f}\n")).collect::<String>()))
}

/// `twin: type: variables` of the config that a survey gives.
fn twins(lines: &[&str]) -> Vec<String> {
    let config = parsed(&write(&survey(lines), &origin()).text);
    let twins = &config.twins;
    let said = twins.twins.iter().map(|twin| {
        let of = &twins.types[twin.type_index];
        let names: Vec<&str> = of.variables.iter().map(|variable| variable.name.as_str()).collect();
        format!("{}: {}: {}", twin.name, of.name, names.join(" "))
    });
    said.collect()
}

#[test]
fn objects_of_one_structure_are_twins_of_one_type() {
    let lines = [
        "Heater1",
        "Heater1/T = i=1",
        "Heater1/P = i=2",
        "Heater2",
        "Heater2/P = i=3",
        "Heater2/T = i=4",
        "Pump1",
        "Pump1/Speed = i=5",
    ];
    let expected = ["Heater1: Heater: T P", "Heater2: Heater: T P", "Pump1: Pump: Speed"];
    assert_eq!(twins(&lines), expected);
}

#[test]
fn objects_of_one_object_type_are_twins_of_one_type_for_each_set_of_variables() {
    let lines = [
        "A:MotorType",
        "A/Speed = i=1",
        "B:MotorType",
        "B/Speed = i=2",
        "B/Torque = i=3",
        "C:MotorType",
        "C/Speed = i=4",
        "D",
        "D/Speed = i=5",
    ];
    let expected = ["A: MotorType: Speed", "C: MotorType: Speed", "B: MotorType_2: Speed Torque", "D: D: Speed"];
    assert_eq!(twins(&lines), expected);
}

#[test]
fn what_lies_deeper_in_a_device_is_its_own_and_folders_are_passed_through() {
    let lines = [
        "Hall",
        "Hall/Boiler:BoilerType",
        "Hall/Boiler/Drum:DrumType",
        "Hall/Boiler/Drum/Level = i=1",
        "Hall/Boiler/Drum/Level/Raw = i=2",
        "Hall/Boiler/Pipe",
        "Hall/Boiler/Pipe/Flow = i=3",
    ];
    assert_eq!(twins(&lines), ["Boiler: BoilerType: Drum_Level Drum_Level_Raw Pipe_Flow"]);
}

#[test]
fn an_object_that_holds_alike_objects_is_a_group_of_devices() {
    let lines = [
        "Line1:LineType",
        "Line1/Running = i=1",
        "Line1/M1:MotorType",
        "Line1/M1/Speed = i=2",
        "Line1/M2:MotorType",
        "Line1/M2/Speed = i=3",
        "Line2:LineType",
        "Line2/Running = i=4",
        "Line2/M1:MotorType",
        "Line2/M1/Speed = i=5",
        "Line2/M2:MotorType",
        "Line2/M2/Speed = i=6",
    ];
    let expected = [
        "Line1: LineType: Running",
        "Line2: LineType: Running",
        "M1: MotorType: Speed",
        "M2: MotorType: Speed",
        "Line2_M1: MotorType: Speed",
        "Line2_M2: MotorType: Speed",
    ];
    assert_eq!(twins(&lines), expected);
}

#[test]
fn two_folders_with_the_same_untyped_things_in_them_are_two_devices() {
    let lines = [
        "Heater1",
        "Heater1/In",
        "Heater1/In/T = i=1",
        "Heater1/Out",
        "Heater1/Out/P = i=2",
        "Heater2",
        "Heater2/In",
        "Heater2/In/T = i=3",
        "Heater2/Out",
        "Heater2/Out/P = i=4",
    ];
    assert_eq!(twins(&lines), ["Heater1: Heater: In_T Out_P", "Heater2: Heater: In_T Out_P"]);
}

/// The lines of the config that say where variables are.
fn sources(lines: &[&str]) -> Vec<String> {
    let text = write(&survey(lines), &origin()).text;
    parsed(&text);
    let is_source = |line: &&str| ["source", "path", "device", "variable."].iter().any(|key| line.starts_with(key));
    text.lines().filter(is_source).map(ToOwned::to_owned).collect()
}

#[test]
fn node_ids_with_a_pattern_become_a_template() {
    let lines = ["H1", "H1/T = s=Hall.H1.T", "H1/P = s=Hall.H1.P", "H2", "H2/T = s=Hall.H2.T", "H2/P = s=Hall.H2.P"];
    let expected = [
        r#"source = "nsu=urn:plant;s=Hall.{device}.T""#,
        r#"source = "nsu=urn:plant;s=Hall.{device}.P""#,
        r#"device = "H1""#,
        r#"device = "H2""#,
    ];
    assert_eq!(sources(&lines), expected);
}

#[test]
fn the_devices_part_of_a_node_id_need_not_be_its_name() {
    let lines = ["Ofen", "Ofen/T = s=DB7.T", "Herd", "Herd/T = s=DB9.T"];
    let expected = [r#"source = "nsu=urn:plant;s={device}.T""#, r#"device = "DB7""#, r#"device = "DB9""#];
    assert_eq!(sources(&lines), expected);
}

#[test]
fn numeric_node_ids_become_paths_with_the_device_in_them() {
    let lines = ["H1", "H1/a.b&c = i=1", "H2", "H2/a.b&c = i=2"];
    let expected =
        [r#"path = "/Objects/nsu=urn:plant:{device}/nsu=urn:plant:a.b&&c""#, r#"device = "H1""#, r#"device = "H2""#];
    assert_eq!(sources(&lines), expected);
}

#[test]
fn where_neither_serves_all_twins_each_says_its_own() {
    let lines = ["Hall1", "Hall1/H:T", "Hall1/H/T = i=1", "Hall2", "Hall2/H:T", "Hall2/H/T = i=2"];
    let expected = [r#"variable.T.source = "nsu=urn:plant;i=1""#, r#"variable.T.source = "nsu=urn:plant;i=2""#];
    assert_eq!(sources(&lines), expected);
}

fn with_facts(facts: Vec<Facts>) -> Survey {
    let names: Vec<String> = (0..facts.len()).flat_map(|i| [format!("D{i}:T"), format!("D{i}/V = s=D{i}.V")]).collect();
    let mut survey = survey(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let variables = survey.nodes.iter_mut().filter(|node| matches!(node.what, What::Variable(_)));
    for (node, facts) in variables.zip(facts) {
        node.what = What::Variable(Box::new(facts));
    }
    survey
}

#[test]
fn units_ranges_and_states_are_the_plcs_where_all_twins_agree() {
    let unit = |code: &str, text: &str| Some(Unit { code: code.to_owned(), text: text.to_owned() });
    let warm = Facts { range: Some((0.0, 100.0)), unit: unit("CEL", "deg"), ..number() };
    let hot = Facts { range: Some((0.0, 200.0)), ..warm.clone() };
    let strange = Facts { unit: unit("", "Stück/Palette"), ..number() };
    let same = parsed(&write(&with_facts(vec![warm.clone(), warm.clone()]), &origin()).text);
    assert_eq!(same.twins.types[0].variables[0].unit, "°C");
    assert_eq!(same.twins.types[0].variables[0].range, Some((0.0, 100.0)));
    let text = write(&with_facts(vec![warm.clone(), hot]), &origin()).text;
    assert_eq!(parsed(&text).twins.types[0].variables[0].range, None);
    assert!(text.contains("# range: not the same for all twins, or not there; from 0.0 to 200.0 in all"), "{text}");
    let two = parsed(&write(&with_facts(vec![warm, strange]), &origin()).text);
    let units: Vec<&str> = two.twins.types.iter().map(|of| of.variables[0].unit.as_str()).collect();
    assert_eq!(units, ["°C", "Stück/Palette"]);
    let states = |built_in, states: &[&str]| Facts {
        built_in: Some(built_in),
        states: states.iter().map(|state| (*state).to_owned()).collect(),
        ..number()
    };
    let config = parsed(
        &write(&with_facts(vec![states(6, &["Off", "On"]), states(1, &["No", "Yes"]), states(1, &["?"])]), &origin())
            .text,
    );
    let states: Vec<_> = config.twins.types.iter().map(|of| of.variables[0].states.clone()).collect();
    assert_eq!(states, [vec!["Off", "On"], vec!["No", "Yes"], vec![]]);
}

#[test]
fn what_cannot_be_taken_is_named_with_its_reason() {
    let unread = Facts::unread(StatusCode::BadUserAccessDenied);
    let matrix = Facts { shape: Shape::Other, ..number() };
    let structure = Facts { built_in: Some(22), data_type: "Recipe".to_owned(), ..number() };
    let hidden = Facts { is_readable: false, ..number() };
    let text = write(&with_facts(vec![number(), unread, matrix, structure, hidden]), &origin()).text;
    assert_eq!(parsed(&text).twins.twins.len(), 1);
    for said in [
        "D1: V: its attributes could not be read: BadUserAccessDenied",
        "D2: V: Double: only scalars and one-dimensional arrays can be variables",
        "D3: V: Recipe: uatwin has no variables of this type",
        "D4: V: it may not be read",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
}

#[test]
fn more_variables_than_a_type_may_have_are_several_twins() {
    let lines: Vec<String> =
        std::iter::once("All".to_owned()).chain((0..10_001).map(|i| format!("All/V{i} = i={i}"))).collect();
    let written = write(&survey(&lines.iter().map(String::as_str).collect::<Vec<_>>()), &origin());
    let config = parsed(&written.text);
    let sizes: Vec<usize> = config.twins.twins.iter().map(|twin| twin.sources.len()).collect();
    assert_eq!(sizes, [10_000, 1]);
}

// ---- any nodes

/// A text as a PLC might have it: plain, or with whatever means something to TOML, paths, NodeIds and terminals.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-D][0-3]",
        1 => Just("Fit".to_owned()),
        1 => Just("LevelAlarm".to_owned()),
        1 => Just("{device}".to_owned()),
        2 => "[a.:/&%;=\"'\\\\#{}\\[\\] \n\r\t\u{0}\u{7f}\u{85}\u{202e}é日-]{0,8}",
        1 => any::<String>(),
    ]
}

fn namespace() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        6 => Just(Some(PLANT.to_owned())),
        1 => Just(None),
        1 => Just(Some("http://x.org:8080/UA/".to_owned())),
        1 => text().prop_map(Some),
    ]
}

fn name() -> impl Strategy<Value = Qualified> {
    (namespace(), text()).prop_map(|(namespace, text)| qualified(namespace.as_deref(), &text))
}

prop_compose! {
    fn facts()(
        status in prop_oneof![9 => Just(StatusCode::Good), 1 => Just(StatusCode::BadNodeIdUnknown)],
        built_in in proptest::option::weighted(0.95, prop_oneof![6 => 1..14_u8, 1 => 0..30_u8]),
        data_type in text(),
        shape in prop_oneof![8 => Just(Shape::Scalar), 1 => Just(Shape::Array), 1 => Just(Shape::Other)],
        readable in proptest::bool::weighted(0.9),
        description in text(),
        sampling_ms in proptest::option::of(0_u64..86_400_000),
        range in proptest::option::of((-1e300..1e300_f64, -1e300..1e300_f64)),
        unit in proptest::option::of((prop_oneof![Just("CEL".to_owned()), Just(String::new()), text()], text())),
        states in proptest::collection::vec(text(), 0..3),
    ) -> Facts {
        Facts {
            status,
            built_in,
            data_type,
            shape,
            is_readable: readable,
            is_writable: readable,
            description,
            sampling_interval: sampling_ms.map(Duration::from_millis),
            range: range.filter(|(low, high)| low < high),
            unit: unit.map(|(code, text)| Unit { code, text }),
            states,
        }
    }
}

/// Ids: now and then numeric ones, else texts, some with the device's place in them. Each node has its own (`index` sees to it).
fn found(parent: usize, index: usize) -> impl Strategy<Value = Found> {
    let what = prop_oneof![
        2 => proptest::option::weighted(0.3, name())
            .prop_map(|object_type| What::Object { object_type, properties: 1 }),
        3 => facts().prop_map(|facts| What::Variable(Box::new(facts))),
    ];
    let id = prop_oneof![Just(format!("i={index}")), text().prop_map(move |text| format!("s={text}{index}"))];
    (namespace(), id, name(), proptest::bool::weighted(0.1), what).prop_map(
        move |(namespace, id, name, ambiguous, what)| Found {
            parent,
            id: qualified(namespace.as_deref(), &id),
            name,
            is_ambiguous: ambiguous,
            what,
        },
    )
}

fn any_survey() -> impl Strategy<Value = Survey> {
    proptest::collection::vec(any::<proptest::sample::Index>(), 0..40).prop_flat_map(|parents| {
        let nodes: Vec<_> = parents.iter().enumerate().map(|(i, parent)| found(parent.index(i + 1), i + 1)).collect();
        nodes.prop_map(|found| {
            let mut survey = survey(&[]);
            survey.nodes.extend(found);
            for index in 1..survey.nodes.len() {
                let is_beside = |other: &Found| {
                    (other.parent, &other.name) == (survey.nodes[index].parent, &survey.nodes[index].name)
                };
                survey.nodes[index].is_ambiguous |=
                    survey.nodes.iter().skip(1).filter(|node| is_beside(node)).count() > 1;
            }
            survey.left_out = 1;
            survey.closed.push((0, StatusCode::BadNoContinuationPoints));
            survey
        })
    })
}

/// Every address that leads to a node.
fn addresses(survey: &Survey, index: usize) -> [NodeAddress; 2] {
    let mut path = Vec::new();
    let mut at = index;
    while at != 0 {
        path.push(&survey.nodes[at].name);
        at = survey.nodes[at].parent;
    }
    let standard = || Some("http://opcfoundation.org/UA/".to_owned());
    let element = |name: &&Qualified| PathElement {
        namespace: name.namespace.as_deref().map_or_else(standard, |uri| Some(uri.to_owned())),
        name: name.text.to_string(),
    };
    let objects = PathElement { namespace: None, name: "Objects".to_owned() };
    let path = std::iter::once(objects).chain(path.iter().rev().map(element)).collect();
    [survey.nodes[index].id.address(), NodeAddress::Path(path)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_nodes_give_a_config_that_is_accepted_and_means_those_nodes(survey in any_survey()) {
        let written = write(&survey, &origin());
        let config = parsed(&written.text);
        let means: HashMap<NodeAddress, usize> = (0..survey.nodes.len())
            .filter(|index| matches!(survey.nodes[*index].what, What::Variable(_)))
            .flat_map(|index| addresses(&survey, index).map(|address| (address, index)))
            .collect();
        let mut taken = HashSet::new();
        for of in sourced(&config.twins, PlcId(0)) {
            let index = means.get(of.address);
            prop_assert!(index.is_some(), "{:?} is no variable", of.address);
            prop_assert!(taken.insert(index), "{:?} is taken twice", of.address);
        }
        prop_assert_eq!(taken.len(), written.taken);
        let series: usize = config.twins.twins.iter().map(|twin| twin.sources.len()).sum();
        prop_assert_eq!(series, written.taken, "every variable has a source");
        prop_assert!(!written.text.contains('\u{202e}'), "text that turns around");
    }

    #[test]
    fn what_was_imported_does_not_differ(facts in proptest::collection::vec(facts(), 1..6)) {
        let survey = with_facts(facts);
        let config = parsed(&write(&survey, &origin()).text);
        let of = sourced(&config.twins, PlcId(0));
        let by_id: HashMap<NodeAddress, &Facts> = survey.nodes.iter().filter_map(|node| match &node.what {
            What::Variable(facts) => Some((node.id.address(), &**facts)),
            What::Object { .. } => None,
        }).collect();
        let inspected: Vec<Inspected> = of
            .iter()
            .map(|Sourced { address, .. }| Inspected { facts: Ok(by_id[*address].clone()), beside: Vec::new() })
            .collect();
        prop_assert_eq!(compare(&config.twins, &of, &inspected), vec![]);
    }
}
