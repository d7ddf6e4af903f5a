//! A motor with a flywheel that drives a pump. Equations and constants: see the module `plant`.

use super::{
    devices::{Constant, Levels, Physics, STEP_S, Signal, Unit, rk4},
    sensor::Random,
};

/// True constants of a motor-pump.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PumpTruth {
    /// Resistance of the winding.
    pub r_ohm: f64,
    /// Back-EMF and torque constant, V·s/rad = N·m/A.
    pub ke_vs: f64,
    /// Moment of inertia, kg·m².
    pub j_kgm2: f64,
    /// Bearing friction when new, N·m·s/rad.
    pub b_nms: f64,
    /// Hydraulic load: torque = Kl·ω², N·m·s²/rad².
    pub kl: f64,
    /// Flow per speed when new, L/rad.
    pub kf: f64,
    /// Time constant of the water in the pipe.
    pub tau_s: f64,
}

const VOLT: Unit = Unit("VLT", "V");
const RADIAN_PER_SECOND: Unit = Unit("2A", "rad/s");
const AMPERE: Unit = Unit("AMP", "A");
const LITRE_PER_SECOND: Unit = Unit("G51", "L/s");
const MILLIMETRE_PER_SECOND: Unit = Unit("C16", "mm/s");
const OHM: Unit = Unit("OHM", "Ω");
const SECOND: Unit = Unit("SEC", "s");

const INPUT: Signal = Signal {
    name: "Voltage",
    unit: VOLT,
    low: 0.0,
    high: 24.0,
    sigma: 0.0,
    quantum: 0.0,
    main: false,
    description: "Voltage of the motor. Writable: a write switches Auto off and the value then holds.",
};
const SIGNALS: [Signal; 4] = [
    Signal {
        name: "Speed",
        unit: RADIAN_PER_SECOND,
        low: 0.0,
        high: 120.0,
        sigma: 0.1,
        quantum: 0.02,
        main: false,
        description: "Speed of the shaft.",
    },
    Signal {
        name: "Current",
        unit: AMPERE,
        low: -30.0,
        high: 30.0,
        sigma: 0.02,
        quantum: 0.005,
        main: false,
        description: "Current of the motor.",
    },
    Signal {
        name: "Flow",
        unit: LITRE_PER_SECOND,
        low: 0.0,
        high: 8.0,
        sigma: 0.02,
        quantum: 0.005,
        main: true,
        description: "Flow through the pump.",
    },
    Signal {
        name: "Vibration",
        unit: MILLIMETRE_PER_SECOND,
        low: 0.0,
        high: 20.0,
        sigma: 0.05,
        quantum: 0.01,
        main: false,
        description: "Vibration of the bearing (RMS velocity).",
    },
];
const CONSTANTS: [Constant; 7] = [
    Constant { name: "R", unit: OHM, description: "Resistance of the winding." },
    Constant { name: "Ke", unit: Unit("", "V·s/rad"), description: "Back-EMF constant, and torque per ampere." },
    Constant { name: "J", unit: Unit("B32", "kg·m²"), description: "Moment of inertia." },
    Constant { name: "B", unit: Unit("", "N·m·s/rad"), description: "Bearing friction; grows with Ageing." },
    Constant { name: "Kl", unit: Unit("", "N·m·s²/rad²"), description: "Hydraulic load: torque = Kl·Speed²." },
    Constant { name: "Kf", unit: Unit("", "L/rad"), description: "Flow per speed; falls with Ageing." },
    Constant { name: "Tau", unit: SECOND, description: "Time constant of the flow." },
];

/// The state of a motor-pump.
pub(super) struct Pump {
    truth: PumpTruth,
    /// Speed in rad/s, flow in L/s.
    state: [f64; 2],
}

impl Pump {
    pub(super) fn new(truth: PumpTruth) -> Self {
        Self { truth, state: [0.0, 0.0] }
    }

    fn b(&self, ageing: f64) -> f64 {
        self.truth.b_nms * (1.0 + 4.0 * ageing)
    }

    fn kf(&self, ageing: f64) -> f64 {
        self.truth.kf * (1.0 - 0.25 * ageing)
    }
}

impl Physics for Pump {
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
        vec![t.r_ohm, t.ke_vs, t.j_kgm2, self.b(ageing), t.kl, self.kf(ageing), t.tau_s]
    }

    fn programme(&self) -> Levels {
        Levels { low: 8.0, high: 24.0, step: 0.5, hold_min_s: 45.0, hold_max_s: 150.0 }
    }

    fn step(&mut self, voltage_v: f64, ageing: f64, _until_s: f64, _random: &mut Random) {
        let PumpTruth { r_ohm, ke_vs, j_kgm2, kl, tau_s, .. } = self.truth;
        let (b, kf) = (self.b(ageing), self.kf(ageing));
        self.state = rk4(self.state, STEP_S, |&[speed, flow]| {
            let motor_nm = ke_vs * (voltage_v - ke_vs * speed) / r_ohm;
            [(motor_nm - b * speed - kl * speed * speed) / j_kgm2, (kf * speed - flow) / tau_s]
        });
    }

    fn outputs(&self, voltage_v: f64, ageing: f64) -> Vec<f64> {
        let [speed, flow] = self.state;
        let current = (voltage_v - self.truth.ke_vs * speed) / self.truth.r_ohm;
        let vibration = 0.5 + 2e-4 * speed * speed * (1.0 + 3.0 * ageing);
        vec![speed, current, flow, vibration]
    }
}
