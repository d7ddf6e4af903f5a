//! Engineering units: what people write in a configuration, and the EUInformation that stands for it. Pure.

use opcua::types::{EUInformation, LocalizedText, UAString};

/// The NamespaceUri of units of UNECE Recommendation 20 (Part 8 §5.6.3).
pub const UNECE_NAMESPACE: &str = "http://www.opcfoundation.org/UA/units/un/cefact";
/// The UnitId of a unit that has none (Part 8 §5.6.3).
pub const NO_UNIT_ID: i32 = -1;

/// Symbols (the first is the one shown), common code, name: of Recommendation 20 what plants use.
type Unit = (&'static [&'static str], &'static str, &'static str);

/// The EngineeringUnits of a variable. None is the dimensionless `C62`; a text that Recommendation 20 has no code for is kept as it
/// is, with UnitId -1.
pub fn engineering_units(unit: Option<&str>) -> EUInformation {
    let text = unit.map(str::trim).filter(|text| !text.is_empty()).unwrap_or("1");
    let (namespace_uri, unit_id, display_name, description) = match find(text) {
        Some((symbols, code, name)) => {
            (UNECE_NAMESPACE.into(), unit_id(code), symbols.first().copied().unwrap_or(text), *name)
        }
        None => (UAString::null(), NO_UNIT_ID, text, text),
    };
    EUInformation { namespace_uri, unit_id, display_name: localized(display_name), description: localized(description) }
}

/// The common code of a unit, if Recommendation 20 has one that we know.
pub fn common_code(unit: &str) -> Option<&'static str> {
    find(unit).map(|(_, code, _)| *code)
}

/// Every unit that we know: the symbol that is shown, and its common code.
pub fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNITS.iter().filter_map(|(symbols, code, _)| Some((*symbols.first()?, *code)))
}

/// Every way to write a unit that we know.
pub fn spellings() -> impl Iterator<Item = &'static str> {
    UNITS.iter().flat_map(|(symbols, ..)| symbols.iter().copied())
}

/// The UnitId of a common code: its ASCII characters as the bytes of a big-endian integer (Part 8 §5.6.3).
pub fn unit_id(code: &str) -> i32 {
    code.bytes().fold(0, |id, byte| id << 8 | i32::from(byte))
}

fn find(unit: &str) -> Option<&'static Unit> {
    let unit = plain(unit);
    UNITS.iter().find(|(symbols, ..)| symbols.iter().any(|symbol| plain(symbol) == unit))
}

/// One spelling for what looks the same or is typed the same: m³/h, m3/h and m^3/h; N·m and N*m; the two mu and the two omega of
/// Unicode. Case stays: mW is not MW.
fn plain(unit: &str) -> String {
    let spelled = |character| match character {
        '²' => Some('2'),
        '³' => Some('3'),
        '·' | '⋅' | '*' | ' ' => Some('.'),
        '\u{3bc}' => Some('\u{b5}'),
        '\u{2126}' => Some('\u{3a9}'),
        '^' => None,
        other => Some(other),
    };
    unit.trim().replace(" / ", "/").chars().filter_map(spelled).collect()
}

fn localized(text: &str) -> LocalizedText {
    LocalizedText { locale: UAString::null(), text: text.into() }
}

#[rustfmt::skip]
const UNITS: &[Unit] = &[
    // Dimensionless.
    (&["1"], "C62", "one"),
    (&["%", "pct", "percent"], "P1", "percent"),
    (&["ppm"], "59", "part per million"),
    (&["dB"], "2N", "decibel"),
    // Temperature.
    (&["°C", "degC"], "CEL", "degree Celsius"),
    (&["K"], "KEL", "kelvin"),
    (&["°F", "degF"], "FAH", "degree Fahrenheit"),
    (&["K/s"], "F12", "kelvin per second"),
    (&["K/min"], "F11", "kelvin per minute"),
    (&["°C/min"], "H13", "degree Celsius per minute"),
    // Electricity.
    (&["A"], "AMP", "ampere"),
    (&["kV"], "KVT", "kilovolt"),
    (&["V"], "VLT", "volt"),
    (&["mV"], "2Z", "millivolt"),
    (&["µV"], "D82", "microvolt"),
    (&["kA"], "B22", "kiloampere"),
    (&["mA"], "4K", "milliampere"),
    (&["µA"], "B84", "microampere"),
    (&["Ω", "Ohm"], "OHM", "ohm"),
    (&["kΩ"], "B49", "kiloohm"),
    (&["MΩ"], "B75", "megaohm"),
    (&["F"], "FAR", "farad"),
    (&["µF"], "4O", "microfarad"),
    (&["nF"], "C41", "nanofarad"),
    (&["pF"], "4T", "picofarad"),
    (&["H"], "81", "henry"),
    (&["mH"], "C14", "millihenry"),
    (&["C"], "COU", "coulomb"),
    (&["Ah", "A·h"], "AMH", "ampere hour"),
    (&["S"], "SIE", "siemens"),
    (&["S/m"], "D10", "siemens per metre"),
    (&["mS/cm"], "H61", "millisiemens per centimetre"),
    (&["µS/cm"], "G42", "microsiemens per centimetre"),
    (&["V/m"], "D50", "volt per metre"),
    (&["T"], "D33", "tesla"),
    (&["mT"], "C29", "millitesla"),
    (&["Wb"], "WEB", "weber"),
    // Power and energy.
    (&["W"], "WTT", "watt"),
    (&["mW"], "C31", "milliwatt"),
    (&["kW"], "KWT", "kilowatt"),
    (&["MW"], "MAW", "megawatt"),
    (&["VA", "V·A"], "D46", "volt ampere"),
    (&["kVA", "kV·A"], "KVA", "kilovolt ampere"),
    (&["var"], "D44", "var"),
    (&["kvar"], "KVR", "kilovar"),
    (&["J"], "JOU", "joule"),
    (&["kJ"], "KJO", "kilojoule"),
    (&["MJ"], "3B", "megajoule"),
    (&["GJ"], "GV", "gigajoule"),
    (&["Wh", "W·h"], "WHR", "watt hour"),
    (&["kWh", "kW·h"], "KWH", "kilowatt hour"),
    (&["MWh", "MW·h"], "MWH", "megawatt hour"),
    // Heat.
    (&["J/K"], "JE", "joule per kelvin"),
    (&["W/K"], "D52", "watt per kelvin"),
    (&["K/W"], "B21", "kelvin per watt"),
    (&["W/m²"], "D54", "watt per square metre"),
    (&["W/(m²·K)", "W/(m²K)", "W/m²K", "W/m²/K"], "D55", "watt per square metre kelvin"),
    (&["W/(m·K)", "W/(mK)", "W/mK"], "D53", "watt per metre kelvin"),
    (&["J/kg"], "J2", "joule per kilogram"),
    (&["kJ/kg"], "B42", "kilojoule per kilogram"),
    (&["J/(kg·K)", "J/(kgK)", "J/kgK"], "B11", "joule per kilogram kelvin"),
    (&["kJ/(kg·K)", "kJ/(kgK)", "kJ/kgK"], "B43", "kilojoule per kilogram kelvin"),
    // Pressure.
    (&["Pa"], "PAL", "pascal"),
    (&["hPa"], "A97", "hectopascal"),
    (&["kPa"], "KPA", "kilopascal"),
    (&["MPa"], "MPA", "megapascal"),
    (&["bar"], "BAR", "bar"),
    (&["mbar"], "MBR", "millibar"),
    (&["psi"], "PS", "pound-force per square inch"),
    (&["N/mm²"], "C56", "newton per square millimetre"),
    // Length, area, volume.
    (&["m"], "MTR", "metre"),
    (&["cm"], "CMT", "centimetre"),
    (&["mm"], "MMT", "millimetre"),
    (&["µm"], "4H", "micrometre"),
    (&["nm"], "C45", "nanometre"),
    (&["km"], "KMT", "kilometre"),
    (&["in"], "INH", "inch"),
    (&["ft"], "FOT", "foot"),
    (&["m²"], "MTK", "square metre"),
    (&["cm²"], "CMK", "square centimetre"),
    (&["mm²"], "MMK", "square millimetre"),
    (&["m³"], "MTQ", "cubic metre"),
    (&["cm³"], "CMQ", "cubic centimetre"),
    (&["mm³"], "MMQ", "cubic millimetre"),
    (&["l", "L"], "LTR", "litre"),
    (&["ml", "mL"], "MLT", "millilitre"),
    // Angle and rotation.
    (&["°", "deg"], "DD", "degree"),
    (&["rad"], "C81", "radian"),
    (&["rad/s"], "2A", "radian per second"),
    (&["rad/s²"], "2B", "radian per second squared"),
    (&["rpm", "r/min", "U/min", "1/min", "min⁻¹", "min-1"], "RPM", "revolution per minute"),
    (&["r/s"], "RPS", "revolution per second"),
    // Speed and acceleration.
    (&["m/s"], "MTS", "metre per second"),
    (&["cm/s"], "2M", "centimetre per second"),
    (&["mm/s"], "C16", "millimetre per second"),
    (&["km/h"], "KMH", "kilometre per hour"),
    (&["m/min"], "2X", "metre per minute"),
    (&["m/s²"], "MSK", "metre per second squared"),
    // Flow.
    (&["m³/h"], "MQH", "cubic metre per hour"),
    (&["m³/min"], "G53", "cubic metre per minute"),
    (&["m³/s"], "MQS", "cubic metre per second"),
    (&["l/min", "L/min"], "L2", "litre per minute"),
    (&["l/s", "L/s"], "G51", "litre per second"),
    (&["l/h", "L/h"], "E32", "litre per hour"),
    (&["kg/s"], "KGS", "kilogram per second"),
    (&["kg/min"], "F31", "kilogram per minute"),
    (&["kg/h"], "E93", "kilogram per hour"),
    (&["t/h"], "E18", "tonne per hour"),
    // Mass, density, concentration.
    (&["g"], "GRM", "gram"),
    (&["mg"], "MGM", "milligram"),
    (&["µg"], "MC", "microgram"),
    (&["kg"], "KGM", "kilogram"),
    (&["t"], "TNE", "tonne"),
    (&["kg/m³"], "KMQ", "kilogram per cubic metre"),
    (&["g/cm³"], "23", "gram per cubic centimetre"),
    (&["g/m³"], "A93", "gram per cubic metre"),
    (&["mg/m³"], "GP", "milligram per cubic metre"),
    (&["µg/m³"], "GQ", "microgram per cubic metre"),
    (&["g/l", "g/L"], "GL", "gram per litre"),
    (&["mg/l", "mg/L"], "M1", "milligram per litre"),
    (&["mol"], "C34", "mole"),
    (&["mmol"], "C18", "millimole"),
    (&["mol/m³"], "C36", "mole per cubic metre"),
    (&["mol/l", "mol/L"], "C38", "mole per litre"),
    (&["pH"], "Q30", "pH"),
    // Mechanics.
    (&["N"], "NEW", "newton"),
    (&["kN"], "B47", "kilonewton"),
    (&["N·m", "Nm"], "NU", "newton metre"),
    (&["N/m"], "4P", "newton per metre"),
    (&["N/mm"], "F47", "newton per millimetre"),
    (&["kg·m²"], "B32", "kilogram metre squared"),
    (&["Pa·s", "Pas"], "C65", "pascal second"),
    (&["mPa·s", "mPas"], "C24", "millipascal second"),
    (&["m²/s"], "S4", "square metre per second"),
    (&["mm²/s"], "C17", "millimetre squared per second"),
    // Time and frequency.
    (&["s"], "SEC", "second"),
    (&["ms"], "C26", "millisecond"),
    (&["µs"], "B98", "microsecond"),
    (&["min"], "MIN", "minute"),
    (&["h"], "HUR", "hour"),
    (&["d"], "DAY", "day"),
    (&["Hz"], "HTZ", "hertz"),
    (&["kHz"], "KHZ", "kilohertz"),
    (&["MHz"], "MHZ", "megahertz"),
    (&["GHz"], "A86", "gigahertz"),
    (&["1/s", "s⁻¹", "s-1"], "C97", "reciprocal second"),
    (&["1/h"], "H10", "reciprocal hour"),
    // Light.
    (&["cd"], "CDL", "candela"),
    (&["lm"], "LUM", "lumen"),
    (&["lx"], "LUX", "lux"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::quantity;
    use std::collections::HashSet;

    #[test]
    fn a_unit_id_is_the_code_as_published() {
        // As in the table UNECE_to_OPCUA that the OPC Foundation publishes.
        for (code, id) in
            [("CEL", 4_408_652), ("C62", 4_404_786), ("AMP", 4_279_632), ("2N", 12_878), ("DD", 17_476), ("P1", 20_529)]
        {
            assert_eq!(unit_id(code), id, "{code}");
        }
    }

    #[test]
    fn a_unit_is_known_however_it_is_typed() {
        for (typed, code, shown) in [
            ("°C", "CEL", "°C"),
            ("degC", "CEL", "°C"),
            ("m3/h", "MQH", "m³/h"),
            ("m^3/h", "MQH", "m³/h"),
            ("m³ / h", "MQH", "m³/h"),
            ("Nm", "NU", "N·m"),
            ("N*m", "NU", "N·m"),
            ("1/min", "RPM", "rpm"),
            ("W/(m2 K)", "D55", "W/(m²·K)"),
            ("\u{3bc}m", "4H", "µm"),
            ("\u{2126}", "OHM", "Ω"),
            ("mW", "C31", "mW"),
            ("MW", "MAW", "MW"),
            (" bar ", "BAR", "bar"),
        ] {
            let units = engineering_units(Some(typed));
            assert_eq!((units.unit_id, units.display_name.text.as_ref()), (unit_id(code), shown), "{typed}");
            assert_eq!(units.namespace_uri.as_ref(), UNECE_NAMESPACE, "{typed}");
        }
    }

    #[test]
    fn an_unknown_unit_keeps_its_text_and_none_is_dimensionless() {
        let unknown = engineering_units(Some("Stück/Palette"));
        assert_eq!((unknown.unit_id, unknown.display_name.text.as_ref()), (NO_UNIT_ID, "Stück/Palette"));
        assert!(unknown.namespace_uri.is_null());
        for none in [None, Some(""), Some("  ")] {
            assert_eq!(engineering_units(none).unit_id, unit_id("C62"));
        }
    }

    #[test]
    fn what_can_be_converted_is_among_the_known_units() {
        let convertible = known().filter(|(_, code)| quantity(code).is_some()).count();
        let listed: usize = ["CEL", "BAR", "MQH"].iter().map(|code| quantity(code).unwrap().1.count()).sum();
        assert!(convertible > 100 && listed == 3 + 8 + 6, "{convertible} {listed}");
        let of_quantities = known().filter_map(|(_, code)| quantity(code)).flat_map(|(_, codes)| codes);
        assert!(of_quantities.collect::<HashSet<_>>().iter().all(|code| known().any(|(_, known)| known == *code)));
    }

    #[test]
    fn no_symbol_and_no_code_stands_twice() {
        let (mut symbols, mut codes) = (HashSet::new(), HashSet::new());
        for (spellings, code, _) in UNITS {
            assert!(codes.insert(code), "{code}");
            assert!(spellings.iter().all(|symbol| symbols.insert(plain(symbol))), "{spellings:?}");
        }
    }
}
