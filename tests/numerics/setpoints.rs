//! Set-points against what a first-order process has in closed form, and the promise that none breaks a bound.

use proptest::prelude::*;
use uatwin::{
    model::{Delay, Hold, Init, InputSource, Model, ModelSource},
    optimize::{Keep, Kept, Move, OptimizeError, SetPoints, Task, set_points},
    simulate::{Options, Signal},
};

use crate::support::{NEVER, compile, equation, fixed, input, output, parameter, state};

const TAU: f64 = 40.0;
const SIGMA: f64 = 0.5;

/// dx/dt = (u + 2·v − x)/tau, measured as x.
fn lag() -> Model {
    compile(&ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        parameters: vec![parameter("tau", TAU, 1.0, 1000.0, true)],
        inputs: vec![input("u", Hold::Previous), input("v", Hold::Previous)],
        equations: vec![equation("x", "(u + 2*v - x)/tau")],
        outputs: vec![output("y", "x", SIGMA)],
        ..ModelSource::default()
    })
}

fn may(input: usize, min: f64, max: f64, max_change: f64, cost: f64) -> Move {
    Move { input, min, max, max_change, cost, whole: false }
}

fn held(values: &[f64]) -> Vec<Signal> {
    values.iter().map(|u| Signal { times: vec![0.0], values: vec![*u], ..Signal::default() }).collect()
}

struct Case<'a> {
    model: &'a Model,
    theta: &'a [f64],
    x: &'a [f64],
    inputs: &'a [f64],
    moves: &'a [Move],
    keeps: &'a [Keep],
}

impl Case<'_> {
    fn solve(&self, target: f64, horizon_s: f64) -> Result<SetPoints, OptimizeError> {
        let present: Vec<f64> = self.moves.iter().map(|by| self.inputs[by.input]).collect();
        let task = Task {
            model: self.model,
            theta: self.theta,
            x: self.x,
            start_s: 100.0,
            horizon_s,
            inputs: &held(self.inputs),
            output: 0,
            target,
            moves: self.moves,
            present: &present,
            keeps: self.keeps,
        };
        set_points(&task, &Options::default(), &NEVER)
    }
}

/// The lag with u and v as given, v fixed.
fn solve_lag(x: f64, u: f64, moves: &[Move], keeps: &[Keep], target: f64, horizon: f64) -> SetPoints {
    let model = lag();
    Case { model: &model, theta: &[TAU], x: &[x], inputs: &[u, 3.0], moves, keeps }.solve(target, horizon).unwrap()
}

fn close(found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() <= within, "{found}, expected {expected}");
}

#[test]
fn a_target_within_reach_is_met() {
    let found = solve_lag(5.0, 4.0, &[may(0, 0.0, 100.0, f64::INFINITY, 0.0)], &[], 20.0, 60.0);
    let fading = f64::exp(-60.0 / TAU);
    close(found.values[0], (20.0 - 5.0 * fading) / (1.0 - fading) - 6.0, 1e-3);
    close(found.predicted, 20.0, 1e-3);
    close(found.unmoved, 10.0 + (5.0 - 10.0) * fading, 1e-5);
    assert!(found.has_effect && found.broken.is_empty() && found.cost < 1e-5, "{found:?}");
}

/// min ((a + b·u − T)/σ)² + c·|u − u₀| has u = u* ∓ c·σ²/(2b²), and stays at u₀ where that would go past it.
#[test]
fn moving_has_its_price() {
    let fading = f64::exp(-60.0 / TAU);
    let (b, free) = (1.0 - fading, (20.0 - 5.0 * fading) / (1.0 - fading) - 6.0);
    for cost in [0.1, 10.0, 30.0, 200.0] {
        let found = solve_lag(5.0, 4.0, &[may(0, 0.0, 100.0, f64::INFINITY, cost)], &[], 20.0, 60.0);
        let expected = (free - cost * SIGMA * SIGMA / (2.0 * b * b)).max(4.0);
        close(found.values[0], expected, 2e-3);
    }
}

#[test]
fn bounds_and_the_largest_change_hold() {
    let close_to = |by: Move, expected: f64| {
        let found = solve_lag(5.0, 4.0, &[by], &[], 50.0, 60.0);
        close(found.values[0], expected, 1e-6);
        assert!(found.broken.is_empty() && found.predicted < 50.0, "{found:?}");
    };
    close_to(may(0, 0.0, 30.0, f64::INFINITY, 0.0), 30.0);
    close_to(may(0, 0.0, 100.0, 2.5, 0.0), 6.5);
}

#[test]
fn of_two_inputs_the_cheaper_for_its_effect_is_moved() {
    // v works twice as well as u: at the same price it is moved, at four times the price u is.
    for (price_of_v, moved, left) in [(1.0, 1, 0), (4.0, 0, 1)] {
        let moves = [may(0, 0.0, 100.0, f64::INFINITY, 1.0), may(1, 0.0, 100.0, f64::INFINITY, price_of_v)];
        let found = solve_lag(5.0, 4.0, &moves, &[], 20.0, 60.0);
        let present = [4.0, 3.0];
        assert!(found.values[left] == present[left], "{found:?}");
        assert!(found.values[moved] - present[moved] > 3.0, "{found:?}");
        close(found.predicted, 20.0, 0.5);
    }
}

/// x'' + 2·0.2·x' + x = u overshoots: x(t) for a step from rest peaks at u·(1 + e^(−πζ/√(1−ζ²))).
#[test]
fn a_bound_on_the_way_holds_though_the_target_would_not_break_it() {
    let model = compile(&ModelSource {
        states: vec![state("x", Init::Number(0.0)), state("w", Init::Number(0.0))],
        parameters: vec![fixed("zeta", 0.2)],
        inputs: vec![input("u", Hold::Previous)],
        equations: vec![equation("x", "w"), equation("w", "u - x - 2*zeta*w")],
        outputs: vec![output("y", "x", SIGMA)],
        ..ModelSource::default()
    });
    let overshoot = 1.0 + f64::exp(-std::f64::consts::PI * 0.2 / (1.0_f64 - 0.04).sqrt());
    let moves = [may(0, 0.0, 10.0, f64::INFINITY, 0.0)];
    for of in [Kept::State(0), Kept::Output(0)] {
        let keeps = [Keep { of, min: f64::NEG_INFINITY, max: 6.0 }];
        let case = Case { model: &model, theta: &[0.2], x: &[0.0, 0.0], inputs: &[0.0], moves: &moves, keeps: &keeps };
        let found = case.solve(5.0, 60.0).unwrap();
        // 200 points in 60 s: the peak lies between two of them.
        close(found.values[0], 6.0 / overshoot, 0.02);
        assert!(found.broken.is_empty(), "{found:?}");
        let free = Case { keeps: &[], ..case }.solve(5.0, 60.0).unwrap();
        close(free.values[0], 5.0, 0.01);
    }
}

#[test]
fn where_nothing_keeps_the_bounds_nothing_moves_and_they_are_named() {
    // v = 3 alone brings x to 6 or more; it must stay below 4.
    let keeps = [Keep { of: Kept::State(0), min: f64::NEG_INFINITY, max: 4.0 }];
    let found = solve_lag(3.0, 1.0, &[may(0, 0.0, 100.0, f64::INFINITY, 0.0)], &keeps, 3.5, 200.0);
    assert_eq!((found.values, found.broken.len(), found.broken[0].keep), (vec![1.0], 1, 0));
    // With the least that can be set it goes to 6 − 3·e^(−5).
    close(found.broken[0].value, 6.0 - 3.0 * f64::exp(-200.0 / TAU), 0.01);
}

#[test]
fn what_is_beyond_its_bound_already_is_brought_back() {
    let keeps = [Keep { of: Kept::State(0), min: f64::NEG_INFINITY, max: 20.0 }];
    let moves = [may(0, 0.0, 100.0, f64::INFINITY, 0.0)];
    let found = solve_lag(25.0, 16.0, &moves, &keeps, 30.0, 120.0);
    assert!(found.broken.is_empty(), "{found:?}");
    close(found.predicted, 20.0, 1e-2);
    // So far above that it cannot be back in time.
    let found = solve_lag(500.0, 16.0, &moves, &keeps, 30.0, 60.0);
    assert_eq!((found.values, found.broken.len()), (vec![16.0], 1));
}

#[test]
fn an_input_without_effect_in_time_stays_and_that_is_said() {
    let delayed = compile(&ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        inputs: vec![InputSource { delay: Delay::Number(90.0), ..input("u", Hold::Previous) }],
        equations: vec![equation("x", "(u - x)/40")],
        outputs: vec![output("y", "x", SIGMA)],
        ..ModelSource::default()
    });
    let moves = [may(0, 0.0, 100.0, f64::INFINITY, 0.001)];
    let case = Case { model: &delayed, theta: &[], x: &[1.0], inputs: &[2.0], moves: &moves, keeps: &[] };
    let found = case.solve(50.0, 80.0).unwrap();
    assert!(!found.has_effect && found.values == [2.0], "{found:?}");
    let found = case.solve(50.0, 200.0).unwrap();
    assert!(found.has_effect && found.values[0] > 40.0, "{found:?}");
}

/// The present value lies where the actuator is saturated: a search that only follows a slope stays there.
#[test]
fn a_search_gets_off_a_flat_stretch() {
    let model = compile(&ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        inputs: vec![input("u", Hold::Previous)],
        equations: vec![equation("x", "(clamp(u, 20, 60) - x)/40")],
        outputs: vec![output("y", "x", SIGMA)],
        ..ModelSource::default()
    });
    let moves = [may(0, 0.0, 1000.0, f64::INFINITY, 0.0)];
    let case = Case { model: &model, theta: &[], x: &[60.0], inputs: &[900.0], moves: &moves, keeps: &[] };
    let found = case.solve(40.0, 400.0).unwrap();
    close(found.predicted, 40.0, 0.01);
}

#[test]
fn a_register_gets_whole_numbers() {
    let by = Move { whole: true, ..may(0, 0.0, 100.0, f64::INFINITY, 0.0) };
    let found = solve_lag(5.0, 4.0, &[by], &[], 20.0, 60.0);
    let fading = f64::exp(-60.0 / TAU);
    assert_eq!(found.values[0], ((20.0 - 5.0 * fading) / (1.0 - fading) - 6.0).round());
}

#[test]
fn an_input_that_stands_too_far_outside_its_bounds_is_an_error() {
    let model = lag();
    let moves = [may(0, 50.0, 100.0, 5.0, 0.0)];
    let case = Case { model: &model, theta: &[TAU], x: &[5.0], inputs: &[4.0, 3.0], moves: &moves, keeps: &[] };
    assert_eq!(case.solve(20.0, 60.0), Err(OptimizeError::OutOfReach { input: 0, present: 4.0 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is asked: the answer lies within reach, keeps what must be kept by the closed form, and no value of a fine
    /// grid that does so is better.
    #[test]
    fn no_answer_breaks_a_bound_and_none_is_beaten(
        x in -20.0..60.0_f64, u in 0.0..50.0_f64, target in -50.0..120.0_f64, horizon in 5.0..300.0_f64,
        max_change in 1.0..60.0_f64, cost in 0.0..5.0_f64, top in 0.0..80.0_f64,
    ) {
        let keeps = [Keep { of: Kept::Output(0), min: f64::NEG_INFINITY, max: top }];
        let found = solve_lag(x, u, &[may(0, 0.0, 50.0, max_change, cost)], &keeps, target, horizon);
        let fading = f64::exp(-horizon / TAU);
        let end = |u: f64| (u + 6.0) + (x - (u + 6.0)) * fading;
        let objective = |u0: f64| ((end(u0) - target) / SIGMA).powi(2) + cost * (u0 - u).abs();
        // Monotone: the highest point is the start or the end, and the start counts only as far as it is beyond already.
        let keeps_top = |u0: f64| end(u0) <= top + 1e-6;
        let (low, high) = ((u - max_change).max(0.0), (u + max_change).min(50.0));
        let grid = (0..=400).map(|i| low + (high - low) * f64::from(i) / 400.0);
        if found.broken.is_empty() {
            let set = found.values[0];
            prop_assert!((low - 1e-9..=high + 1e-9).contains(&set) && keeps_top(set), "{:?}", found);
            let best = grid.filter(|u0| end(*u0) <= top - 1e-6).map(objective).fold(f64::INFINITY, f64::min);
            // The simulation keeps 1e-7 of a value, of which the cost has the 2·|off|/σ² -fold.
            prop_assert!(found.cost <= best * (1.0 + 1e-5) + 1e-4, "{} is beaten by {best}: {found:?}", found.cost);
        } else {
            prop_assert_eq!(found.values[0], u);
            for u0 in grid {
                prop_assert!(end(u0) > top - 1e-6, "{u0} would have kept it: {found:?}");
            }
        }
    }
}
