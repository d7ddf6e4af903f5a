//! Units of UNECE Recommendation 20, by their common codes, as multiples of the SI's: y = factor·x + offset from one to another of the same
//! quantity. The result is a Double; status and SourceTimestamp are the sample's own.

/// One quantity: its units' codes, and what 1 and 0 of each are in the SI's own.
type Quantity = (&'static str, &'static [(&'static str, f64, f64)]);

/// What a value in unit `from` is in unit `to`: factor and offset. `None`: they are not of one quantity, or a code is not known.
#[must_use]
pub fn conversion(from: &str, to: &str) -> Option<(f64, f64)> {
    let of = |code: &str, units: &[(&str, f64, f64)]| {
        units.iter().find(|unit| unit.0 == code).map(|(_, factor, offset)| (*factor, *offset))
    };
    let both = |(_, units): &Quantity| Some((of(from, units)?, of(to, units)?));
    let ((from, zero), (to, to_zero)) = QUANTITIES.iter().find_map(both)?;
    Some((from / to, (zero - to_zero) / to))
}

/// What a unit is of, and the codes of all units of that.
#[must_use]
pub fn quantity(code: &str) -> Option<(&'static str, impl Iterator<Item = &'static str>)> {
    let (name, units) = QUANTITIES.iter().find(|(_, units)| units.iter().any(|unit| unit.0 == code))?;
    Some((name, units.iter().map(|unit| unit.0)))
}

#[rustfmt::skip]
const QUANTITIES: &[Quantity] = &[
    ("a ratio", &[("C62", 1.0, 0.0), ("P1", 1e-2, 0.0), ("59", 1e-6, 0.0)]),
    ("a temperature", &[("KEL", 1.0, 0.0), ("CEL", 1.0, 273.15), ("FAH", 5.0 / 9.0, 459.67 * 5.0 / 9.0)]),
    ("a rate of temperature", &[("F12", 1.0, 0.0), ("F11", 1.0 / 60.0, 0.0), ("H13", 1.0 / 60.0, 0.0)]),
    ("a current", &[("AMP", 1.0, 0.0), ("B22", 1e3, 0.0), ("4K", 1e-3, 0.0), ("B84", 1e-6, 0.0)]),
    ("a voltage", &[("VLT", 1.0, 0.0), ("KVT", 1e3, 0.0), ("2Z", 1e-3, 0.0), ("D82", 1e-6, 0.0)]),
    ("a resistance", &[("OHM", 1.0, 0.0), ("B49", 1e3, 0.0), ("B75", 1e6, 0.0)]),
    ("a capacitance", &[("FAR", 1.0, 0.0), ("4O", 1e-6, 0.0), ("C41", 1e-9, 0.0), ("4T", 1e-12, 0.0)]),
    ("an inductance", &[("81", 1.0, 0.0), ("C14", 1e-3, 0.0)]),
    ("a charge", &[("COU", 1.0, 0.0), ("AMH", 3600.0, 0.0)]),
    ("a conductivity", &[("D10", 1.0, 0.0), ("H61", 0.1, 0.0), ("G42", 1e-4, 0.0)]),
    ("a flux density", &[("D33", 1.0, 0.0), ("C29", 1e-3, 0.0)]),
    ("a power", &[("WTT", 1.0, 0.0), ("C31", 1e-3, 0.0), ("KWT", 1e3, 0.0), ("MAW", 1e6, 0.0)]),
    ("an apparent power", &[("D46", 1.0, 0.0), ("KVA", 1e3, 0.0)]),
    ("a reactive power", &[("D44", 1.0, 0.0), ("KVR", 1e3, 0.0)]),
    ("an energy", &[("JOU", 1.0, 0.0), ("KJO", 1e3, 0.0), ("3B", 1e6, 0.0), ("GV", 1e9, 0.0), ("WHR", 3.6e3, 0.0), ("KWH", 3.6e6, 0.0), ("MWH", 3.6e9, 0.0)]),
    ("a specific energy", &[("J2", 1.0, 0.0), ("B42", 1e3, 0.0)]),
    ("a specific heat", &[("B11", 1.0, 0.0), ("B43", 1e3, 0.0)]),
    ("a pressure", &[("PAL", 1.0, 0.0), ("A97", 1e2, 0.0), ("KPA", 1e3, 0.0), ("MPA", 1e6, 0.0), ("BAR", 1e5, 0.0), ("MBR", 1e2, 0.0), ("PS", 6_894.757_293_168_361, 0.0), ("C56", 1e6, 0.0)]),
    ("a length", &[("MTR", 1.0, 0.0), ("CMT", 1e-2, 0.0), ("MMT", 1e-3, 0.0), ("4H", 1e-6, 0.0), ("C45", 1e-9, 0.0), ("KMT", 1e3, 0.0), ("INH", 0.0254, 0.0), ("FOT", 0.3048, 0.0)]),
    ("an area", &[("MTK", 1.0, 0.0), ("CMK", 1e-4, 0.0), ("MMK", 1e-6, 0.0)]),
    ("a volume", &[("MTQ", 1.0, 0.0), ("CMQ", 1e-6, 0.0), ("MMQ", 1e-9, 0.0), ("LTR", 1e-3, 0.0), ("MLT", 1e-6, 0.0)]),
    ("an angle", &[("C81", 1.0, 0.0), ("DD", std::f64::consts::PI / 180.0, 0.0)]),
    ("a speed of rotation", &[("2A", 1.0, 0.0), ("RPM", std::f64::consts::TAU / 60.0, 0.0), ("RPS", std::f64::consts::TAU, 0.0)]),
    ("a speed", &[("MTS", 1.0, 0.0), ("2M", 1e-2, 0.0), ("C16", 1e-3, 0.0), ("KMH", 1.0 / 3.6, 0.0), ("2X", 1.0 / 60.0, 0.0)]),
    ("a flow of volume", &[("MQS", 1.0, 0.0), ("MQH", 1.0 / 3600.0, 0.0), ("G53", 1.0 / 60.0, 0.0), ("L2", 1e-3 / 60.0, 0.0), ("G51", 1e-3, 0.0), ("E32", 1e-3 / 3600.0, 0.0)]),
    ("a flow of mass", &[("KGS", 1.0, 0.0), ("F31", 1.0 / 60.0, 0.0), ("E93", 1.0 / 3600.0, 0.0), ("E18", 1.0 / 3.6, 0.0)]),
    ("a mass", &[("KGM", 1.0, 0.0), ("GRM", 1e-3, 0.0), ("MGM", 1e-6, 0.0), ("MC", 1e-9, 0.0), ("TNE", 1e3, 0.0)]),
    ("a density", &[("KMQ", 1.0, 0.0), ("23", 1e3, 0.0), ("A93", 1e-3, 0.0), ("GP", 1e-6, 0.0), ("GQ", 1e-9, 0.0), ("GL", 1.0, 0.0), ("M1", 1e-3, 0.0)]),
    ("an amount", &[("C34", 1.0, 0.0), ("C18", 1e-3, 0.0)]),
    ("a concentration", &[("C36", 1.0, 0.0), ("C38", 1e3, 0.0)]),
    ("a force", &[("NEW", 1.0, 0.0), ("B47", 1e3, 0.0)]),
    ("a stiffness", &[("4P", 1.0, 0.0), ("F47", 1e3, 0.0)]),
    ("a viscosity", &[("C65", 1.0, 0.0), ("C24", 1e-3, 0.0)]),
    ("a kinematic viscosity", &[("S4", 1.0, 0.0), ("C17", 1e-6, 0.0)]),
    ("a time", &[("SEC", 1.0, 0.0), ("C26", 1e-3, 0.0), ("B98", 1e-6, 0.0), ("MIN", 60.0, 0.0), ("HUR", 3600.0, 0.0), ("DAY", 86_400.0, 0.0)]),
    ("a frequency", &[("HTZ", 1.0, 0.0), ("KHZ", 1e3, 0.0), ("MHZ", 1e6, 0.0), ("A86", 1e9, 0.0), ("C97", 1.0, 0.0), ("H10", 1.0 / 3600.0, 0.0)]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn conversions_known_from_elsewhere() {
        for (from, x, to, expected) in [
            ("FAH", 212.0, "CEL", 100.0),
            ("FAH", -40.0, "CEL", -40.0),
            ("CEL", 0.0, "KEL", 273.15),
            ("KEL", 0.0, "FAH", -459.67),
            ("PS", 14.503_773_773, "BAR", 1.0),
            ("KWH", 1.0, "3B", 3.6),
            ("L2", 1000.0, "MQH", 60.0),
            ("RPM", 60.0, "2A", std::f64::consts::TAU),
            ("KMH", 36.0, "MTS", 10.0),
            ("G42", 1000.0, "H61", 1.0),
            ("E18", 3.6, "KGS", 1.0),
            ("FOT", 1.0, "INH", 12.0),
            ("C56", 1.0, "BAR", 10.0),
        ] {
            let (factor, offset) = conversion(from, to).unwrap();
            let y = factor * x + offset;
            // 1e-10: psi is given above to 11 digits; all else is rounding.
            assert!((y - expected).abs() <= 1e-10 * expected.abs().max(1.0), "{x} {from} = {y} {to}");
        }
        assert_eq!(conversion("BAR", "BAR"), Some((1.0, 0.0)));
        assert_eq!((conversion("BAR", "CEL"), conversion("BAR", "nothing")), (None, None));
    }

    #[test]
    fn there_and_back_is_the_same_and_no_unit_stands_twice() {
        let mut codes = HashSet::new();
        for (_, units) in QUANTITIES {
            for (from, ..) in *units {
                assert!(codes.insert(from), "{from}");
                assert!(quantity(from).unwrap().1.count() == units.len());
                for (to, ..) in *units {
                    let ((there, a), (back, b)) = (conversion(from, to).unwrap(), conversion(to, from).unwrap());
                    let x = back * (there * 17.0 + a) + b;
                    assert!((x - 17.0).abs() < 1e-9, "{from} {to} {x}");
                }
            }
        }
    }
}
