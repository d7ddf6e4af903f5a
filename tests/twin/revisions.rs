//! What is on record of a twin's parameters, and what of it is in force after a restart.

use std::sync::Arc;

use uatwin::{
    fit::{self, Experiment, FitOptions, FitReport, Measured},
    history::{
        Document, SharedStore,
        memory_store::MemoryStore,
        sled_store::{SledOptions, SledStore},
    },
    revisions::{Fitted, Origin, Restored, Revision, RevisionError, Revisions},
    sample::TwinId,
    simulate::Signal,
    twin::{Facet, InForce},
};

use crate::{at, twins};

const CONFIG: &str = r#"
[twin_type.Heater.variable.Temperature]
[twin_type.Heater.variable.Power]
[twin_type.Heater.model.state.T]
init = 20
[twin_type.Heater.model.parameter.tau]
value = 10
min = 1
max = 100
[twin_type.Heater.model.parameter.gain]
value = 1
min = 0
max = 50
[twin_type.Heater.model.parameter.idle]
value = 3
[twin_type.Heater.model.input.Power]
[twin_type.Heater.model.equation]
T = "(gain*Power - T)/tau + 0*idle"
[twin_type.Heater.model.output.Temperature]
expr = "T"
[twin.H1]
type = "Heater"
[twin.H2]
type = "Heater"
"#;
const H1: TwinId = TwinId(0);

fn open(store: &SharedStore, config: &str, now: f64) -> (Revisions, InForce) {
    let (revisions, mut in_force) = Revisions::open(Arc::clone(store), twins(config), at(now)).unwrap();
    assert_eq!(in_force.len(), 2);
    let Restored { twin, in_force: first, last_fit, .. } = in_force.swap_remove(0);
    assert_eq!(last_fit.report.is_some(), first.basis.is_some(), "LastFit goes on too");
    assert_eq!(twin, H1);
    (revisions, first)
}

fn memory() -> SharedStore {
    Arc::new(MemoryStore::new(twins(CONFIG).series_len() + 10, 1000))
}

fn numbers(revisions: &Revisions) -> Vec<u32> {
    revisions.all(H1).unwrap().iter().map(|revision| revision.number).collect()
}

/// Of data that say nothing of `idle`: some of its figures are NaN, some infinite.
fn report() -> FitReport {
    let times: Vec<f64> = (0..200).map(f64::from).collect();
    let input = Signal { times: vec![0.0, 50.0], values: vec![30.0, 60.0], ..Signal::default() };
    let noise = |i: usize| (i as f64 * 12.9898).sin() * 0.1;
    let values = times.iter().enumerate().map(|(i, t)| 20.0 + t * 0.2 + noise(i)).collect();
    let outputs = vec![Measured { times, values, weights: vec![] }];
    let experiment = Experiment { inputs: vec![input], outputs, span: None };
    let model = twins(CONFIG).type_of(H1).model.as_ref().unwrap().model.clone();
    let options = FitOptions { starts: 3, ..FitOptions::default() };
    fit::fit(&model, &[experiment], &options, &false.into(), &|_| ()).unwrap()
}

fn fitted() -> Origin {
    Origin::Fitted(Box::new(Fitted {
        times: (at(0.0).ticks(), at(199.0).ticks()),
        from: vec![10.0, 1.0, 3.0],
        starts: 3,
        seed: 1,
        absolute_sigma: false,
        windows: vec![(1, 2)],
        when: Some("Power > 40".into()),
        uncertain: Some(0.5),
        validate_s: None,
        solver: None,
        program: "0.1.0".to_owned(),
        finished_at: at(200.0).ticks(),
        duration_s: 0.25,
        report: Fitted::written(&report()),
    }))
}

#[test]
fn the_config_is_the_first_revision_and_is_kept_once() {
    let store = memory();
    let (revisions, first) = open(&store, CONFIG, 0.0);
    assert_eq!((first.revision, &first.values[..]), (1, &[10.0, 1.0, 3.0][..]));
    let all = revisions.all(H1).unwrap();
    assert!(
        matches!(&all[..], [Revision { number: 1, origin: Origin::Configured, by, .. }] if by.is_empty()),
        "{all:?}"
    );
    let (again, first) = open(&store, CONFIG, 1.0);
    assert_eq!((first.revision, numbers(&again)), (1, vec![1]));
}

#[test]
fn a_restart_goes_on_with_what_was_set_and_says_by_whom() {
    let store = memory();
    let (revisions, _) = open(&store, CONFIG, 0.0);
    assert_eq!(revisions.add(H1, at(1.0), "ann", (Origin::Set, &[20.0, 2.0, 3.0]), true).unwrap(), 2);
    let (again, in_force) = open(&store, CONFIG, 2.0);
    assert_eq!((in_force.revision, &in_force.values[..]), (2, &[20.0, 2.0, 3.0][..]));
    let all = again.all(H1).unwrap();
    assert_eq!((all[1].by.as_str(), &all[1].origin), ("ann", &Origin::Set));
    assert!(all[1].model.1.contains("d(T)/dt = (gain*Power - T)/tau"), "the equations are on record");
}

#[test]
fn a_fit_is_kept_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let sled = || -> SharedStore {
        Arc::new(SledStore::open(folder.path(), &twins(CONFIG).series_names(), SledOptions::default()).unwrap())
    };
    let store = sled();
    let (revisions, _) = open(&store, CONFIG, 0.0);
    let report = report();
    assert!(report.standard_errors[2].is_nan() && !report.null_directions.is_empty());
    revisions.add(H1, at(1.0), "", (fitted(), &report.theta), true).unwrap();
    drop((revisions, store));
    let store = sled();
    let (again, in_force) = open(&store, CONFIG, 2.0);
    let basis = in_force.basis.unwrap();
    let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&in_force.values), bits(&report.theta));
    for (kept, made) in [
        (&basis.values, &report.values),
        (&basis.standard_errors, &report.standard_errors),
        (&basis.covariance, &report.covariance),
        (&vec![basis.condition_number, basis.cost], &vec![report.condition_number, report.cost]),
    ] {
        assert_eq!(bits(kept), bits(made));
    }
    let Origin::Fitted(how) = &again.all(H1).unwrap()[1].origin else { panic!("it is a fit") };
    assert_eq!((how.from.as_slice(), how.starts, how.seed), (&[10.0, 1.0, 3.0][..], 3, 1));
}

#[test]
fn what_is_not_put_in_force_waits_for_somebody_to_do_it() {
    let store = memory();
    let (revisions, _) = open(&store, CONFIG, 0.0);
    assert_eq!(revisions.add(H1, at(1.0), "", (Origin::Set, &[20.0, 2.0, 3.0]), false).unwrap(), 2);
    assert_eq!(open(&store, CONFIG, 2.0).1.revision, 1);
    let (revisions, _) = open(&store, CONFIG, 2.0);
    assert_eq!(revisions.activate(H1, at(3.0), "ann", 2).unwrap().values[..], [20.0, 2.0, 3.0]);
    assert_eq!(open(&store, CONFIG, 4.0).1.revision, 2);
    // And back again; no number comes twice.
    let (revisions, _) = open(&store, CONFIG, 4.0);
    assert_eq!(revisions.activate(H1, at(5.0), "ann", 1).unwrap().values[..], [10.0, 1.0, 3.0]);
    let (revisions, in_force) = open(&store, CONFIG, 6.0);
    assert_eq!(in_force.revision, 1);
    assert_eq!(revisions.add(H1, at(7.0), "", (Origin::Set, &[30.0, 2.0, 3.0]), true).unwrap(), 3);
    assert!(matches!(revisions.activate(H1, at(8.0), "", 4), Err(RevisionError::Unknown(4))));
    assert_eq!(open(&store, CONFIG, 9.0).1.revision, 3);
}

#[test]
fn other_values_in_the_config_count_while_it_is_in_force_and_not_over_a_fit() {
    let store = memory();
    open(&store, CONFIG, 0.0);
    let changed = CONFIG.replace("value = 10\n", "value = 12\n");
    let (revisions, in_force) = open(&store, &changed, 1.0);
    assert_eq!((in_force.revision, in_force.values[0]), (2, 12.0));
    revisions.add(H1, at(2.0), "ann", (Origin::Set, &[20.0, 2.0, 3.0]), true).unwrap();
    let (_, in_force) = open(&store, CONFIG, 3.0);
    assert_eq!((in_force.revision, in_force.values[0]), (3, 20.0));
}

#[test]
fn a_changed_model_takes_over_what_still_fits() {
    let store = memory();
    let (revisions, _) = open(&store, CONFIG, 0.0);
    revisions.add(H1, at(1.0), "", (fitted(), &[60.0, 2.0, 5.0]), true).unwrap();
    let changed =
        CONFIG.replace("max = 100\n", "max = 50\n").replace("parameter.idle", "parameter.rest").replace("idle", "rest");
    let (revisions, in_force) = open(&store, &changed, 2.0);
    // tau = 60 is out of bounds now, idle is gone.
    assert_eq!((in_force.revision, &in_force.values[..]), (3, &[10.0, 2.0, 3.0][..]));
    assert!(in_force.basis.is_none(), "the figures are of another model");
    assert_eq!(revisions.all(H1).unwrap()[2].origin, Origin::Carried);
    assert!(matches!(revisions.activate(H1, at(3.0), "", 2), Err(RevisionError::OtherModel(2))));
    assert_eq!(open(&store, &changed, 4.0).1.revision, 3);
}

#[test]
fn a_clock_that_is_set_back_does_not_change_their_order() {
    let store = memory();
    let (revisions, _) = open(&store, CONFIG, 1000.0);
    revisions.add(H1, at(0.0), "", (Origin::Set, &[20.0, 2.0, 3.0]), true).unwrap();
    revisions.add(H1, at(-50.0), "", (Origin::Set, &[30.0, 2.0, 3.0]), true).unwrap();
    let (revisions, in_force) = open(&store, CONFIG, -100.0);
    assert_eq!((in_force.revision, numbers(&revisions)), (3, vec![1, 2, 3]));
}

#[test]
fn damage_costs_its_own_revision_and_no_number() {
    let store = memory();
    let (revisions, _) = open(&store, CONFIG, 0.0);
    revisions.add(H1, at(1.0), "", (Origin::Set, &[20.0, 2.0, 3.0]), true).unwrap();
    let series = twins(CONFIG).series(H1, Facet::Revision);
    store.keep(&[(series, Document { at: at(2.0), body: Vec::new(), is_lost: true })]).unwrap();
    let (revisions, in_force) = open(&store, CONFIG, 3.0);
    assert_eq!((in_force.revision, in_force.values[0]), (2, 20.0));
    assert_eq!(
        revisions.add(H1, at(4.0), "", (Origin::Set, &[30.0, 2.0, 3.0]), true).unwrap(),
        4,
        "3 may have been lost"
    );
}

#[test]
fn pages_of_activations_are_searched_for_the_revision() {
    let store = memory();
    let (revisions, _) = open(&store, CONFIG, 0.0);
    revisions.add(H1, at(1.0), "", (Origin::Set, &[20.0, 2.0, 3.0]), true).unwrap();
    (0..50).for_each(|i| drop(revisions.activate(H1, at(2.0 + f64::from(i)), "", 1 + i as u32 % 2).unwrap()));
    let (_, in_force) = open(&store, CONFIG, 100.0);
    assert_eq!((in_force.revision, in_force.values[0]), (2, 20.0));
}
