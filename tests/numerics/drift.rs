//! The drift test: how often it is wrong over 1,000 simulated days, and how soon it sees a parameter that has changed by a
//! tenth.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use uatwin::{
    model::{Hold, Init, Model, ModelSource, StateSource},
    simulate::{self, Belief, Expected, Observer, Options, Stepper},
    statistics::drift::{Design, Drift, Part, Settings, Side, Verdict},
    time::Timestamp,
};

use super::support::{Noise, compile, equation, input, output, parameter, state};

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix_s(1.7e9 + second as f64)
}

fn design(false_alarms_per_year: f64) -> Design {
    Design::new(Settings { false_alarms_per_year, ..Settings::default() }).unwrap()
}

/// Numbers of a distribution by a table of its quantiles: a few ns each, so that 1,000 days at 1 Hz are some seconds.
struct Table(Vec<f64>, Noise, u64);

impl Table {
    fn new(quantile: impl Fn(f64) -> f64, seed: u64) -> Self {
        Self((0..1 << 14).map(|i| quantile((f64::from(i) + 0.5) / f64::from(1 << 14))).collect(), Noise(seed), 0)
    }

    fn normal(seed: u64) -> Self {
        let normal = Normal::new(0.0, 1.0).unwrap();
        Self::new(|p| normal.inverse_cdf(p), seed)
    }

    fn next(&mut self) -> f64 {
        // 52 random bits are three indices.
        self.2 = if self.2 < 1 << 14 { (self.1.unit() * (1_u64 << 52) as f64) as u64 | 1 << 56 } else { self.2 };
        let value = self.0[(self.2 & 0x3fff) as usize];
        self.2 = if self.2 >> 56 == 0 { 0 } else { self.2 };
        self.2 >>= 14;
        value
    }
}

const TWINS: u64 = 50;
const DAYS: u64 = 20;

/// False alarms of 50 twins over 20 days each at 1 Hz: level and whiteness.
fn false_alarms(design: Design, mut residual: impl FnMut() -> f64) -> (u32, u32) {
    let mut counts = (0, 0);
    for _ in 0..TWINS {
        let mut drift = Drift::new(design);
        for second in 0..DAYS * 86_400 {
            if let Some(Verdict::Drift(standing)) = drift.add(at(second), residual()) {
                match standing.part {
                    Part::Level => counts.0 += 1,
                    Part::Whiteness => counts.1 += 1,
                }
                drift.rearm();
            }
        }
    }
    counts
}

/// At twelve a year, 32.9 in 1,000 days.
#[track_caller]
fn keeps_the_stated_rate(residual: impl FnMut() -> f64) {
    let (level, whiteness) = false_alarms(design(12.0), residual);
    println!("level {level}, whiteness {whiteness}");
    let stated = 12.0 * (TWINS * DAYS) as f64 / 365.25;
    assert!(f64::from(level + whiteness) <= stated, "{level} + {whiteness}, stated {stated}");
}

#[test]
fn white_noise_alarms_no_more_often_than_stated() {
    let mut noise = Table::normal(1);
    keeps_the_stated_rate(|| noise.next());
}

#[test]
fn correlated_noise_alarms_no_more_often_than_stated() {
    for rho in [0.5, 0.9] {
        let (mut noise, mut x) = (Table::normal(2), 0.0);
        keeps_the_stated_rate(|| {
            x = rho * x + noise.next();
            x
        });
    }
}

#[test]
fn heavy_tails_alarm_no_more_often_than_stated() {
    let student = StudentsT::new(0.0, 1.0, 5.0).unwrap();
    let mut noise = Table::new(|p| student.inverse_cdf(p), 3);
    keeps_the_stated_rate(|| noise.next());
}

/// A converter whose step is three standard deviations: most residuals are equal.
#[test]
fn coarse_steps_alarm_no_more_often_than_stated() {
    let mut noise = Table::normal(4);
    keeps_the_stated_rate(|| 3.0 * (noise.next() / 3.0).round());
}

/// A slow wander under noise as large as itself, minute by minute: more than an autoregression takes out.
#[test]
fn a_slow_wander_alarms_no_more_often_than_stated() {
    let (mut noise, mut x) = (Table::normal(5), 0.0);
    keeps_the_stated_rate(|| {
        x = 0.9995 * x + 0.03 * noise.next();
        x + 7.0 * noise.next()
    });
}

/// C·dT/dt = P − k(T − Ta), C/k = 1000 s: `config/models/thermal_one_body.toml`, its states with process noise for the EKF.
fn heater() -> Model {
    compile(&ModelSource {
        states: vec![StateSource { noise: 1e-4, ..state("T", Init::Number(20.0)) }],
        parameters: vec![parameter("C", 5000.0, 50.0, 5e5, true), parameter("k", 5.0, 0.05, 500.0, true)],
        inputs: vec![input("P", Hold::Previous), input("Ta", Hold::Linear)],
        equations: vec![equation("T", "(P - k*(T - Ta))/C")],
        outputs: vec![output("Temperature", "T", SIGMA)],
        ..ModelSource::default()
    })
}

const SIGMA: f64 = 0.2;
const THETA: [f64; 2] = [5000.0, 5.0];
const SEARCHED: u64 = 12 * 3600;

fn power(second: u64) -> f64 {
    [300.0, 0.0, 150.0, 450.0, 60.0][(second / 600) as usize % 5]
}

/// Seconds from the `change` of θ to its discovery, and what was found; `None`: not within 12 hours. Panics on an alarm before.
fn delay(after: [f64; 2], observed: bool, change: u64, seed: u64) -> Option<(u64, Part, f64)> {
    let model = heater();
    let (mut truth, mut free) = ([20.0], [20.0]);
    let mut belief = Belief { x: vec![20.0], p: vec![0.1] };
    let (mut stepper, mut observer) = (Stepper::new(&model), Observer::new(&model));
    let (mut noise, mut drift) = (Noise(seed), Drift::new(design(1.0)));
    let options = Options::default();
    for second in 0..change + SEARCHED {
        let t = second as f64;
        let ambient = |t: f64| 20.0 + 3.0 * (t / 9000.0).sin();
        let (u, next, span) = ([power(second), ambient(t)], [power(second), ambient(t + 1.0)], (t, t + 1.0));
        let theta = if second < change { THETA } else { after };
        simulate::advance(&mut stepper, &model, &theta, &mut truth, span, (&u, &next), &options).unwrap();
        let y = truth[0] + SIGMA * noise.normal();
        let residual = if observed {
            observer.predict(&model, &THETA, &mut belief, span, (&u, &next), &options).unwrap();
            let mut expected = [Expected::default()];
            observer.expect(&model, &THETA, &belief, (&next, t + 1.0), &mut expected);
            observer.correct(&model, &THETA, &mut belief, (&next, t + 1.0), (0, y));
            y - expected[0].value
        } else {
            simulate::advance(&mut stepper, &model, &THETA, &mut free, span, (&u, &next), &options).unwrap();
            y - free[0]
        };
        if let Some(Verdict::Drift(standing)) = drift.add(at(second + 1), residual) {
            assert!(second >= change, "false alarm at {second}: {standing:?}");
            return Some((second - change, standing.part, standing.since.seconds_since(at(change))));
        }
    }
    None
}

/// Half an hour: an alarm takes ten blocks at least, for no block counts more than 3σ; and a changed C shows when the power
/// is switched.
const DELAY_MAX_S: u64 = 1800;

/// Twelve hours after the start, and six minutes after the hour that is only learned from.
#[test]
fn a_tenth_of_a_parameter_is_found_within_half_an_hour() {
    for change in [12 * 3600, 66 * 60] {
        for after in [[5500.0, 5.0], [4500.0, 5.0], [5000.0, 5.5], [5000.0, 4.5]] {
            for observed in [false, true] {
                let found: Vec<_> = (0..4).map(|seed| delay(after, observed, change, 100 + seed)).collect();
                println!("at {change} s {after:?}, observer {observed}: {found:?}");
                for found in found {
                    let (seconds, _, since) = found.unwrap();
                    assert!(seconds <= DELAY_MAX_S, "{after:?}, observer {observed}: {seconds} s");
                    // The estimate of when it began is that of a random walk's last zero.
                    assert!(since.abs() <= 1800.0, "{after:?}, observer {observed}: since {since} s");
                }
            }
        }
    }
}

/// What is not stationary gives an unstable autoregression, and forecasts that leave for infinity: here they don't.
#[test]
fn whatever_comes_the_test_goes_on() {
    for (growth, shock, huge) in
        [(1.0, 1.0, 1.0), (1.0, 1e-9, 1e12), (1.0003, 1.0, 1.0), (0.5, 1.0, 1e300), (1.0, 0.0, 1e308)]
    {
        let (mut noise, mut drift, mut x) = (Noise(16), Drift::new(design(1.0)), 0.0_f64);
        for second in 0..3 * 86_400_u64 {
            x = (growth * x + shock * noise.normal()).clamp(-1e300, 1e300);
            let step = if second / 20_000 % 2 == 1 { huge } else { 0.0 };
            if drift.add(at(second), x + step + 0.1 * noise.normal()).is_some() && second % 3 == 0 {
                drift.rearm();
            }
        }
        let standing = drift.state();
        assert!(standing.statistic.is_finite() && standing.statistic <= 1.25 * standing.limit, "{standing:?}");
    }
}

/// A detector that has seen a day of noise.
fn after_a_day(noise: &mut Noise) -> Drift {
    let mut drift = Drift::new(design(1.0));
    (0..86_400).for_each(|second| assert_eq!(drift.add(at(second), noise.normal()), None));
    assert!(!drift.state().is_learning);
    drift
}

#[test]
fn a_shift_is_an_alarm_until_it_is_over() {
    let mut noise = Noise(11);
    let mut drift = after_a_day(&mut noise);
    let (mut begun, mut over) = (None, None);
    for second in 86_400..3 * 86_400 {
        let shift = if second < 86_400 + 7200 { -0.5 } else { 0.0 };
        match drift.add(at(second), shift + noise.normal()) {
            Some(Verdict::Drift(standing)) => begun = Some((second - 86_400, standing)),
            Some(Verdict::Over(_)) => over = Some(second - 86_400 - 7200),
            None => {}
        }
        assert_eq!(drift.state().is_drifting, begun.is_some() && over.is_none());
    }
    let (seconds, standing) = begun.unwrap();
    assert!(seconds <= 900, "{seconds}");
    assert_eq!((standing.part, standing.side), (Part::Level, Side::Down));
    assert!(standing.statistic > standing.limit && standing.since.seconds_since(at(86_400)).abs() < 1800.0);
    // From 1.25 limits to zero by k a block and σ = 1: a first passage, whose variance is its height over k³; within 4σ.
    let (height, k) = (1.25 * standing.limit, 0.25_f64);
    assert!(over.unwrap() as f64 <= 60.0 * (height / k + 4.0 * (height / k.powi(3)).sqrt()), "{over:?}");
}

#[test]
fn lost_whiteness_is_found_though_the_mean_stays() {
    let mut noise = Noise(12);
    let mut drift = after_a_day(&mut noise);
    let mut x = 0.0;
    let verdict = (86_400..2 * 86_400).find_map(|second| {
        x = 0.4 * x + (1.0_f64 - 0.16).sqrt() * noise.normal();
        drift.add(at(second), x)
    });
    let Some(Verdict::Drift(standing)) = verdict else { panic!("{verdict:?}") };
    assert_eq!((standing.part, standing.side), (Part::Whiteness, Side::Up));
}

#[test]
fn an_outlier_an_hour_is_no_drift() {
    let mut noise = Noise(13);
    let mut drift = Drift::new(design(1.0));
    for second in 0..3 * 86_400 {
        let outlier = if second % 3600 == 1700 { 1e4 } else { 0.0 };
        assert_eq!(drift.add(at(second), outlier + noise.normal()), None);
    }
}

#[test]
fn what_cannot_count_changes_nothing_and_a_gap_drops_its_block() {
    let mut noise = Noise(14);
    let mut drift = after_a_day(&mut noise);
    let before = drift.clone();
    for (at, residual) in [(at(90_000), f64::NAN), (at(90_000), f64::INFINITY), (at(86_399), 50.0), (at(5), 50.0)] {
        assert_eq!(drift.add(at, residual), None);
        assert_eq!(drift, before);
    }
    // Bursts of 20 s an hour apart never make a block, however far off they are.
    for second in (90_000..900_000).filter(|second| second % 3600 < 20) {
        assert_eq!(drift.add(at(second), 50.0), None);
    }
    assert_eq!(drift.state(), before.state());
    drift.reset();
    assert_eq!(drift, Drift::new(design(1.0)));
}

/// What is constant says nothing; its first moves are the reference.
#[test]
fn a_residual_that_never_moved_has_no_drift() {
    let mut drift = Drift::new(design(1.0));
    assert!((0..86_400).all(|second| drift.add(at(second), 3.0).is_none()));
    assert!(drift.state().is_learning);
}

/// On a large offset, stored and read back in the middle: the same verdict in the same block.
#[test]
fn a_stored_detector_goes_on_as_if_nothing_had_been_and_an_offset_is_nothing_to_it() {
    let run = |offset: f64, store: bool| {
        let mut noise = Noise(15);
        let mut drift = Drift::new(design(1.0));
        for second in 0..2 * 86_400_u64 {
            if store && second % 9973 == 0 {
                let text = serde_json::to_string(&drift).unwrap();
                assert!(text.len() < 16_384, "{}", text.len());
                drift = serde_json::from_str(&text).unwrap();
            }
            let shift = if second > 86_400 { 0.4 } else { 0.0 };
            if let Some(verdict) = drift.add(at(second), offset + shift + noise.normal()) {
                return Some((second, verdict));
            }
        }
        None
    };
    let plain = run(0.0, false);
    assert!(plain.is_some());
    assert_eq!(run(0.0, true), plain);
    let (second, Verdict::Drift(standing)) = run(1e9, false).unwrap() else { panic!() };
    assert!(plain.is_some_and(|(other, _)| other == second) && standing.side == Side::Up);
}

#[test]
fn a_rate_that_cannot_be_kept_has_no_design() {
    for false_alarms_per_year in [0.0, -1.0, f64::NAN, 1e9] {
        assert_eq!(Design::new(Settings { false_alarms_per_year, ..Settings::default() }), None);
    }
    assert!(design(1.0).limit() > design(12.0).limit());
}
