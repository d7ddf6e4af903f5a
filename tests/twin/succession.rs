//! A config that takes the place of another: no number may come to mean anybody else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use uatwin::{
    sample::{SeriesId, TwinId},
    twin::{Facet, Twins},
};

use crate::twins;

/// Types by name with their variables, twins by name with their types.
type Plan = (BTreeMap<&'static str, BTreeSet<&'static str>>, BTreeMap<&'static str, &'static str>);

fn plan() -> impl Strategy<Value = Plan> {
    let variables = prop::collection::btree_set(prop::sample::select(vec!["A", "B", "C", "D"]), 1..4);
    let types = prop::collection::vec(variables, 2);
    let twins = prop::collection::btree_map(
        prop::sample::select(vec!["X", "Y", "Z", "XA"]),
        prop::sample::select(vec!["Red", "Blue"]),
        0..4,
    );
    (types, twins).prop_map(|(types, twins)| (["Red", "Blue"].into_iter().zip(types).collect(), twins))
}

fn written((types, twins): &Plan) -> String {
    let variables = |(name, variables): (&&str, &BTreeSet<&str>)| {
        variables.iter().map(|v| format!("[twin_type.{name}.variable.{v}]\n")).collect::<String>()
    };
    let types: String = types.iter().map(variables).collect();
    let twins: String = twins.iter().map(|(name, of)| format!("[twin.{name}]\ntype = \"{of}\"\n")).collect();
    types + &twins
}

proptest! {
    #[test]
    fn names_keep_their_series_and_twins_that_are_as_they_were_their_numbers(plans in prop::collection::vec(plan(), 1..8)) {
        let mut now: Twins = (*twins("")).clone();
        let (mut series, mut used): (HashMap<String, SeriesId>, BTreeSet<TwinId>) = Default::default();
        let mut before: HashMap<String, (TwinId, BTreeSet<&str>, &str)> = HashMap::new();
        for plan in &plans {
            let config = twins(&written(plan));
            let next = now.succeeded_by(config.types.clone(), config.twins.clone());
            let names: Vec<&str> = next.twins.ids().map(|twin| next.twins.twin(twin).name.as_str()).collect();
            prop_assert_eq!(names, plan.1.keys().copied().collect::<Vec<_>>());
            let mut numbered = now.series_len();
            for name in &next.new_series {
                prop_assert!(series.insert(name.clone(), SeriesId(u32::try_from(numbered).unwrap())).is_none());
                numbered += 1;
            }
            prop_assert_eq!(numbered, next.twins.series_len());
            let mut present = HashMap::new();
            for twin in next.twins.ids() {
                let (of, twin_type) = (next.twins.twin(twin), next.twins.type_of(twin));
                for (v, variable) in twin_type.variables.iter().enumerate() {
                    let number = next.twins.series(twin, Facet::Variable(v));
                    prop_assert_eq!(series.get(&format!("{}.{}", of.name, variable.name)), Some(&number));
                    prop_assert_eq!(next.twins.locate(number), (twin, Facet::Variable(v)));
                }
                let type_name = plan.1[of.name.as_str()];
                let is = (twin, plan.0[type_name].clone(), type_name);
                match before.get(&of.name) {
                    Some(was) if (&was.1, was.2) == (&is.1, is.2) => prop_assert_eq!(was.0, twin),
                    _ => prop_assert!(used.insert(twin) && next.begun.contains(&twin)),
                }
                present.insert(of.name.clone(), is);
            }
            let gone = before.values().map(|was| was.0).filter(|twin| !next.twins.is_there(*twin));
            prop_assert_eq!(gone.collect::<BTreeSet<_>>(), next.ended.iter().copied().collect::<BTreeSet<_>>());
            (now, before) = (next.twins, present);
        }
    }
}
