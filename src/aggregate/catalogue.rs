//! The Aggregates by name. Part 13 §4.2.2 and its Table 5 for the standard ones; five of ours after them.

macro_rules! aggregates {
    ($($name:ident, $id:expr, $text:literal;)*) => {
        /// An Aggregate: a function of the history in one ProcessingInterval.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Aggregate {
            $(#[doc = $text] $name,)*
        }

        impl Aggregate {
            /// Every one: the 37 of Part 13, then ours.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// BrowseName.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Identifier of the AggregateFunction object in namespace 0; `None`: not of the standard.
            #[must_use]
            pub const fn standard_id(self) -> Option<u32> {
                match self {
                    $(Self::$name => $id,)*
                }
            }

            /// What it answers, one sentence (the Description attribute, §4.2.2.2).
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

aggregates! {
    Interpolative, Some(2341), "The value at the start of each interval, interpolated where no sample is there.";
    Average, Some(2342), "The mean of the Good samples in the interval.";
    TimeAverage, Some(2343), "The time-weighted mean over the interval with interpolated bounding values.";
    TimeAverage2, Some(11285), "The time-weighted mean over the interval with simple bounding values.";
    Total, Some(2344), "The time integral (in seconds) over the interval with interpolated bounding values.";
    Total2, Some(11304), "The time integral (in seconds) over the interval with simple bounding values.";
    Minimum, Some(2346), "The least Good sample in the interval, at the start of the interval.";
    Maximum, Some(2347), "The greatest Good sample in the interval, at the start of the interval.";
    MinimumActualTime, Some(2348), "The least Good sample in the interval, at its own time.";
    MaximumActualTime, Some(2349), "The greatest Good sample in the interval, at its own time.";
    Range, Some(2350), "The difference between the greatest and the least Good sample in the interval.";
    Minimum2, Some(11286), "The least value in the interval, simple bounding values included.";
    Maximum2, Some(11287), "The greatest value in the interval, simple bounding values included.";
    MinimumActualTime2, Some(11305), "The least value in the interval, simple bounding values included, at its own time.";
    MaximumActualTime2, Some(11306), "The greatest value in the interval, simple bounding values included, at its own time.";
    Range2, Some(11288), "The difference between Maximum2 and Minimum2.";
    AnnotationCount, Some(2351), "The number of annotations in the interval.";
    Count, Some(2352), "The number of Good samples in the interval.";
    DurationInStateZero, Some(11307), "How long (in milliseconds) the variable was Good and zero.";
    DurationInStateNonZero, Some(11308), "How long (in milliseconds) the variable was Good and not zero.";
    NumberOfTransitions, Some(2355), "How often the value changed in the interval.";
    Start, Some(2357), "The first sample in the interval, at its own time.";
    End, Some(2358), "The last sample in the interval, at its own time.";
    Delta, Some(2359), "The last minus the first Good sample in the interval.";
    StartBound, Some(11505), "The simple bounding value at the start of the interval.";
    EndBound, Some(11506), "The simple bounding value at the end of the interval.";
    DeltaBounds, Some(11507), "EndBound minus StartBound.";
    DurationGood, Some(2360), "How long (in milliseconds) the status was Good.";
    DurationBad, Some(2361), "How long (in milliseconds) the status was Bad.";
    PercentGood, Some(2362), "The share of the interval (0 to 100) with a Good status.";
    PercentBad, Some(2363), "The share of the interval (0 to 100) with a Bad status.";
    WorstQuality, Some(2364), "The worst status of the samples in the interval.";
    WorstQuality2, Some(11292), "The worst status in the interval, simple bounding values included.";
    StandardDeviationSample, Some(11426), "Standard deviation of the Good samples, of a sample (n - 1).";
    VarianceSample, Some(11428), "Variance of the Good samples, of a sample (n - 1).";
    StandardDeviationPopulation, Some(11427), "Standard deviation of the Good samples, of a population (n).";
    VariancePopulation, Some(11429), "Variance of the Good samples, of a population (n).";
    Median, None, "The median of the Good samples in the interval.";
    Percentile05, None, "The value that 5 % of the Good samples in the interval lie below.";
    Percentile95, None, "The value that 95 % of the Good samples in the interval lie below.";
    RootMeanSquare, None, "The root of the mean square of the Good samples in the interval.";
    Cpk, None, "Process capability: the distance from the mean to the nearer limit in units of three standard deviations.";
}
