//! Runs rules over a stream of individuals. A flag stands at the sample that completes its pattern, and that sample is part
//! of the pattern: of "two of three beyond 2σ" the third is flagged only if it is beyond itself.

/// A rule of Western Electric (Statistical Quality Control Handbook, 1956) or of Nelson (Journal of Quality Technology 16,
/// 1984). "Beyond" is strict; "in a row" and "of" mean on one side of the centre where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// One beyond 3σ: Western Electric 1, Nelson 1.
    BeyondThreeSigma,
    /// Two of three beyond 2σ: Western Electric 2, Nelson 5.
    TwoOfThree,
    /// Four of five beyond 1σ: Western Electric 3, Nelson 6.
    FourOfFive,
    /// Eight in a row off the centre: Western Electric 4.
    EightInARow,
    /// Nine in a row off the centre: Nelson 2.
    NineInARow,
    /// Six in a row each above, or each below, the one before: Nelson 3.
    SixTrending,
    /// Fourteen in a row up and down in turn: Nelson 4.
    FourteenAlternating,
    /// Fifteen in a row within 1σ, on whichever side: Nelson 7.
    FifteenWithin,
    /// Eight in a row beyond 1σ, on whichever side: Nelson 8.
    EightBeyond,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::BeyondThreeSigma,
        Self::TwoOfThree,
        Self::FourOfFive,
        Self::EightInARow,
        Self::NineInARow,
        Self::SixTrending,
        Self::FourteenAlternating,
        Self::FifteenWithin,
        Self::EightBeyond,
    ];
    /// Western Electric's, in their order.
    pub const WESTERN_ELECTRIC: [Self; 4] =
        [Self::BeyondThreeSigma, Self::TwoOfThree, Self::FourOfFive, Self::EightInARow];
    /// Nelson's, in their order.
    pub const NELSON: [Self; 8] = [
        Self::BeyondThreeSigma,
        Self::NineInARow,
        Self::SixTrending,
        Self::FourteenAlternating,
        Self::TwoOfThree,
        Self::FourOfFive,
        Self::FifteenWithin,
        Self::EightBeyond,
    ];

    /// Nelson's number, from 1 to 8. Western Electric's stand under that of the same pattern: 1, 5, 6, and 2 for eight in a row.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::BeyondThreeSigma => 1,
            Self::EightInARow | Self::NineInARow => 2,
            Self::SixTrending => 3,
            Self::FourteenAlternating => 4,
            Self::TwoOfThree => 5,
            Self::FourOfFive => 6,
            Self::FifteenWithin => 7,
            Self::EightBeyond => 8,
        }
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeyondThreeSigma => "one beyond 3 sigma",
            Self::TwoOfThree => "two of three beyond 2 sigma",
            Self::FourOfFive => "four of five beyond 1 sigma",
            Self::EightInARow => "eight in a row on one side",
            Self::NineInARow => "nine in a row on one side",
            Self::SixTrending => "six in a row rising or falling",
            Self::FourteenAlternating => "fourteen in a row up and down",
            Self::FifteenWithin => "fifteen in a row within 1 sigma",
            Self::EightBeyond => "eight in a row beyond 1 sigma",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Which rules a sample breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    /// Whether that rule is broken.
    #[must_use]
    pub const fn has(self, rule: Rule) -> bool {
        self.0 & rule.bit() != 0
    }

    /// Whether one of them is.
    #[must_use]
    pub fn any_of(self, rules: &[Rule]) -> bool {
        rules.iter().any(|rule| self.has(*rule))
    }

    fn set(&mut self, rule: Rule, broken: bool) {
        self.0 |= if broken { rule.bit() } else { 0 };
    }
}

/// A running chart: its whole memory.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    centre: f64,
    sigma: f64,
    /// The last five samples beyond 1σ and 2σ, above and below, newest in bit 0.
    above_one: u8,
    below_one: u8,
    above_two: u8,
    below_two: u8,
    /// Samples in a row on one side of the centre: above where positive.
    off_centre: i32,
    /// Steps in a row up where positive, down where negative.
    trend: i32,
    /// Steps in a row that each turned.
    turns: u32,
    within_one: u32,
    beyond_one: u32,
    before: Option<f64>,
}

/// Counts one more in a direction (1, −1) or starts anew with it; 0 ends the run.
const fn run(count: i32, direction: i32) -> i32 {
    if direction != 0 && count.signum() == direction { count.saturating_add(direction) } else { direction }
}

fn direction(difference: f64) -> i32 {
    if difference > 0.0 {
        1
    } else if difference < 0.0 {
        -1
    } else {
        0
    }
}

impl Runs {
    /// Of a process with this centre line and standard deviation, in the samples' unit. Where σ is not above zero or either is
    /// no number, no rule but those of runs and trends can be broken.
    #[must_use]
    pub const fn new(centre: f64, sigma: f64) -> Self {
        Self {
            centre,
            sigma,
            above_one: 0,
            below_one: 0,
            above_two: 0,
            below_two: 0,
            off_centre: 0,
            trend: 0,
            turns: 0,
            within_one: 0,
            beyond_one: 0,
            before: None,
        }
    }

    /// A bad or missing sample: what is in a row ends.
    pub const fn interrupt(&mut self) {
        *self = Self::new(self.centre, self.sigma);
    }

    /// Takes in a sample and flags it. One that is no finite number ends every run.
    pub fn add(&mut self, y: f64) -> Flags {
        let z = (y - self.centre) / self.sigma;
        if !y.is_finite() || z.is_nan() || self.sigma <= 0.0 {
            self.interrupt();
            return Flags::default();
        }
        self.zones(z);
        self.off_centre = run(self.off_centre, direction(y - self.centre));
        let step = direction(self.before.map_or(0.0, |before| y - before));
        self.turns = match (step, self.trend.signum()) {
            (0, _) => 0,
            (step, last) if step == -last => self.turns + 1,
            _ => 1,
        };
        self.trend = run(self.trend, step);
        self.before = Some(y);
        self.flags(z)
    }

    fn zones(&mut self, z: f64) {
        let push = |bits: &mut u8, beyond: bool| *bits = (*bits << 1 | u8::from(beyond)) & 0b1_1111;
        push(&mut self.above_one, z > 1.0);
        push(&mut self.below_one, z < -1.0);
        push(&mut self.above_two, z > 2.0);
        push(&mut self.below_two, z < -2.0);
        let beyond = z.abs() > 1.0;
        self.within_one = if beyond { 0 } else { self.within_one.saturating_add(1) };
        self.beyond_one = if beyond { self.beyond_one.saturating_add(1) } else { 0 };
    }

    fn flags(&self, z: f64) -> Flags {
        let of = |bits: u8, last: u8, wanted: u32| bits & 1 == 1 && (bits & last).count_ones() >= wanted;
        let mut flags = Flags::default();
        flags.set(Rule::BeyondThreeSigma, z.abs() > 3.0);
        flags.set(Rule::TwoOfThree, of(self.above_two, 0b111, 2) || of(self.below_two, 0b111, 2));
        flags.set(Rule::FourOfFive, of(self.above_one, 0b1_1111, 4) || of(self.below_one, 0b1_1111, 4));
        flags.set(Rule::EightInARow, self.off_centre.abs() >= 8);
        flags.set(Rule::NineInARow, self.off_centre.abs() >= 9);
        // Six samples are five steps, fourteen are thirteen.
        flags.set(Rule::SixTrending, self.trend.abs() >= 5);
        flags.set(Rule::FourteenAlternating, self.turns >= 13);
        flags.set(Rule::FifteenWithin, self.within_one >= 15);
        flags.set(Rule::EightBeyond, self.beyond_one >= 8);
        flags
    }
}
