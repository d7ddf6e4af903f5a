//! What an IndexRange chooses of a value (OPC 10000-4 §7.27): for reads of the present and of history. The library's own cut
//! panics inside a character and takes dimensions for a list of ranges; it is still what cuts for subscriptions, so there
//! only [`is_safe_to_monitor`] is let through.
//!
//! What reaches beyond the end is cut off. Where nothing is left it is Bad_IndexRangeNoData, and so it is where the value has
//! another number of dimensions: a number has none, a text one (its characters), an array of texts one more than its own.
//! A null stays null: its status says why.

use std::ops::RangeInclusive;

use opcua::types::{Array, ByteString, NumericRange, StatusCode, UAString, Variant, VariantScalarTypeId};

type Bounds = RangeInclusive<usize>;

/// The part of a value that is asked for.
pub(super) fn part(value: Variant, range: &NumericRange) -> Result<Variant, StatusCode> {
    if *range == NumericRange::None || value == Variant::Empty {
        return Ok(value);
    }
    let bounds = bounds(range)?;
    let part = match (value, bounds.as_slice()) {
        (Variant::Array(array), bounds) => part_of_array(&array, bounds),
        (text, [bounds]) => part_of_text(&text, bounds),
        _ => None,
    };
    part.ok_or(StatusCode::BadIndexRangeNoData)
}

/// Dimensions that a range speaks of.
pub(super) fn dimensions(range: &NumericRange) -> usize {
    match range {
        NumericRange::None => 0,
        NumericRange::Index(_) | NumericRange::Range(..) => 1,
        NumericRange::MultipleRanges(ranges) => ranges.len(),
    }
}

/// Whether the library, too, cuts it right (and without a panic): elements of an array of one dimension.
pub(super) fn is_safe_to_monitor(range: &NumericRange, is_array: bool) -> bool {
    *range == NumericRange::None
        || (is_array && dimensions(range) == 1 && !matches!(range, NumericRange::MultipleRanges(_)))
}

fn bounds(range: &NumericRange) -> Result<Vec<Bounds>, StatusCode> {
    let one = |range: &NumericRange| match *range {
        NumericRange::Index(i) => Ok(i as usize..=i as usize),
        NumericRange::Range(low, high) if low < high => Ok(low as usize..=high as usize),
        _ => Err(StatusCode::BadIndexRangeInvalid),
    };
    match range {
        NumericRange::MultipleRanges(ranges) => ranges.iter().map(one).collect(),
        single => Ok(vec![one(single)?]),
    }
}

/// `None`: nothing is left.
fn part_of_array(array: &Array, bounds: &[Bounds]) -> Option<Variant> {
    let lens: Vec<usize> = match &array.dimensions {
        Some(lens) if !lens.is_empty() => lens.iter().map(|len| *len as usize).collect(),
        _ => vec![array.values.len()],
    };
    let (bounds, beyond) = bounds.split_at_checked(lens.len())?;
    // Row by row (OPC 10000-6 §5.2.2.16): the last index goes fastest.
    let (mut places, mut cut) = (vec![0], Vec::new());
    for (len, bounds) in lens.iter().zip(bounds) {
        let (low, high) = (*bounds.start(), (*bounds.end()).min(len.checked_sub(1)?));
        if low > high {
            return None;
        }
        places = places.iter().flat_map(|place| (low..=high).map(move |i| place * len + i)).collect();
        cut.push(u32::try_from(high - low + 1).ok()?);
    }
    let elements: Option<Vec<&Variant>> = places.into_iter().map(|place| array.values.get(place)).collect();
    let elements: Vec<Variant> = match beyond {
        [] => elements?.into_iter().cloned().collect(),
        [bounds] => parts_of_texts(array.value_type, &elements?, bounds)?,
        _ => return None,
    };
    let array = if cut.len() > 1 {
        Array::new_multi(array.value_type, elements, cut)
    } else {
        Array::new(array.value_type, elements)
    };
    array.ok().map(|array| Variant::Array(Box::new(array)))
}

/// Of each of several texts; one that is too short is null.
fn parts_of_texts(kind: VariantScalarTypeId, texts: &[&Variant], bounds: &Bounds) -> Option<Vec<Variant>> {
    let null = match kind {
        VariantScalarTypeId::String => Variant::String(UAString::null()),
        VariantScalarTypeId::ByteString => Variant::ByteString(ByteString::null()),
        _ => return None,
    };
    let parts: Vec<Option<Variant>> = texts.iter().map(|text| part_of_text(text, bounds)).collect();
    let is_any = parts.iter().any(Option::is_some);
    is_any.then(|| parts.into_iter().map(|part| part.unwrap_or_else(|| null.clone())).collect())
}

fn part_of_text(text: &Variant, bounds: &Bounds) -> Option<Variant> {
    let (from, count) = (*bounds.start(), bounds.end() - bounds.start() + 1);
    match text {
        Variant::String(text) => {
            let part: String = text.value().as_deref()?.chars().skip(from).take(count).collect();
            (!part.is_empty()).then(|| Variant::String(part.into()))
        }
        Variant::ByteString(bytes) => {
            let bytes = bytes.value.as_deref()?.get(from..)?;
            let part = bytes.get(..count).unwrap_or(bytes);
            (!part.is_empty()).then(|| Variant::ByteString(part.to_vec().into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &Variant, range: &str, expected: Option<Variant>) {
        let found = part(value.clone(), &range.parse().unwrap());
        assert_eq!(found, expected.ok_or(StatusCode::BadIndexRangeNoData), "{range} of {value:?}");
    }

    #[test]
    fn a_range_chooses_elements_characters_and_rectangles() {
        let array = Variant::from(vec![10.0, 11.0, 12.0]);
        check(&array, "1", Some(vec![11.0].into()));
        check(&array, "1:2", Some(vec![11.0, 12.0].into()));
        check(&array, "2:9", Some(vec![12.0].into()));
        check(&array, "3", None);
        check(&array, "0,0", None);
        check(&Variant::from(Vec::<f64>::new()), "0", None);
        check(&Variant::from("Öfen"), "0", Some("Ö".into()));
        check(&Variant::from("Öfen"), "1:9", Some("fen".into()));
        check(&Variant::from("Öfen"), "4", None);
        check(&Variant::from("Öfen"), "0,0", None);
        check(&Variant::ByteString(vec![1, 2, 3].into()), "1:5", Some(Variant::ByteString(vec![2, 3].into())));
        check(&Variant::ByteString(vec![1].into()), "4294967294:4294967295", None);
        check(&Variant::Double(1.0), "0", None);
        check(&Variant::Empty, "0", Some(Variant::Empty));
        let texts = Variant::from(vec![UAString::from("ab"), UAString::from("cdé")]);
        check(&texts, "0:1,2", Some(vec![UAString::null(), UAString::from("é")].into()));
        check(&texts, "0:1,1:2", Some(vec![UAString::from("b"), UAString::from("dé")].into()));
        check(&texts, "0,2", None);
        check(&texts, "0,0,0", None);
        let numbers = (0..6).map(|i| Variant::Int32(10 * (i / 3) + i % 3)).collect::<Vec<_>>();
        let matrix = |numbers: Vec<Variant>, lens: Vec<u32>| {
            Variant::Array(Box::new(Array::new_multi(VariantScalarTypeId::Int32, numbers, lens).unwrap()))
        };
        let of = |all: &[i32]| all.iter().map(|x| Variant::Int32(*x)).collect::<Vec<_>>();
        let rectangle = matrix(numbers, vec![2, 3]);
        check(&rectangle, "0:1,1:2", Some(matrix(of(&[1, 2, 11, 12]), vec![2, 2])));
        check(&rectangle, "1,2:7", Some(matrix(of(&[12]), vec![1, 1])));
        check(&rectangle, "0:1", None);
        check(&rectangle, "2,0", None);
        assert_eq!(part(array, &NumericRange::Range(2, 1)), Err(StatusCode::BadIndexRangeInvalid));
    }
}
