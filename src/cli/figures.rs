//! How well a simulation goes with what was measured: the figures of a fit, for parameters that were not fitted to these data.

use crate::model::{Loss, Model, OutputSource};

/// Of one output, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Measurements compared.
    pub(super) samples: usize,
    /// Root mean square of y − ŷ: in the output's unit; of several outputs together scaled by their σ.
    pub(super) rmse: f64,
    /// 1 − Σ(y−ŷ)²/Σ(y−ȳ)².
    pub(super) r_squared: f64,
    /// 100·(1 − ‖y−ŷ‖/‖y−ȳ‖).
    pub(super) fit_percent: f64,
}

/// Of every output, of all together, and Σ ρ.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Comparison {
    pub(super) outputs: Vec<Figures>,
    pub(super) total: Figures,
    pub(super) cost: f64,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    samples: usize,
    residuals: f64,
    deviations: f64,
    cost: f64,
}

impl Sums {
    fn figures(self) -> Figures {
        let ratio = self.residuals / self.deviations;
        Figures {
            samples: self.samples,
            rmse: (self.residuals / self.samples as f64).sqrt(),
            r_squared: 1.0 - ratio,
            fit_percent: 100.0 * (1.0 - ratio.sqrt()),
        }
    }
}

/// Compares row by row; a NaN is no measurement, `None` an output without any.
pub(super) fn compare(model: &Model, measured: &[Option<Vec<f64>>], simulated: &[Vec<f64>]) -> Comparison {
    let none = Vec::new();
    let of = |((output, measured), simulated): ((&OutputSource, &Option<Vec<f64>>), &Vec<f64>)| {
        sums(output, measured.as_ref().unwrap_or(&none), simulated)
    };
    let all: Vec<Sums> = model.outputs().iter().zip(measured).zip(simulated).map(of).collect();
    let several = all.iter().filter(|sums| sums.samples > 0).count() > 1;
    let mut total = Sums::default();
    for (sums, output) in all.iter().zip(model.outputs()) {
        // Of several outputs each counts by its σ.
        let by = if several { output.sigma * output.sigma } else { 1.0 };
        total.samples += sums.samples;
        total.residuals += sums.residuals / by;
        total.deviations += sums.deviations / by;
        total.cost += sums.cost;
    }
    Comparison { outputs: all.into_iter().map(Sums::figures).collect(), total: total.figures(), cost: total.cost }
}

fn sums(output: &OutputSource, measured: &[f64], simulated: &[f64]) -> Sums {
    let pairs = || measured.iter().zip(simulated).filter(|(measured, _)| !measured.is_nan());
    let samples = pairs().count();
    let mean = pairs().map(|(measured, _)| measured).sum::<f64>() / samples as f64;
    let mut sums = Sums { samples, ..Sums::default() };
    for (measured, simulated) in pairs() {
        let residual = measured - simulated;
        sums.residuals += residual * residual;
        sums.deviations += (measured - mean).powi(2);
        sums.cost += cost(output.loss, (residual / output.sigma).powi(2));
    }
    sums
}

/// ρ(z), as [`Loss`] says it.
fn cost(loss: Loss, z: f64) -> f64 {
    match loss {
        Loss::Huber if z > 1.0 => 2.0 * z.sqrt() - 1.0,
        Loss::Squares | Loss::Huber => z,
        Loss::SoftL1 => 2.0 * ((1.0 + z).sqrt() - 1.0),
    }
}
