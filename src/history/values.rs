//! The values of a series' samples, without the nulls, kept small: one that is held, as set-points, states and texts are
//! for most of their time, stands once. Pure.

use super::{
    tag::{Tag, bits_of, value_of},
    ticks::push,
};
use crate::sample::Value;

/// A value, and the index after the last that has it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) value: Value,
    pub(super) end: u32,
}

/// Values of one type; or of any types (texts and arrays among them), then the tag is [`Tag::Any`].
#[derive(Clone, Debug)]
pub(super) enum Values {
    Held(Tag, Vec<Held>),
    W1(Tag, Vec<u8>),
    W2(Tag, Vec<u16>),
    W4(Tag, Vec<u32>),
    W8(Tag, Vec<u64>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Held(Tag::Null, Vec::new())
    }
}

/// So few are held even where each on its own would take less.
const HELD_FEW: usize = 4;

impl Values {
    pub(super) fn tag(&self) -> Tag {
        match self {
            Self::Held(tag, _) | Self::W1(tag, _) | Self::W2(tag, _) | Self::W4(tag, _) | Self::W8(tag, _) => *tag,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Held(_, held) => held.last().map_or(0, |last| last.end as usize),
            Self::W1(_, column) => column.len(),
            Self::W2(_, column) => column.len(),
            Self::W4(_, column) => column.len(),
            Self::W8(_, column) => column.len(),
        }
    }

    /// Adds one. Returns the bytes that it holds outside of the column.
    #[expect(clippy::cast_possible_truncation, reason = "the tag's width holds the bits")]
    pub(super) fn push(&mut self, value: &Value) -> usize {
        let (tag, bits) = bits_of(value);
        match self {
            Self::W1(own, column) if *own == tag => push(column, bits as u8),
            Self::W2(own, column) if *own == tag => push(column, bits as u16),
            Self::W4(own, column) if *own == tag => push(column, bits as u32),
            Self::W8(own, column) if *own == tag => push(column, bits),
            Self::Held(own, held) => {
                match held.last_mut() {
                    Some(last) if is_same(&last.value, value) => {
                        last.end += 1;
                        return 0;
                    }
                    Some(_) if *own == tag => {}
                    Some(_) => *own = Tag::Any,
                    None => *own = tag.width().map_or(Tag::Any, |_| tag),
                }
                hold(held, value.clone());
                self.widen();
                return payload_bytes(value);
            }
            _ => {
                let mut held = Vec::new();
                for index in 0..self.len() {
                    let value = self.get(index);
                    match held.last_mut() {
                        Some(Held { value: last, end }) if is_same(last, &value) => *end += 1,
                        _ => hold(&mut held, value),
                    }
                }
                hold(&mut held, value.clone());
                *self = Self::Held(Tag::Any, held);
                return payload_bytes(value);
            }
        }
        0
    }

    /// Gives each value its own place once that takes less.
    fn widen(&mut self) {
        let Self::Held(tag, held) = self else { return };
        if let Some(width) = tag.width()
            && held.len() > HELD_FEW
            && held.len() * size_of::<Held>() > self.len() * width
        {
            *self = self.wide();
        }
    }

    /// With each value in its own place, if they are of one type.
    #[expect(clippy::cast_possible_truncation, reason = "the tag's width holds the bits")]
    pub(super) fn wide(&self) -> Self {
        let Self::Held(tag, held) = self else { return self.clone() };
        fn each<T: Copy>(held: &[Held], narrow: impl Fn(u64) -> T) -> Vec<T> {
            let mut column = Vec::with_capacity(held.last().map_or(0, |last| last.end as usize));
            for Held { value, end } in held {
                column.resize(*end as usize, narrow(bits_of(value).1));
            }
            column
        }
        match tag.width() {
            Some(1) => Self::W1(*tag, each(held, |bits| bits as u8)),
            Some(2) => Self::W2(*tag, each(held, |bits| bits as u16)),
            Some(4) => Self::W4(*tag, each(held, |bits| bits as u32)),
            Some(_) => Self::W8(*tag, each(held, |bits| bits)),
            None => self.clone(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Value {
        match self {
            Self::Held(_, held) => held[held_at(held, index)].value.clone(),
            Self::W1(tag, column) => value_of(*tag, column[index].into()),
            Self::W2(tag, column) => value_of(*tag, column[index].into()),
            Self::W4(tag, column) => value_of(*tag, column[index].into()),
            Self::W8(tag, column) => value_of(*tag, column[index]),
        }
    }

    /// Bytes of memory outside of itself, without what texts hold.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Held(_, held) => held.capacity() * size_of::<Held>(),
            Self::W1(_, column) => column.capacity(),
            Self::W2(_, column) => column.capacity() * 2,
            Self::W4(_, column) => column.capacity() * 4,
            Self::W8(_, column) => column.capacity() * 8,
        }
    }
}

/// Where the value of `index` stands.
pub(super) fn held_at(held: &[Held], index: usize) -> usize {
    held.partition_point(|held| held.end as usize <= index)
}

fn hold(held: &mut Vec<Held>, value: Value) {
    let end = held.last().map_or(0, |last| last.end) + 1;
    if held.len() == held.capacity() {
        held.reserve_exact((held.len() / 4).max(1));
    }
    held.push(Held { value, end });
}

/// Equal to the bit: NaN equals itself, and -0 is not 0.
pub(super) fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.element_type == b.element_type
                && a.elements.len() == b.elements.len()
                && a.elements.iter().zip(&b.elements).all(|(a, b)| is_same(a, b))
        }
        _ => {
            let (tag, bits) = bits_of(a);
            (tag, bits) == bits_of(b) && (tag.width().is_some() || a == b)
        }
    }
}

/// What a value holds outside of itself.
fn payload_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 16,
        Value::ByteString(bytes) => bytes.len() + 16,
        Value::LocalizedText(text) => text.0.len() + text.1.len() + 64,
        Value::Array(array) => 40 + array.elements.iter().map(|x| size_of::<Value>() + payload_bytes(x)).sum::<usize>(),
        _ => 0,
    }
}
