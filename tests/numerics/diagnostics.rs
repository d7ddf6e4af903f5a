//! What a report says about residuals, weights and robust losses, against R and statsmodels.

use uatwin::fit::{Experiment, FitOptions, FitReport, Measured, fit};
use uatwin::model::{Hold, Loss, Model, ModelSource};

use crate::support::{NEVER, Noise, close, compile, golden, input, output, parameter, table};

fn linear(inputs: &[&str], expr: &str, parameters: &[&str], sigma: f64) -> Model {
    let free = |name: &&str| parameter(name, 1.0, f64::NEG_INFINITY, f64::INFINITY, false);
    compile(&ModelSource {
        parameters: parameters.iter().map(free).collect(),
        inputs: inputs.iter().map(|name| input(name, Hold::Previous)).collect(),
        outputs: vec![output("y", expr, sigma)],
        ..ModelSource::default()
    })
}

fn run(model: &Model, experiments: &[Experiment], options: &FitOptions) -> FitReport {
    fit(model, experiments, options, &NEVER, &|_| {}).unwrap()
}

fn sales() -> (Vec<f64>, Vec<f64>) {
    golden("residuals/bjsales.txt").iter().map(|row| (row[0], row[1])).unzip()
}

/// R 4.2.2: `m <- lm(y ~ u + t)`, `acf`, `ccf(residuals(m), u)`, `Box.test(…, 20, "Ljung")`, `mad`, AIC, BIC.
#[test]
fn residual_diagnostics_are_those_of_r() {
    let (lead, sales) = sales();
    let model = linear(&["u"], "a + b*u + c*t", &["a", "b", "c"], 1.0);
    let report = run(&model, &[table(&[&lead], &sales)], &FitOptions::default());
    let expected = [
        (76.530_830_673_31, 7.957_913_865_319_1),
        (11.975_588_134_69, 0.787_683_191_069_6),
        (0.155_376_781_01, 0.022_043_938_378_1),
    ];
    for (i, (value, error)) in expected.into_iter().enumerate() {
        close(report.values[i], value, 1e-9);
        close(report.standard_errors[i], error, 1e-9);
    }
    close(report.aic, 956.092_286_236, 1e-10);
    close(report.aicc, 956.368_148_305, 1e-10);
    close(report.bic, 968.134_827_412, 1e-10);
    let whiteness = &report.outputs[0].whiteness;
    assert_eq!(whiteness.autocorrelation.len(), 20);
    for (lag, r) in [(1, 0.748_442_258_985_3), (2, 0.702_943_918_191_6), (20, 0.069_221_913_24)] {
        close(whiteness.autocorrelation[lag - 1], r, 1e-9);
    }
    close(whiteness.autocorrelation_bound, 1.959_963_985 / 150_f64.sqrt(), 1e-9);
    close(whiteness.ljung_box, 346.674_733, 1e-8);
    assert!(whiteness.ljung_box_p < 1e-12);
    close(report.durbin_watson, 0.498_994_489_496, 1e-9);
    close(whiteness.robust_sigma, 5.286_595_534_574 * MAD_FACTOR, 1e-9);
    assert_eq!((whiteness.outliers, report.outputs[0].missing), (2, 0));
    assert!(report.bias.abs() < 1e-9, "least squares with an intercept: {}", report.bias);
    // The largest of ccf's at 0 to 20 is at 10.
    let with_lead = &whiteness.inputs[0];
    assert_eq!((with_lead.input.as_str(), with_lead.lag), ("u", 10));
    close(with_lead.correlation, 0.345_553_495_460, 1e-9);
    // P = 1 + 2 Σ acf(e)·acf(u) = 9.484980 and z = qnorm(1 − 0.025/21) = 3.038074.
    close(with_lead.bound, 0.763_960_631_982, 1e-6);
    assert!(report.message.contains("the residuals of `y` are not independent"), "{}", report.message);
}

/// R's `mad` rounds Φ⁻¹(¾)⁻¹ to 1.4826.
const MAD_FACTOR: f64 = 1.482_602_218_505_602 / 1.482_6;

/// R: `nls` on `DNase`, run 1; `Box.test(residuals, 3, "Ljung")`: lags are a fifth of the samples where these are few.
#[test]
fn few_samples_have_few_lags() {
    let report = crate::profile::dnase_fit(&FitOptions::default());
    let whiteness = &report.outputs[0].whiteness;
    assert_eq!(whiteness.autocorrelation.len(), 3);
    for (r, expected) in
        whiteness.autocorrelation.iter().zip([-0.048_134_688_091_7, -0.689_611_987_115_7, 0.107_896_526_282_9])
    {
        close(*r, expected, 1e-6);
    }
    close(whiteness.ljung_box, 10.085_438_067, 1e-7);
    close(whiteness.ljung_box_p, 0.017_853_668_837_8, 1e-6);
    close(report.bias, -0.000_660_184_029_656, 1e-5);
    close(report.rmse, 0.017_301_677_971_3, 1e-8);
    close(whiteness.robust_sigma, 0.017_385_886_415_2 * MAD_FACTOR, 1e-6);
}

#[test]
fn residuals_of_different_stretches_are_no_neighbours() {
    let (lead, sales) = sales();
    let model = linear(&["u"], "a + b*u + c*t", &["a", "b", "c"], 1.0);
    let whole = table(&[&lead], &sales);
    let once = run(&model, std::slice::from_ref(&whole), &FitOptions::default());
    // The same measurements twice have the same correlations: no pair spans two experiments.
    let twice = run(&model, &[whole.clone(), whole.clone()], &FitOptions::default());
    let (one, two) = (&once.outputs[0].whiteness, &twice.outputs[0].whiteness);
    for lag in 1..=20 {
        close(two.autocorrelation[lag - 1], one.autocorrelation[lag - 1], 1e-9);
    }
    let n = 300.0;
    let terms = one.autocorrelation.iter().zip(1..).map(|(r, lag)| r * r / (n - 2.0 * f64::from(lag)));
    close(two.ljung_box, n * (n + 2.0) * terms.sum::<f64>(), 1e-9);
    close(two.inputs[0].correlation, one.inputs[0].correlation, 1e-9);
    // The second run further on in the same experiment: a gap in time, then a missing value, keep them apart as well.
    let joined = |between: &[f64]| {
        let mut experiment = whole.clone();
        let measured = &mut experiment.outputs[0];
        measured.times.extend(between.iter().map(|part| 150.0 + part));
        measured.values.extend(between.iter().map(|_| f64::NAN));
        measured.times.extend((0..150).map(|row| 200.0 + f64::from(row)));
        measured.values.extend(&sales);
        experiment.inputs[0].times.extend((0..150).map(|row| 200.0 + f64::from(row)));
        experiment.inputs[0].values.extend(&lead);
        experiment
    };
    let model = linear(&["u"], "a + b*u + c*if(t < 180, t, t - 200)", &["a", "b", "c"], 1.0);
    for (between, missing) in [(&[][..], 0), (&[1.0, 2.0], 2)] {
        let report = run(&model, &[joined(between)], &FitOptions::default());
        close(report.outputs[0].whiteness.ljung_box, two.ljung_box, 1e-9);
        assert_eq!(report.outputs[0].missing, missing);
        assert_eq!(missing > 0, report.message.contains("2 of 302 measurements of `y` are no numbers"));
    }
}

#[test]
fn noise_is_called_noise_as_often_as_promised() {
    // 400 fits of noise with an input of its own: p is below 5 % in 5 of 100, and in 5 of 100 the input is named.
    let model = linear(&["u"], "a + b*t", &["a", "b"], 1.0);
    let count = |memory: f64| {
        let (mut dependent, mut follows) = (0, 0);
        for seed in 0..400 {
            let mut noise = Noise(1_000 + seed);
            let mut series = || {
                let mut last = noise.normal() / (1.0 - memory * memory).sqrt();
                let mut next = || {
                    last = memory * last + noise.normal();
                    last
                };
                (0..300).map(|_| next()).collect::<Vec<f64>>()
            };
            let report = run(&model, &[table(&[&series()], &series())], &FitOptions::default());
            let whiteness = &report.outputs[0].whiteness;
            dependent += usize::from(whiteness.ljung_box_p < 0.05);
            follows += usize::from(whiteness.inputs[0].is_significant());
        }
        (dependent, follows)
    };
    // Binomial, 20 of 400 expected, standard deviation 4.4; the largest of 21 correlations is a conservative test.
    let (dependent, follows) = count(0.0);
    assert!((7..=33).contains(&dependent) && (4..=33).contains(&follows), "{dependent}, {follows}");
    // Both slow: the residuals are far from independent, but have nothing to do with the input. Without the correlation
    // within each, half of the inputs would be named.
    let (dependent, follows) = count(0.8);
    assert!(dependent == 400 && follows <= 33, "{dependent}, {follows}");
}

#[test]
fn a_missing_dead_time_shows_in_the_correlation_with_the_input() {
    let mut noise = Noise(3);
    let input: Vec<f64> = (0..300).map(|_| noise.normal()).collect();
    let values: Vec<f64> =
        (0..300).map(|i| 2.0 * if i >= 4 { input[i - 4] } else { 0.0 } + 0.5 * noise.normal()).collect();
    let model = linear(&["u"], "a + b*u", &["a", "b"], 1.0);
    let report = run(&model, &[table(&[&input], &values)], &FitOptions::default());
    let with_input = &report.outputs[0].whiteness.inputs[0];
    assert!(with_input.lag == 4 && with_input.correlation > 0.9 && with_input.is_significant(), "{with_input:?}");
    assert!(report.message.contains("still follow the input `u`"), "{}", report.message);
}

/// R: `nls(rate ~ Vm*conc/(K + conc), Puromycin treated, weights = rep(1:3, 4))`.
#[test]
fn weights_count_as_in_r() {
    let model = linear(&["conc"], "Vm*conc/(K + conc)", &["Vm", "K"], 1.0);
    let conc = [0.02, 0.02, 0.06, 0.06, 0.11, 0.11, 0.22, 0.22, 0.56, 0.56, 1.10, 1.10];
    let rate = [76.0, 47.0, 97.0, 107.0, 123.0, 139.0, 159.0, 152.0, 191.0, 201.0, 207.0, 200.0];
    let mut experiment = table(&[&conc], &rate);
    experiment.outputs[0].weights = [1.0, 2.0, 3.0].repeat(4);
    let options = FitOptions { theta: Some(vec![200.0, 0.05]), ..FitOptions::default() };
    let report = run(&model, std::slice::from_ref(&experiment), &options);
    close(report.values[0], 213.748_443_783_734, 1e-8);
    close(report.values[1], 0.067_638_620_651_7, 1e-8);
    close(report.standard_errors[0], 5.505_131_972_517_24, 1e-7);
    close(report.standard_errors[1], 0.006_980_529_227_15, 1e-7);
    close(report.cost, 1_592.674_184_75, 1e-10);
    close(report.aic, 91.546_644_238_3, 1e-10);
    close(report.bic, 93.001_364_187_7, 1e-10);
    // σ only scales: the likelihood is the same.
    let scaled = linear(&["conc"], "Vm*conc/(K + conc)", &["Vm", "K"], 7.0);
    let report = run(&scaled, std::slice::from_ref(&experiment), &options);
    close(report.aic, 91.546_644_238_3, 1e-10);
    close(report.reduced_chi_square, 1_592.674_184_75 / 10.0 / 49.0, 1e-9);
    // With σ as it is: −2 ln L = cost + Σ ln(2πσ²/w) and two parameters.
    let absolute = run(&scaled, &[experiment], &FitOptions { absolute_sigma: true, ..options });
    let constant = 12.0 * (std::f64::consts::TAU * 49.0).ln() - 4.0 * 6.0_f64.ln();
    close(absolute.aic, 1_592.674_184_75 / 49.0 + constant + 4.0, 1e-9);
    close(absolute.bic, 1_592.674_184_75 / 49.0 + constant + 2.0 * 12.0_f64.ln(), 1e-9);
    // σ is known: the normal distribution's 1.96, not Student's t.
    close(absolute.upper95[0] - absolute.values[0], 1.959_963_985 * absolute.standard_errors[0], 1e-8);
    assert!(absolute.message.contains("scatter 1.80 times as much as sigma says"), "{}", absolute.message);
}

/// Brownlee's stack loss: air flow, water temperature, acid concentration, loss.
const STACK: [[f64; 4]; 21] = [
    [80.0, 27.0, 89.0, 42.0],
    [80.0, 27.0, 88.0, 37.0],
    [75.0, 25.0, 90.0, 37.0],
    [62.0, 24.0, 87.0, 28.0],
    [62.0, 22.0, 87.0, 18.0],
    [62.0, 23.0, 87.0, 18.0],
    [62.0, 24.0, 93.0, 19.0],
    [62.0, 24.0, 93.0, 20.0],
    [58.0, 23.0, 87.0, 15.0],
    [58.0, 18.0, 80.0, 14.0],
    [58.0, 18.0, 89.0, 14.0],
    [58.0, 17.0, 88.0, 13.0],
    [58.0, 18.0, 82.0, 11.0],
    [58.0, 19.0, 93.0, 12.0],
    [50.0, 18.0, 89.0, 8.0],
    [50.0, 18.0, 86.0, 7.0],
    [50.0, 19.0, 72.0, 8.0],
    [50.0, 19.0, 79.0, 8.0],
    [50.0, 20.0, 80.0, 9.0],
    [56.0, 20.0, 82.0, 15.0],
    [70.0, 20.0, 91.0, 15.0],
];

fn stack(loss: Loss, sigma: f64) -> (Model, Experiment) {
    let names = ["air", "water", "acid"];
    let free = |name: &&str| parameter(name, 1.0, f64::NEG_INFINITY, f64::INFINITY, false);
    let mut measured = output("loss", "c + a*air + w*water + s*acid", sigma);
    measured.loss = loss;
    let model = compile(&ModelSource {
        parameters: ["c", "a", "w", "s"].iter().map(free).collect(),
        inputs: names.iter().map(|name| input(name, Hold::Previous)).collect(),
        outputs: vec![measured],
        ..ModelSource::default()
    });
    let column = |index: usize| STACK.iter().map(|row| row[index]).collect::<Vec<f64>>();
    let experiment = table(&[&column(0), &column(1), &column(2)], &column(3));
    (model, experiment)
}

/// statsmodels 0.15.0, `RLM(M=HuberT(1))` with the scale held at σ, `cov="H1"`; the soft L1 by SciPy 1.17.1's
/// `least_squares`, polished by Newton steps, and the same formula in NumPy (statsmodels has no such norm).
#[test]
fn robust_losses_have_the_standard_errors_of_m_estimates() {
    let cases = [
        (
            Loss::Huber,
            1.0,
            [-38.258_560_041_303, 0.839_305_377_81, 0.642_987_553_513, -0.101_064_114_242],
            [8.448_064_193_241, 0.095_770_923_712, 0.261_356_207_196, 0.110_993_818_085],
        ),
        (
            Loss::Huber,
            2.0,
            [-39.501_486_086_694, 0.828_084_864_088, 0.772_668_326_047, -0.109_427_192_313],
            [8.748_988_100_074, 0.099_182_327_777, 0.270_665_834_72, 0.114_947_468_603],
        ),
        (
            Loss::SoftL1,
            2.0,
            [-39.543_841_422_772, 0.824_844_281_416, 0.819_488_041_665, -0.117_476_264_159],
            [10.117_031_856_893, 0.114_691_065_787, 0.312_988_752_655, 0.132_921_337_694],
        ),
    ];
    for (loss, sigma, values, errors) in cases {
        let (model, experiment) = stack(loss, sigma);
        let report = run(&model, &[experiment], &FitOptions::default());
        for i in 0..4 {
            close(report.values[i], values[i], 1e-5);
            close(report.standard_errors[i], errors[i], 1e-5);
        }
        assert!(report.aic.is_nan() && report.bic.is_nan(), "there is no Gaussian likelihood");
    }
}

#[test]
fn a_robust_output_beside_a_plain_one_counts_by_its_own_scatter() {
    // Two outputs of one line; the robust one is so exact that the plain one alone decides, and the other way round.
    let mut noise = Noise(17);
    let times: Vec<f64> = (0..200).map(f64::from).collect();
    let line = |noise: &mut Noise, sigma: f64| -> Vec<f64> {
        times.iter().map(|t| 3.0 + 0.5 * t + sigma * noise.normal()).collect()
    };
    let model = |plain: f64, robust: f64| {
        let mut source = ModelSource {
            parameters: ["a", "b"].map(|name| parameter(name, 1.0, -100.0, 100.0, false)).to_vec(),
            outputs: vec![output("y", "a + b*t", plain), output("z", "a + b*t", robust)],
            ..ModelSource::default()
        };
        source.outputs[1].loss = Loss::Huber;
        compile(&source)
    };
    let measured = |values: Vec<f64>| Measured { times: times.clone(), values, weights: vec![] };
    let (exact, loose) = (measured(line(&mut noise, 0.01)), measured(line(&mut noise, 1.0)));
    let both =
        |y: &Measured, z: &Measured| Experiment { inputs: vec![], outputs: vec![y.clone(), z.clone()], span: None };
    let nothing = Measured::default();
    for (sigmas, (y, z)) in [((0.01, 1.0), (&exact, &loose)), ((1.0, 0.01), (&loose, &exact))] {
        let model = model(sigmas.0, sigmas.1);
        let report = run(&model, &[both(y, z)], &FitOptions::default());
        let decisive = if sigmas.0 < sigmas.1 { both(y, &nothing) } else { both(&nothing, z) };
        let alone = run(&model, &[decisive], &FitOptions::default());
        for i in 0..2 {
            // The other output adds 1e-4 of the information; the small-sample factors differ by about 1 %.
            close(report.standard_errors[i], alone.standard_errors[i], 0.03);
        }
    }
}
