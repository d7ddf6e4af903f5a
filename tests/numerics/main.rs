//! The numerics against outside truth: certified problems, exact solutions, independent integrators.

// `allow-unwrap-in-tests` covers test functions, not their helpers.
#![allow(clippy::unwrap_used)]

mod control;
mod correlation;
mod coverage;
mod diagnostics;
mod drift;
mod exact;
mod experiments;
mod honesty;
mod hostile;
mod identification;
mod language;
mod library;
mod library_cases;
mod library_coverage;
mod library_reference;
mod nist;
mod observer;
mod oracle_series;
mod part13;
mod part13_cases;
mod part13_properties;
mod part13_reference;
mod pharmacokinetics;
mod prediction;
mod profile;
mod sensitivity;
mod setpoints;
mod statistics;
mod stiff;
mod support;
