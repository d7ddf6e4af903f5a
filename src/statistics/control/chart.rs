//! The charts of one variable side by side, against the centre and the σ of a reference period: runs rules, EWMA and CUSUM. A
//! sample costs O(1). What interrupts ends the runs; the other two go on with the next sample. Nothing is latched: a reading
//! says what holds of the newest sample.

use super::{Average, Cusum, Ewma, EwmaLimits, Flags, Rule, Runs, Sums};
use crate::statistics::capability::Baseline;

/// Which runs rules are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleSet {
    /// [`Rule::WESTERN_ELECTRIC`]: together one false alarm in 92 samples (Champ and Woodall 1987).
    #[default]
    WesternElectric,
    /// [`Rule::NELSON`]: more of them, so more false alarms.
    Nelson,
}

impl RuleSet {
    /// In the order of their source.
    #[must_use]
    pub const fn rules(self) -> &'static [Rule] {
        match self {
            Self::WesternElectric => &Rule::WESTERN_ELECTRIC,
            Self::Nelson => &Rule::NELSON,
        }
    }
}

/// What is charted, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChartSettings {
    /// Runs rules.
    pub rules: RuleSet,
    /// Average run length of the EWMA and of the CUSUM, each for itself, in samples while nothing has changed.
    pub arl0: f64,
    /// With limits that do not narrow towards a chart's begin (Lucas and Saccucci 1990): charts begin anew with every window
    /// that history fills.
    pub ewma: Ewma,
    /// Without a head start.
    pub cusum: Cusum,
}

impl ChartSettings {
    /// Limits for independent normal samples: `arl0` samples until a false alarm, k in σ, λ the newest sample's weight. `None`
    /// beyond what [`Cusum::with_arl0`] and [`Ewma::with_arl0`] take, and where no limit is that narrow.
    #[must_use]
    pub fn new(rules: RuleSet, arl0: f64, k: f64, lambda: f64) -> Option<Self> {
        let ewma = Ewma::with_arl0(lambda, arl0, EwmaLimits::Asymptotic)?;
        Some(Self { rules, arl0, ewma, cusum: Cusum::with_arl0(k, arl0)? })
    }
}

/// What the charts say of the newest sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    rules: RuleSet,
    flags: Flags,
    /// In the variable's unit.
    pub ewma: f64,
    /// Lower and upper, in the variable's unit.
    pub ewma_limits: (f64, f64),
    /// S⁺ and S⁻, in σ; neither is below zero.
    pub cusum: (f64, f64),
    /// What both should stay below, in σ.
    pub cusum_limit: f64,
}

impl Reading {
    /// The rules that the newest sample breaks, of those looked at.
    pub fn broken(&self) -> impl Iterator<Item = Rule> {
        let flags = self.flags;
        self.rules.rules().iter().copied().filter(move |rule| flags.has(*rule))
    }

    /// Whether no rule is broken and EWMA and CUSUM are within their limits.
    #[must_use]
    pub fn in_control(&self) -> bool {
        let (lower, upper) = self.ewma_limits;
        let (high, low) = self.cusum;
        self.broken().next().is_none()
            && (lower..=upper).contains(&self.ewma)
            && high <= self.cusum_limit
            && low <= self.cusum_limit
    }
}

/// The running charts: their whole memory.
#[derive(Clone, Debug)]
pub struct Chart {
    settings: ChartSettings,
    /// `None`: no sample yet.
    running: Option<Running>,
}

#[derive(Clone, Debug)]
struct Running {
    centre: f64,
    sigma: f64,
    runs: Runs,
    flags: Flags,
    average: Average,
    sums: Sums,
}

impl Chart {
    /// Before the first sample.
    #[must_use]
    pub const fn new(settings: ChartSettings) -> Self {
        Self { settings, running: None }
    }

    /// Takes in a finite sample. The first one's baseline holds until [`Self::restart`]; without a σ above zero nothing is
    /// charted.
    pub fn add(&mut self, baseline: &Baseline, y: f64) {
        let (centre, sigma) = (baseline.mean, baseline.sigma_within());
        if self.running.is_none() && centre.is_finite() && sigma.is_finite() && sigma > 0.0 {
            let sums = Sums::new(&self.settings.cusum);
            let (runs, average) = (Runs::new(centre, sigma), Average::default());
            self.running = Some(Running { centre, sigma, runs, flags: Flags::default(), average, sums });
        }
        let Some(running) = &mut self.running else { return };
        running.flags = running.runs.add(y);
        let z = (y - running.centre) / running.sigma;
        // An infinite one, of a σ near zero, would stay in the sums for ever.
        if z.is_finite() {
            running.average.add(&self.settings.ewma, z);
            running.sums.add(&self.settings.cusum, z);
        }
    }

    /// A Bad or missing sample, or one that does not count.
    pub const fn interrupt(&mut self) {
        if let Some(running) = &mut self.running {
            running.runs.interrupt();
        }
    }

    /// Begins anew with the next sample.
    pub fn restart(&mut self) {
        self.running = None;
    }

    /// As of the newest sample; `None` before the first.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        let Running { centre, sigma, flags, average, sums, .. } = self.running.as_ref()?;
        let reach = sigma * average.limit(&self.settings.ewma);
        Some(Reading {
            rules: self.settings.rules,
            flags: *flags,
            ewma: centre + sigma * average.value,
            ewma_limits: (centre - reach, centre + reach),
            cusum: (sums.up.value, sums.down.value),
            cusum_limit: self.settings.cusum.h,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::capability::D2;

    fn chart() -> Chart {
        Chart::new(ChartSettings::new(RuleSet::default(), 370.0, 0.5, 0.2).unwrap())
    }

    #[test]
    fn limits_are_those_of_the_literature() {
        // Montgomery, §9.1: k = 0.5 and h = 4.77 have an ARL of 370; §9.2, after Lucas and Saccucci: λ = 0.2 and L = 2.962 one
        // of about 500.
        let h = chart().settings.cusum.h;
        assert!((h - 4.77).abs() < 5e-3, "{h}");
        let width = ChartSettings::new(RuleSet::Nelson, 500.0, 0.5, 0.2).unwrap().ewma.width;
        assert!((width - 2.962).abs() < 2e-3, "{width}");
        assert_eq!(ChartSettings::new(RuleSet::Nelson, 100.0, 3.0, 0.2), None, "a CUSUM of k = 3 is never that quick");
    }

    #[test]
    fn a_hole_ends_runs_but_not_the_averages() {
        let baseline = Baseline { mean: 10.0, moving_range: 2.0 * D2 };
        let (mut whole, mut holed) = (chart(), chart());
        for i in 0..8 {
            if i == 4 {
                holed.interrupt();
            }
            whole.add(&baseline, 11.0);
            holed.add(&baseline, 11.0);
        }
        let (whole, holed) = (whole.reading().unwrap(), holed.reading().unwrap());
        assert_eq!(whole.broken().collect::<Vec<_>>(), [Rule::EightInARow]);
        assert!(!whole.in_control() && holed.in_control(), "{holed:?}");
        assert_eq!((whole.ewma, whole.cusum), (holed.ewma, holed.cusum));
    }

    #[test]
    fn without_a_baseline_nothing_is_charted_and_a_new_begin_forgets() {
        let mut chart = chart();
        for moving_range in [0.0, f64::NAN] {
            chart.add(&Baseline { mean: 1.0, moving_range }, 1.0);
            assert_eq!(chart.reading(), None);
        }
        chart.add(&Baseline { mean: 1.0, moving_range: D2 }, 5.0);
        assert!(chart.reading().is_some_and(|reading| !reading.in_control()));
        chart.restart();
        assert_eq!(chart.reading(), None);
    }
}
