//! The integrator that a simulation sees: an explicit method, an implicit one, and when the second takes over.

use super::control::{Control, Field, PAST_WEIGHT_STIFF, Run, Step};
use super::dopri5::{Dopri5, End, Watch};
use super::radau5::Radau5;
use super::{Method, SimulationError};

/// Working memory of one simulation after another.
#[derive(Clone, Debug, Default)]
pub(super) struct Solver {
    control: Control,
    explicit: Dopri5,
    implicit: Radau5,
    /// From when on the implicit method integrates.
    implicit_from_s: Option<f64>,
    /// Whether the implicit method has been reset for this simulation.
    prepared: bool,
    work: Vec<f64>,
}

impl Solver {
    /// Begins a simulation: `width` numbers for each component of y, `atol` of each number.
    pub(super) fn reset(&mut self, width: usize, atol: impl Iterator<Item = f64>, y: &[f64]) {
        self.control.reset(width, atol, y);
        self.explicit.reset(y.len());
        self.implicit_from_s = None;
        self.prepared = false;
    }

    /// The field has changed (an input jumped): its value at the last point is no longer known.
    pub(super) fn field_changed(&mut self) {
        self.explicit.field_changed();
        self.implicit.field_changed();
    }

    /// From when on the implicit method integrated; none: it was not needed.
    pub(super) fn implicit_from_s(&self) -> Option<f64> {
        self.implicit_from_s
    }

    /// Steps tried, and of these refused.
    pub(super) fn steps(&self) -> (usize, usize) {
        (self.control.steps, self.control.rejected)
    }

    /// Integrates y over a segment on which `field` is smooth; `on_step` sees every accepted step.
    pub(super) fn integrate<F: Field>(
        &mut self,
        field: &mut F,
        (start, end): (f64, f64),
        y: &mut [f64],
        run: &Run<'_>,
        on_step: &mut dyn FnMut(&mut F, &dyn Step),
    ) -> Result<(), SimulationError> {
        let mut from = start;
        if self.implicit_from_s.is_none() && run.options.method != Method::Radau5 {
            // Counted anew from each knot: where knots are close, the explicit method is the cheaper one.
            let watch = (run.options.method == Method::Auto).then(Watch::default);
            let control = &mut self.control;
            match self.explicit.integrate(control, field, (start, end), y, (run, watch), on_step)? {
                End::Reached => return Ok(()),
                End::Stiff(at) => from = at,
            }
        }
        if !self.prepared {
            self.implicit.reset(y.len(), self.control.width);
            self.implicit_from_s = Some(from);
            self.control.past_weight = PAST_WEIGHT_STIFF;
            self.prepared = true;
        }
        self.implicit.integrate(&mut self.control, field, (from, end), y, run, on_step)
    }

    /// As [`Solver::integrate`]; after an error y is as it was.
    pub(super) fn integrate_copy<F: Field>(
        &mut self,
        field: &mut F,
        span: (f64, f64),
        y: &mut [f64],
        run: &Run<'_>,
    ) -> Result<(), SimulationError> {
        let mut work = std::mem::take(&mut self.work);
        work.clear();
        work.extend_from_slice(y);
        let done = self.integrate(field, span, &mut work, run, &mut |_, _| {});
        if done.is_ok() {
            y.copy_from_slice(&work);
        }
        self.work = work;
        done
    }
}
