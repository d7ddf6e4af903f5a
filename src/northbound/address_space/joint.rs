//! A twin's correlation matrix, and how unusual its values are together, as values.

use opcua::types::{Array, Variant, VariantScalarTypeId};

use super::{figures, node::Joint, values::Figure};
use crate::{
    sample::StatusCode,
    statistics::correlation::{Coefficient, Unusual},
    time::Timestamp,
    twin::{Facet, TwinLive, TwinType},
};

/// One figure over the window. No better than the worst of the variables it is of; Bad where no row is in the window.
pub(super) fn figure(live: &TwinLive, twin_type: &TwinType, member: Joint, now: Timestamp) -> Figure {
    let (Some(joint), Some(of)) = (&live.joint, &twin_type.correlate) else {
        return Figure::bad(StatusCode::BadNoData);
    };
    let matrix = |element: fn(&Coefficient) -> f64| {
        let matrix = joint.matrix(of.method, now)?;
        Some(figures::matrix(&matrix.elements.iter().map(element).collect::<Vec<_>>()))
    };
    let unusual = |number: fn(&Unusual) -> f64| {
        let number = number(&joint.unusual(now)?);
        number.is_finite().then_some(Variant::Double(number))
    };
    let value = match member {
        Joint::CorrelationVariables => {
            let name = |v: &usize| twin_type.variables[*v].name.clone();
            return Figure::good(of.variables.iter().map(name).collect::<Vec<_>>());
        }
        Joint::CorrelationMethod => return Figure::good(of.method.as_str()),
        Joint::Correlation => matrix(|of| of.coefficient),
        Joint::CorrelationPValue => matrix(|of| of.p_value),
        Joint::CorrelationLag => joint.lags(now).map(|lags| figures::matrix(&lags)),
        Joint::CorrelationCount => joint.matrix(of.method, now).map(|matrix| counts(&matrix.elements)),
        Joint::HotellingT2 => unusual(|of| of.t2),
        Joint::HotellingT2Limit => unusual(|of| of.t2_limit),
        Joint::Spe => unusual(|of| of.spe),
        Joint::SpeLimit => unusual(|of| of.spe_limit),
    };
    let is_good = of.variables.iter().all(|v| live.sample(twin_type, Facet::Variable(*v)).status.is_good());
    match value {
        Some(value) => {
            Figure { value, status: if is_good { StatusCode::Good } else { StatusCode::UncertainSubNormal } }
        }
        None => Figure::bad(StatusCode::BadNoData),
    }
}

fn counts(elements: &[Coefficient]) -> Variant {
    let side = u32::try_from(elements.len().isqrt()).unwrap_or(u32::MAX);
    let count = |of: &Coefficient| Variant::UInt32(u32::try_from(of.count).unwrap_or(u32::MAX));
    let counts: Vec<Variant> = elements.iter().map(count).collect();
    Array::new_multi(VariantScalarTypeId::UInt32, counts, vec![side, side])
        .map_or(Variant::Empty, |array| Variant::Array(Box::new(array)))
}
