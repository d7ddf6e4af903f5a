//! Variables that follow from others of their twin by an expression. One rule, for the present and for history: whenever an input has
//! another sample, the variable has one too,
//! - at the newest SourceTimestamp of its inputs (ServerTimestamps likewise),
//! - as good as the worst of them: of a Bad one it has the status and no value,
//! - Bad_OutOfRange and without a value where the expression gives no finite number (a division by zero).
//!
//! Nothing follows until each input has had a sample, and a Bad status is said once, not with each sample that brings it again. Of inputs that change at
//! one instant the variable has one sample, after all of them, however many steps lie between.

use std::collections::{BTreeSet, HashMap};

use super::{DataType, Variable};
use crate::{
    model::Expression,
    sample::{Sample, StatusCode, Value, worse},
    time::Timestamp,
};

/// Where a variable's values come from that has no source.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// Over the inputs, in their order.
    pub expr: Expression,
    /// By index into the type's variables; one at least.
    pub inputs: Vec<usize>,
}

/// The derived variables of a type in the order in which they follow from each other.
#[derive(Clone, Debug, Default)]
pub struct Derivation {
    /// Inputs before what follows from them.
    order: Vec<usize>,
    /// By variable: places in `order` of what follows from it directly.
    followers: HashMap<usize, Vec<usize>>,
}

impl Derivation {
    /// Finds the order.
    ///
    /// # Errors
    /// Variables that follow from themselves, each from the next and the last from the first.
    pub fn new(variables: &[Variable]) -> Result<Self, Vec<usize>> {
        let derived = |v: usize| variables[v].derived.as_ref();
        let mut waits: HashMap<usize, usize> = HashMap::new();
        let mut followers: HashMap<usize, Vec<usize>> = HashMap::new();
        for (v, of) in (0..variables.len()).filter_map(|v| Some((v, derived(v)?))) {
            waits.insert(v, of.inputs.iter().filter(|input| derived(**input).is_some()).count());
            of.inputs.iter().for_each(|input| followers.entry(*input).or_default().push(v));
        }
        let mut order: Vec<usize> = (0..variables.len()).filter(|v| waits.get(v) == Some(&0)).collect();
        let mut next = 0;
        while let Some(v) = order.get(next).copied() {
            next += 1;
            for follower in followers.get(&v).into_iter().flatten() {
                let left = waits.entry(*follower).or_default();
                *left = left.saturating_sub(1);
                if *left == 0 {
                    order.push(*follower);
                }
            }
        }
        if order.len() < waits.len() {
            return Err(cycle(variables, &order));
        }
        let places: HashMap<usize, usize> = order.iter().enumerate().map(|(place, v)| (*v, place)).collect();
        followers.values_mut().flatten().for_each(|v| *v = places[v]);
        Ok(Self { order, followers })
    }

    /// Whether nothing is derived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The derived variables, inputs before what follows from them.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// What is not derived itself and something follows from.
    pub fn roots<'a>(&'a self, variables: &'a [Variable]) -> impl Iterator<Item = usize> + 'a {
        (0..variables.len()).filter(|v| self.is_root(variables, *v))
    }

    /// Whether something follows from the variable, which is not derived itself.
    #[must_use]
    pub fn is_root(&self, variables: &[Variable], v: usize) -> bool {
        variables[v].derived.is_none() && self.followers.contains_key(&v)
    }
}

/// Goes from one that has no place in the order to an input of its that has none, until it has been there.
fn cycle(variables: &[Variable], order: &[usize]) -> Vec<usize> {
    let ordered: BTreeSet<usize> = order.iter().copied().collect();
    let inputs = |v: usize| variables[v].derived.as_ref().map_or(&[][..], |derived| derived.inputs.as_slice());
    let stuck = |v: &usize| variables[*v].derived.is_some() && !ordered.contains(v);
    let mut way: Vec<usize> = (0..variables.len()).find(stuck).into_iter().collect();
    while let Some(next) = way.last().and_then(|v| inputs(*v).iter().copied().find(stuck)) {
        if let Some(begin) = way.iter().position(|v| *v == next) {
            return way.split_off(begin);
        }
        way.push(next);
    }
    way
}

/// The latest sample of each input of a twin's derived variables, and of these.
#[derive(Clone, Debug, Default)]
pub struct Latest(HashMap<usize, Sample>);

impl Latest {
    /// What an input holds, without anything following from it.
    pub fn hold(&mut self, variable: usize, sample: Sample) {
        self.0.insert(variable, sample);
    }

    /// The newest SourceTimestamp of all.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.0.values().map(|sample| sample.source_timestamp).max()
    }

    /// Takes in what changes at one instant; gives what follows, by variable, inputs first.
    pub fn follow(
        &mut self,
        of: &Derivation,
        variables: &[Variable],
        changed: impl IntoIterator<Item = (usize, Sample)>,
        received: Timestamp,
    ) -> Vec<(usize, Sample)> {
        let mut due = BTreeSet::new();
        for (v, sample) in changed {
            due.extend(of.followers.get(&v).into_iter().flatten().copied());
            self.hold(v, sample);
        }
        let mut followed = Vec::new();
        while let Some(place) = due.pop_first() {
            let v = of.order[place];
            let Some(sample) = self.sample(&variables[v], received) else { continue };
            let is_said = self.0.get(&v).is_some_and(|last| last.status.is_bad() && last.status == sample.status);
            if is_said {
                continue;
            }
            due.extend(of.followers.get(&v).into_iter().flatten().copied());
            self.hold(v, sample.clone());
            followed.push((v, sample));
        }
        followed
    }

    /// `None`: an input has had no sample yet.
    fn sample(&self, variable: &Variable, received: Timestamp) -> Option<Sample> {
        /// Info bits are of one sample's own (OPC 10000-4 §7.39).
        const CODE: u32 = 0xFFFF_0000;
        let derived = variable.derived.as_ref()?;
        let inputs: Vec<&Sample> = derived.inputs.iter().map(|input| self.0.get(input)).collect::<Option<_>>()?;
        let worst = inputs.iter().map(|input| input.status).fold(StatusCode::Good, worse);
        let newest = |time: fn(&Sample) -> Timestamp| inputs.iter().map(|input| time(input)).max();
        let server_timestamp = newest(|input| input.server_timestamp).filter(|time| !time.is_null());
        let stamped = |status: StatusCode, value: Value| Sample {
            source_timestamp: newest(|input| input.source_timestamp).unwrap_or(received),
            server_timestamp: server_timestamp.unwrap_or(received),
            status,
            value,
        };
        if worst.is_bad() {
            return Some(stamped(StatusCode::from(worst.bits() & CODE), Value::Null));
        }
        let values: Vec<f64> = inputs.iter().map(|input| input.usable().unwrap_or(f64::NAN)).collect();
        let y = derived.expr.eval(&values);
        if !y.is_finite() {
            return Some(stamped(StatusCode::BadOutOfRange, Value::Null));
        }
        let value = if variable.data_type == DataType::Boolean { Value::Boolean(y != 0.0) } else { Value::Double(y) };
        Some(variable.fitted(stamped(StatusCode::from(worst.bits() & CODE), value)))
    }
}
