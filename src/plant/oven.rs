//! A heated oven of two thermal masses. Equations and constants: see the module `plant`.

use super::{
    devices::{Constant, Levels, Physics, STEP_S, Signal, Unit, rk4},
    sensor::Random,
};

/// True constants of an oven.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OvenTruth {
    /// Heat capacity of the heater and its body.
    pub c1_j_per_k: f64,
    /// Heat capacity of the chamber and its load.
    pub c2_j_per_k: f64,
    /// Heat conductance from the heater to the chamber.
    pub k12_w_per_k: f64,
    /// Heat conductance from the chamber to the surroundings, when new.
    pub k2_w_per_k: f64,
}

const WATT: Unit = Unit("WTT", "W");
const CELSIUS: Unit = Unit("CEL", "°C");
const JOULE_PER_KELVIN: Unit = Unit("JE", "J/K");
const WATT_PER_KELVIN: Unit = Unit("D52", "W/K");

const INPUT: Signal = Signal {
    name: "HeaterPower",
    unit: WATT,
    low: 0.0,
    high: 2000.0,
    sigma: 0.0,
    quantum: 0.0,
    main: false,
    description: "Electrical power of the heater. Writable: a write switches Auto off and the value then holds.",
};
const SIGNALS: [Signal; 3] = [
    Signal {
        name: "Temperature",
        unit: CELSIUS,
        low: 0.0,
        high: 250.0,
        sigma: 0.2,
        quantum: 0.05,
        main: true,
        description: "Temperature of the chamber.",
    },
    Signal {
        name: "HeaterTemperature",
        unit: CELSIUS,
        low: 0.0,
        high: 400.0,
        sigma: 0.5,
        quantum: 0.1,
        main: false,
        description: "Temperature of the heater's body.",
    },
    Signal {
        name: "Ambient",
        unit: CELSIUS,
        low: -20.0,
        high: 60.0,
        sigma: 0.02,
        quantum: 0.01,
        main: false,
        description: "Temperature of the surroundings: follows the day, and wanders.",
    },
];
const CONSTANTS: [Constant; 4] = [
    Constant { name: "C1", unit: JOULE_PER_KELVIN, description: "Heat capacity of the heater's body." },
    Constant { name: "C2", unit: JOULE_PER_KELVIN, description: "Heat capacity of the chamber." },
    Constant { name: "K12", unit: WATT_PER_KELVIN, description: "Heat conductance from heater to chamber." },
    Constant { name: "K2", unit: WATT_PER_KELVIN, description: "Heat loss to the surroundings; grows with Ageing." },
];

/// The wandering of the ambient: standard deviation and correlation time.
const WANDER_K: f64 = 0.3;
const WANDER_S: f64 = 600.0;

/// The state of an oven.
pub(super) struct Oven {
    truth: OvenTruth,
    /// Heater, chamber.
    temperature_c: [f64; 2],
    ambient_c: f64,
    wander_k: f64,
}

impl Oven {
    pub(super) fn new(truth: OvenTruth) -> Self {
        Self { truth, temperature_c: [22.0, 22.0], ambient_c: 20.0, wander_k: 0.0 }
    }

    fn k2(&self, ageing: f64) -> f64 {
        self.truth.k2_w_per_k * (1.0 + 0.6 * ageing)
    }
}

impl Physics for Oven {
    fn input(&self) -> &'static Signal {
        &INPUT
    }

    fn signals(&self) -> &'static [Signal] {
        &SIGNALS
    }

    fn constants(&self) -> &'static [Constant] {
        &CONSTANTS
    }

    fn truth(&self, ageing: f64) -> Vec<f64> {
        vec![self.truth.c1_j_per_k, self.truth.c2_j_per_k, self.truth.k12_w_per_k, self.k2(ageing)]
    }

    fn programme(&self) -> Levels {
        Levels { low: 0.0, high: 1500.0, step: 100.0, hold_min_s: 120.0, hold_max_s: 420.0 }
    }

    fn step(&mut self, power_w: f64, ageing: f64, until_s: f64, random: &mut Random) {
        // An Ornstein-Uhlenbeck process with stationary deviation WANDER_K, to first order in the step.
        self.wander_k +=
            -self.wander_k * STEP_S / WANDER_S + WANDER_K * (2.0 * STEP_S / WANDER_S).sqrt() * random.gaussian();
        self.ambient_c = 20.0 + 3.0 * (std::f64::consts::TAU * until_s / 86_400.0).sin() + self.wander_k;
        let OvenTruth { c1_j_per_k: c1, c2_j_per_k: c2, k12_w_per_k: k12, .. } = self.truth;
        let (k2, ambient_c) = (self.k2(ageing), self.ambient_c);
        self.temperature_c = rk4(self.temperature_c, STEP_S, |&[heater, chamber]| {
            let through_w = k12 * (heater - chamber);
            [(power_w - through_w) / c1, (through_w - k2 * (chamber - ambient_c)) / c2]
        });
    }

    fn outputs(&self, _power_w: f64, _ageing: f64) -> Vec<f64> {
        vec![self.temperature_c[1], self.temperature_c[0], self.ambient_c]
    }
}
