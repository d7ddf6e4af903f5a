//! Two tanks in cascade, filled by a pump. Equations and constants: see the module `plant`.

use super::{
    devices::{Constant, Levels, Physics, STEP_S, Signal, Unit, rk4},
    sensor::Random,
};

/// True constants of a pair of tanks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TanksTruth {
    /// Cross-section of the upper tank, cm².
    pub a1_cm2: f64,
    /// Cross-section of the lower tank, cm².
    pub a2_cm2: f64,
    /// Outlet of the upper tank, cm^2.5/s.
    pub k1: f64,
    /// Outlet of the lower tank when new, cm^2.5/s.
    pub k2: f64,
    /// What the pump delivers per per cent of its speed.
    pub kp_cm3_per_s_pct: f64,
    /// The brim of both tanks.
    pub h_max_cm: f64,
}

const PERCENT: Unit = Unit("P1", "%");
const CENTIMETRE: Unit = Unit("CMT", "cm");
const SQUARE_CENTIMETRE: Unit = Unit("CMK", "cm²");
const CUBIC_CENTIMETRE_PER_SECOND: Unit = Unit("2J", "cm³/s");
const OUTLET: Unit = Unit("", "cm^2.5/s");
const PUMP_GAIN: Unit = Unit("", "cm³/(s·%)");

const INPUT: Signal = Signal {
    name: "PumpSpeed",
    unit: PERCENT,
    low: 0.0,
    high: 100.0,
    sigma: 0.0,
    quantum: 0.0,
    main: false,
    description: "Speed of the pump. Writable: a write switches Auto off and the value then holds.",
};
const SIGNALS: [Signal; 3] = [
    Signal {
        name: "Level1",
        unit: CENTIMETRE,
        low: 0.0,
        high: 60.0,
        sigma: 0.1,
        quantum: 0.02,
        main: false,
        description: "Level of the upper tank.",
    },
    Signal {
        name: "Level2",
        unit: CENTIMETRE,
        low: 0.0,
        high: 60.0,
        sigma: 0.1,
        quantum: 0.02,
        main: true,
        description: "Level of the lower tank.",
    },
    Signal {
        name: "Inflow",
        unit: CUBIC_CENTIMETRE_PER_SECOND,
        low: 0.0,
        high: 250.0,
        sigma: 0.5,
        quantum: 0.1,
        main: false,
        description: "Flow from the pump into the upper tank.",
    },
];
const CONSTANTS: [Constant; 6] = [
    Constant { name: "A1", unit: SQUARE_CENTIMETRE, description: "Cross-section of the upper tank." },
    Constant { name: "A2", unit: SQUARE_CENTIMETRE, description: "Cross-section of the lower tank." },
    Constant { name: "K1", unit: OUTLET, description: "Outlet of the upper tank: flow = K1·√Level1." },
    Constant {
        name: "K2",
        unit: OUTLET,
        description: "Outlet of the lower tank: flow = K2·√Level2; clogs with Ageing.",
    },
    Constant { name: "Kp", unit: PUMP_GAIN, description: "Pump: Inflow = Kp·PumpSpeed." },
    Constant { name: "HMax", unit: CENTIMETRE, description: "The brim: what comes in above it is lost." },
];

/// The state of a pair of tanks.
pub(super) struct Tanks {
    truth: TanksTruth,
    level_cm: [f64; 2],
    overflows: [bool; 2],
}

impl Tanks {
    pub(super) fn new(truth: TanksTruth) -> Self {
        Self { truth, level_cm: [5.0, 5.0], overflows: [false; 2] }
    }

    fn k2(&self, ageing: f64) -> f64 {
        self.truth.k2 * (1.0 - 0.3 * ageing)
    }
}

impl Physics for Tanks {
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
        let t = &self.truth;
        vec![t.a1_cm2, t.a2_cm2, t.k1, self.k2(ageing), t.kp_cm3_per_s_pct, t.h_max_cm]
    }

    fn programme(&self) -> Levels {
        Levels { low: 15.0, high: 60.0, step: 5.0, hold_min_s: 90.0, hold_max_s: 300.0 }
    }

    fn step(&mut self, speed_pct: f64, ageing: f64, _until_s: f64, _random: &mut Random) {
        let TanksTruth { a1_cm2, a2_cm2, k1, kp_cm3_per_s_pct, h_max_cm, .. } = self.truth;
        let k2 = self.k2(ageing);
        let inflow = kp_cm3_per_s_pct * speed_pct;
        let moved = rk4(self.level_cm, STEP_S, |&[h1, h2]| {
            let (out1, out2) = (k1 * h1.max(0.0).sqrt(), k2 * h2.max(0.0).sqrt());
            [(inflow - out1) / a1_cm2, (out1 - out2) / a2_cm2]
        });
        // The brim: whatever would stand above it has run over.
        self.overflows = moved.map(|h| h > h_max_cm);
        self.level_cm = moved.map(|h| h.clamp(0.0, h_max_cm));
    }

    fn outputs(&self, speed_pct: f64, _ageing: f64) -> Vec<f64> {
        vec![self.level_cm[0], self.level_cm[1], self.truth.kp_cm3_per_s_pct * speed_pct]
    }

    fn flags(&self) -> &'static [(&'static str, &'static str)] {
        &[("Overflow1", "The upper tank runs over."), ("Overflow2", "The lower tank runs over.")]
    }

    fn flag_values(&self) -> Vec<bool> {
        self.overflows.to_vec()
    }
}
