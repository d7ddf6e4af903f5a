//! What every device of the plant has in common: a set-point that a programme moves until a client writes it, true
//! constants, ageing, sensors, and the fixed-step integration that carries it from one published instant to the next.
//! Pure: the instant is an argument. Shares nothing with the twins' models and solvers.

use super::{
    oven::Oven,
    pump::Pump,
    sensor::{Faults, Random, Sensor},
    tanks::Tanks,
};
use crate::{
    sample::{Sample, Value},
    time::Timestamp,
};

/// The integration step: a tenth of a second is far below every time constant of the plant (the shortest is 4 s).
pub(super) const STEP_S: f64 = 0.1;

/// A unit of measure: its UNECE code (empty: none) and its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit(pub(super) &'static str, pub(super) &'static str);

/// One measured quantity of a device.
pub(super) struct Signal {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Standard deviation of the sensor's noise.
    pub(super) sigma: f64,
    /// The sensor's resolution; 0 is continuous.
    pub(super) quantum: f64,
    /// Whether the sensor's faults are simulated: one signal of each device.
    pub(super) main: bool,
    pub(super) description: &'static str,
}

/// One true constant of a device.
pub(super) struct Constant {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) description: &'static str,
}

/// The physics of one kind of device. Its input is held between two published instants.
pub(super) trait Physics: Send {
    /// The input: the set-point that a client may write. Its sensor is perfect.
    fn input(&self) -> &'static Signal;
    /// What is measured, in the order of `outputs`.
    fn signals(&self) -> &'static [Signal];
    /// The constants, in the order of `truth`.
    fn constants(&self) -> &'static [Constant];
    /// The constants' values after this ageing (0 new, 1 worn).
    fn truth(&self, ageing: f64) -> Vec<f64>;
    /// The built-in programme that keeps history informative.
    fn programme(&self) -> Levels;
    /// Moves by `STEP_S`, ending at `until_s` (seconds since 1970, for what depends on the time of day).
    fn step(&mut self, input: f64, ageing: f64, until_s: f64, random: &mut Random);
    /// The true values of the signals.
    fn outputs(&self, input: f64, ageing: f64) -> Vec<f64>;
    /// Yes-or-no states beside the signals (overflow), as name and description.
    fn flags(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// Their present values.
    fn flag_values(&self) -> Vec<bool> {
        Vec::new()
    }
}

/// What the programme may set: levels between `low` and `high` in steps of `step`, each held for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) step: f64,
    pub(super) hold_min_s: f64,
    pub(super) hold_max_s: f64,
}

/// What a client has asked of a device; takes effect at the next published instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Orders {
    /// Whether the programme moves the set-point.
    pub(super) auto: bool,
    /// The set-point while `auto` is off.
    pub(super) set_point: f64,
    /// 0 is new, 1 is worn.
    pub(super) ageing: f64,
}

/// One device: physics, sensors and programme.
pub(super) struct Device {
    pub(super) name: String,
    pub(super) physics: Box<dyn Physics>,
    sensors: Vec<Sensor>,
    random: Random,
    hold_left_s: f64,
    input: f64,
    ageing: f64,
}

impl Device {
    fn new(name: &str, physics: Box<dyn Physics>, faults: Faults, seed: u64, stream: u64) -> Self {
        let sensors = physics
            .signals()
            .iter()
            .enumerate()
            .map(|(i, signal)| {
                let faults = if signal.main { faults } else { Faults::NONE };
                Sensor::new(signal.sigma, signal.quantum, faults, Random::new(seed, 100 * stream + 1 + i as u64))
            })
            .collect();
        let random = Random::new(seed, 100 * stream);
        let input = physics.programme().low;
        Self { name: name.to_owned(), physics, sensors, random, hold_left_s: 0.0, input, ageing: 0.0 }
    }

    /// The first orders: the programme runs, the device is new.
    pub(super) fn first_orders(&self) -> Orders {
        Orders { auto: true, set_point: self.input, ageing: 0.0 }
    }

    /// Moves on by `period_s` to `at` with the input held, then takes up the orders and reads every sensor:
    /// input, signals, flags. The input read at an instant is the one that acts from that instant on.
    pub(super) fn advance(&mut self, at: Timestamp, period_s: f64, orders: &Orders) -> Vec<Sample> {
        let steps = (period_s / STEP_S).round() as u32;
        let from_s = at.seconds_since(Timestamp::from_unix_s(0.0)) - period_s;
        for i in 1..=steps {
            self.physics.step(self.input, self.ageing, from_s + f64::from(i) * STEP_S, &mut self.random);
        }
        self.ageing = orders.ageing;
        self.move_set_point(period_s, orders);
        let truth = self.physics.outputs(self.input, self.ageing);
        let readings = self.sensors.iter_mut().zip(truth).map(|(sensor, truth)| sensor.read(at, period_s, truth));
        let flags = self.physics.flag_values().into_iter();
        std::iter::once(Sample::good(at, self.input))
            .chain(readings)
            .chain(flags.map(|on| Sample { value: Value::Boolean(on), ..Sample::good(at, 0.0) }))
            .collect()
    }

    fn move_set_point(&mut self, period_s: f64, orders: &Orders) {
        if !orders.auto {
            self.input = orders.set_point;
            self.hold_left_s = 0.0;
            return;
        }
        self.hold_left_s -= period_s;
        if self.hold_left_s <= 0.0 {
            let levels = self.physics.programme();
            let choices = ((levels.high - levels.low) / levels.step).round();
            self.input = levels.low + levels.step * (self.random.uniform() * choices).round();
            self.hold_left_s = levels.hold_min_s + self.random.uniform() * (levels.hold_max_s - levels.hold_min_s);
        }
    }
}

/// The devices of the plant.
pub(super) fn devices(seed: u64, faults: Faults) -> Vec<Device> {
    let physics: [(&str, Box<dyn Physics>); 4] = [
        ("Oven1", Box::new(Oven::new(super::OVEN1))),
        ("Oven2", Box::new(Oven::new(super::OVEN2))),
        ("Tanks1", Box::new(Tanks::new(super::TANKS1))),
        ("Pump1", Box::new(Pump::new(super::PUMP1))),
    ];
    physics
        .into_iter()
        .enumerate()
        .map(|(i, (name, physics))| Device::new(name, physics, faults, seed, i as u64))
        .collect()
}

/// One classical Runge-Kutta step of dx/dt = f(x).
pub(super) fn rk4<const N: usize>(x: [f64; N], step_s: f64, f: impl Fn(&[f64; N]) -> [f64; N]) -> [f64; N] {
    let along = |k: &[f64; N], h: f64| std::array::from_fn(|i| x[i] + h * k[i]);
    let k1 = f(&x);
    let k2 = f(&along(&k1, step_s / 2.0));
    let k3 = f(&along(&k2, step_s / 2.0));
    let k4 = f(&along(&k3, step_s));
    std::array::from_fn(|i| x[i] + step_s / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rk4_follows_an_exponential_to_its_order() {
        let mut x = [1.0];
        for _ in 0..100 {
            x = rk4(x, STEP_S, |x| [-x[0]]);
        }
        // Global error of order h⁴: 1e-4 · t · e^-t ≈ 4e-10 at t = 10.
        assert!((x[0] - (-10.0_f64).exp()).abs() < 1e-9, "{}", x[0]);
    }

    /// Runs a device for `hours` with its set-point held.
    fn settle(name: &str, set_point: f64, ageing: f64, hours: u32) -> Device {
        let mut device = devices(1, Faults::NONE).into_iter().find(|d| d.name == name).unwrap();
        let orders = Orders { auto: false, set_point, ageing };
        for second in 0..hours * 3600 {
            device.advance(Timestamp::from_unix_s(1.7e9 + f64::from(second)), 1.0, &orders);
        }
        device
    }

    #[test]
    fn an_oven_settles_where_heat_in_is_heat_out() {
        for ageing in [0.0, 1.0] {
            let outputs = settle("Oven1", 1000.0, ageing, 3).physics.outputs(1000.0, ageing);
            let [chamber, heater, ambient] = outputs[..] else { panic!("{outputs:?}") };
            let c = super::super::OVEN1;
            // The ambient wanders by some 0.1 K within a time constant.
            assert!((chamber - ambient - 1000.0 / (c.k2_w_per_k * (1.0 + 0.6 * ageing))).abs() < 0.5, "{outputs:?}");
            assert!((heater - chamber - 1000.0 / c.k12_w_per_k).abs() < 0.2, "{outputs:?}");
        }
    }

    #[test]
    fn tanks_settle_by_torricelli_and_overflow_at_the_brim() {
        let c = super::super::TANKS1;
        let device = settle("Tanks1", 40.0, 0.0, 2);
        let outputs = device.physics.outputs(40.0, 0.0);
        let inflow = c.kp_cm3_per_s_pct * 40.0;
        assert!((outputs[0] - (inflow / c.k1).powi(2)).abs() < 1e-6, "{outputs:?}");
        assert!((outputs[1] - (inflow / c.k2).powi(2)).abs() < 1e-6, "{outputs:?}");
        assert_eq!(device.physics.flag_values(), [false, false]);

        let device = settle("Tanks1", 100.0, 0.0, 1);
        assert_eq!(device.physics.outputs(100.0, 0.0)[0], c.h_max_cm);
        assert_eq!(device.physics.flag_values(), [true, false]);
        // A clogged outlet makes the second tank overflow too.
        assert_eq!(settle("Tanks1", 100.0, 1.0, 1).physics.flag_values(), [true, true]);
    }

    #[test]
    fn a_pump_settles_where_torques_balance() {
        let c = super::super::PUMP1;
        let outputs = settle("Pump1", 20.0, 0.0, 1).physics.outputs(20.0, 0.0);
        let (speed, current, flow) = (outputs[0], outputs[1], outputs[2]);
        // The positive root of Kl·ω² + (B + Ke²/R)·ω − Ke·U/R = 0.
        let b = c.b_nms + c.ke_vs * c.ke_vs / c.r_ohm;
        let root = (-b + (b * b + 4.0 * c.kl * c.ke_vs * 20.0 / c.r_ohm).sqrt()) / (2.0 * c.kl);
        assert!((speed - root).abs() < 1e-6, "{speed} {root}");
        assert!((current - (20.0 - c.ke_vs * root) / c.r_ohm).abs() < 1e-6, "{current}");
        assert!((flow - c.kf * root).abs() < 1e-6, "{flow}");
        let worn = settle("Pump1", 20.0, 1.0, 1).physics.outputs(20.0, 1.0);
        assert!(worn[0] < speed && worn[2] < 0.8 * flow && worn[3] > 2.0 * outputs[3], "{worn:?}");
    }
}
