//! Where clauses (OPC 10000-4 §7.7): whether an event is wanted. Elements are worked out from the last to the first, each
//! once, so that no clause takes longer than it is long.

use std::cmp::Ordering;

use opcua::types::{
    AttributeId, ContentFilter, FilterOperator, NodeId, NumericRange, Operand, QualifiedName, SimpleAttributeOperand,
    Variant, VariantTypeId,
};

use super::like::like;

/// Elements of one clause.
pub(super) const ELEMENTS_MAX: usize = 1_000;

/// A clause that makes sense.
#[derive(Debug)]
pub(in crate::northbound) struct Where(Vec<Element>);

#[derive(Debug)]
struct Element {
    operator: FilterOperator,
    operands: Vec<Of>,
}

/// An operand.
#[derive(Debug)]
enum Of {
    Element(usize),
    Literal(Variant),
    Field(Field),
}

/// A field of the event.
#[derive(Debug)]
pub(in crate::northbound) struct Field {
    pub(in crate::northbound) of_type: NodeId,
    pub(in crate::northbound) path: Vec<QualifiedName>,
    pub(in crate::northbound) attribute: AttributeId,
    pub(in crate::northbound) range: NumericRange,
}

/// What a clause asks of an event.
pub(in crate::northbound) trait Asked {
    /// A field; null where the event has none.
    fn field(&self, field: &Field) -> Variant;
    /// Whether its type is this one or a subtype.
    fn is_of_type(&self, of_type: &NodeId) -> bool;
}

impl Where {
    /// Checks a clause; `None`: it makes no sense, or asks for what a filter of events must not (§7.7.3 Table 120).
    pub(in crate::northbound) fn parse(filter: &ContentFilter) -> Option<Self> {
        let elements = filter.elements.as_deref().unwrap_or_default();
        if elements.len() > ELEMENTS_MAX {
            return None;
        }
        let parsed = elements.iter().enumerate().map(|(at, element)| {
            let operands = element.filter_operands.as_deref().unwrap_or_default();
            let operands = operands.iter().map(|operand| of(operand.clone().try_into().ok()?, at, elements.len()));
            let operands = operands.collect::<Option<Vec<Of>>>()?;
            takes(element.filter_operator, operands.len())
                .then_some(Element { operator: element.filter_operator, operands })
        });
        parsed.collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether the event is wanted.
    pub(in crate::northbound) fn wants(&self, event: &impl Asked) -> bool {
        let mut found: Vec<Variant> = vec![Variant::Empty; self.0.len()];
        for (at, element) in self.0.iter().enumerate().rev() {
            found[at] = element.value(event, &found);
        }
        found.first().is_none_or(|first| *first == Variant::Boolean(true))
    }
}

fn of(operand: Operand, at: usize, elements: usize) -> Option<Of> {
    Some(match operand {
        // An element refers to later ones only: no loops (§7.7.4.2).
        Operand::ElementOperand(element) => {
            let index = usize::try_from(element.index).ok().filter(|index| *index > at && *index < elements)?;
            Of::Element(index)
        }
        Operand::LiteralOperand(literal) => Of::Literal(literal.value),
        Operand::SimpleAttributeOperand(SimpleAttributeOperand {
            type_definition_id,
            browse_path,
            attribute_id,
            index_range,
        }) => Of::Field(Field {
            of_type: type_definition_id,
            path: browse_path.unwrap_or_default(),
            attribute: AttributeId::from_u32(attribute_id).ok()?,
            range: index_range,
        }),
        Operand::AttributeOperand(_) => return None,
    })
}

/// Whether an operator may stand in a filter of events, with so many operands.
const fn takes(operator: FilterOperator, operands: usize) -> bool {
    use FilterOperator as F;
    match operator {
        F::IsNull | F::Not | F::OfType => operands == 1,
        F::Between => operands == 3,
        F::InList => operands >= 2,
        F::InView | F::RelatedTo => false,
        _ => operands == 2,
    }
}

impl Element {
    /// Null where it cannot be told.
    fn value(&self, event: &impl Asked, found: &[Variant]) -> Variant {
        use FilterOperator as F;
        let operand = |i: usize| match self.operands.get(i) {
            Some(Of::Element(at)) => found[*at].clone(),
            Some(Of::Literal(value)) => value.clone(),
            Some(Of::Field(field)) => event.field(field),
            None => Variant::Empty,
        };
        let compared = |i: usize, j: usize| compare(operand(i), operand(j));
        let flag = |is: bool| Variant::Boolean(is);
        match self.operator {
            F::Equals => flag(compared(0, 1) == Some(Ordering::Equal)),
            F::IsNull => flag(is_null(&operand(0))),
            F::GreaterThan => flag(compared(0, 1) == Some(Ordering::Greater)),
            F::LessThan => flag(compared(0, 1) == Some(Ordering::Less)),
            F::GreaterThanOrEqual => flag(compared(0, 1).is_some_and(Ordering::is_ge)),
            F::LessThanOrEqual => flag(compared(0, 1).is_some_and(Ordering::is_le)),
            F::Between => {
                flag(compared(0, 1).is_some_and(Ordering::is_ge) && compared(0, 2).is_some_and(Ordering::is_le))
            }
            F::InList => flag((1..self.operands.len()).any(|i| compared(0, i) == Some(Ordering::Equal))),
            F::Like => match (text(&operand(0)), text(&operand(1))) {
                (Some(words), Some(pattern)) => flag(like(&words, &pattern)),
                _ => flag(false),
            },
            F::Not => truth(&operand(0)).map_or(Variant::Empty, |is| flag(!is)),
            // Of three values (§7.7.3, Tables 121 and 122): one that is not known may not matter.
            F::And => known(truth(&operand(0)), truth(&operand(1)), false),
            F::Or => known(truth(&operand(0)), truth(&operand(1)), true),
            F::Cast => match operand(1) {
                Variant::NodeId(id) => VariantTypeId::try_from(&*id).map_or(Variant::Empty, |to| operand(0).cast(to)),
                _ => Variant::Empty,
            },
            F::BitwiseAnd => bits(&operand(0), &operand(1), |a, b| a & b),
            F::BitwiseOr => bits(&operand(0), &operand(1), |a, b| a | b),
            F::OfType => match operand(0) {
                Variant::NodeId(id) => flag(event.is_of_type(&id)),
                Variant::ExpandedNodeId(id) => flag(event.is_of_type(&id.node_id)),
                _ => flag(false),
            },
            F::InView | F::RelatedTo => Variant::Empty,
        }
    }
}

/// `decisive`: false for And, true for Or.
fn known(a: Option<bool>, b: Option<bool>, decisive: bool) -> Variant {
    match (a, b) {
        (Some(x), _) | (_, Some(x)) if x == decisive => Variant::Boolean(decisive),
        (Some(_), Some(_)) => Variant::Boolean(!decisive),
        _ => Variant::Empty,
    }
}

fn truth(value: &Variant) -> Option<bool> {
    match value {
        Variant::Boolean(is) => Some(*is),
        _ => None,
    }
}

/// Null, in whichever way the type has it.
fn is_null(value: &Variant) -> bool {
    match value {
        Variant::Empty => true,
        Variant::String(text) => text.is_null(),
        Variant::ByteString(bytes) => bytes.value.is_none(),
        Variant::NodeId(id) => id.is_null(),
        Variant::LocalizedText(text) => text.text.is_null(),
        _ => false,
    }
}

fn text(value: &Variant) -> Option<String> {
    match value {
        Variant::String(text) => text.value().clone(),
        Variant::LocalizedText(text) => text.text.value().clone(),
        _ => None,
    }
}

fn bits(a: &Variant, b: &Variant, of: fn(u64, u64) -> u64) -> Variant {
    let whole = |value: &Variant| match value.cast(opcua::types::VariantScalarTypeId::UInt64) {
        Variant::UInt64(bits) => Some(bits),
        _ => None,
    };
    match (whole(a), whole(b)) {
        (Some(x), Some(y)) => Variant::UInt64(of(x, y)),
        _ => Variant::Empty,
    }
}

/// Two values, converted where their types differ (§7.7.3 Table 119); `None`: they have no order.
fn compare(a: Variant, b: Variant) -> Option<Ordering> {
    let (a, b) = match a.type_id().precedence().cmp(&b.type_id().precedence()) {
        Ordering::Less => {
            let b = b.convert(a.type_id());
            (a, b)
        }
        Ordering::Greater => (a.convert(b.type_id()), b),
        Ordering::Equal => (a, b),
    };
    match (&a, &b) {
        (Variant::Boolean(x), Variant::Boolean(y)) => Some(x.cmp(y)),
        (Variant::SByte(x), Variant::SByte(y)) => Some(x.cmp(y)),
        (Variant::Byte(x), Variant::Byte(y)) => Some(x.cmp(y)),
        (Variant::Int16(x), Variant::Int16(y)) => Some(x.cmp(y)),
        (Variant::UInt16(x), Variant::UInt16(y)) => Some(x.cmp(y)),
        (Variant::Int32(x), Variant::Int32(y)) => Some(x.cmp(y)),
        (Variant::UInt32(x), Variant::UInt32(y)) => Some(x.cmp(y)),
        (Variant::Int64(x), Variant::Int64(y)) => Some(x.cmp(y)),
        (Variant::UInt64(x), Variant::UInt64(y)) => Some(x.cmp(y)),
        (Variant::Float(x), Variant::Float(y)) => x.partial_cmp(y),
        (Variant::Double(x), Variant::Double(y)) => x.partial_cmp(y),
        (Variant::DateTime(x), Variant::DateTime(y)) => Some(x.ticks().cmp(&y.ticks())),
        (Variant::StatusCode(x), Variant::StatusCode(y)) => Some(x.bits().cmp(&y.bits())),
        (Variant::String(_) | Variant::LocalizedText(_), Variant::String(_) | Variant::LocalizedText(_)) => {
            Some(text(&a)?.cmp(&text(&b)?))
        }
        (Variant::ByteString(x), Variant::ByteString(y)) => Some(x.value.as_deref()?.cmp(y.value.as_deref()?)),
        (Variant::ExpandedNodeId(x), Variant::NodeId(y)) | (Variant::NodeId(y), Variant::ExpandedNodeId(x)) => {
            equal(x.node_id == **y && x.server_index == 0)
        }
        (Variant::Empty, _) | (_, Variant::Empty) => None,
        _ => equal(a == b),
    }
}

/// Of types that are equal or not, and have no order.
fn equal(is: bool) -> Option<Ordering> {
    is.then_some(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use opcua::types::{ContentFilterElement, DataTypeId, ExtensionObject, LocalizedText, ObjectTypeId, Variant as V};

    use super::*;

    /// An event of AlarmConditionType with a few fields.
    struct Alarm;

    impl Asked for Alarm {
        fn field(&self, field: &Field) -> Variant {
            match field.path[0].name.as_ref() {
                "Severity" => V::UInt16(500),
                "SourceName" => V::from("Oven1.Temperature"),
                "EventType" => NodeId::from(ObjectTypeId::AlarmConditionType).into(),
                "Message" => LocalizedText::new("en", "too hot").into(),
                "EventId" => V::ByteString(vec![1_u8, 2].into()),
                "Retain" => true.into(),
                _ => V::Empty,
            }
        }

        fn is_of_type(&self, of_type: &NodeId) -> bool {
            *of_type == ObjectTypeId::ConditionType
        }
    }

    fn field(name: &str) -> Operand {
        Operand::simple_attribute(
            ObjectTypeId::BaseEventType,
            name,
            AttributeId::Value,
            opcua::types::NumericRange::None,
        )
    }

    fn filter(elements: Vec<(FilterOperator, Vec<Operand>)>) -> ContentFilter {
        ContentFilter { elements: Some(elements.into_iter().map(ContentFilterElement::from).collect()) }
    }

    #[track_caller]
    fn check(expected: bool, operator: FilterOperator, operands: Vec<Operand>) {
        let clause = Where::parse(&filter(vec![(operator, operands)])).expect("a clause that makes sense");
        assert_eq!(clause.wants(&Alarm), expected);
    }

    #[test]
    fn values_of_every_type_are_compared() {
        use FilterOperator as F;
        let literal = |value: Variant| Operand::literal(value);
        check(true, F::Equals, vec![field("SourceName"), literal("Oven1.Temperature".into())]);
        check(false, F::Equals, vec![field("SourceName"), literal("Oven2.Temperature".into())]);
        check(true, F::Equals, vec![field("Message"), literal("too hot".into())]);
        check(true, F::Equals, vec![field("EventId"), literal(V::ByteString(vec![1_u8, 2].into()))]);
        check(true, F::GreaterThanOrEqual, vec![field("Severity"), literal(V::Int32(500))]);
        check(true, F::GreaterThan, vec![field("Severity"), literal(V::Double(499.5))]);
        check(false, F::LessThan, vec![field("Severity"), literal(V::UInt16(500))]);
        check(true, F::Between, vec![field("Severity"), literal(V::Byte(1)), literal(V::UInt64(500))]);
        // What asyncua sends for every type of events but the base.
        let types = [ObjectTypeId::AuditEventType, ObjectTypeId::AlarmConditionType].map(NodeId::from);
        let list = types.map(|id| literal(id.into()));
        check(true, F::InList, std::iter::once(field("EventType")).chain(list).collect());
        check(false, F::InList, vec![field("EventType"), literal(NodeId::from(ObjectTypeId::AuditEventType).into())]);
        check(true, F::OfType, vec![literal(NodeId::from(ObjectTypeId::ConditionType).into())]);
        check(false, F::OfType, vec![literal(NodeId::from(ObjectTypeId::AuditEventType).into())]);
        check(true, F::Like, vec![field("SourceName"), literal("Oven[0-9].%".into())]);
        check(true, F::IsNull, vec![field("ActiveState")]);
        check(false, F::IsNull, vec![field("Severity")]);
        // A field that the event does not have equals nothing.
        check(false, F::Equals, vec![field("ActiveState"), literal("Active".into())]);
    }

    #[test]
    fn elements_are_joined_and_what_is_not_known_may_not_matter() {
        use FilterOperator as F;
        let wants = |elements| Where::parse(&filter(elements)).unwrap().wants(&Alarm);
        let severe = || (F::GreaterThan, vec![field("Severity"), Operand::literal(400_u16)]);
        let quiet = || (F::LessThan, vec![field("Severity"), Operand::literal(400_u16)]);
        let unknown = || (F::Not, vec![field("ActiveState")]);
        let (one, two) = (|| Operand::element(1), || Operand::element(2));
        assert!(wants(vec![(F::And, vec![one(), two()]), severe(), severe()]));
        assert!(!wants(vec![(F::And, vec![one(), two()]), severe(), quiet()]));
        assert!(wants(vec![(F::Or, vec![one(), two()]), quiet(), severe()]));
        assert!(wants(vec![(F::Or, vec![one(), two()]), unknown(), severe()]));
        assert!(!wants(vec![(F::Or, vec![one(), two()]), unknown(), quiet()]));
        assert!(!wants(vec![(F::And, vec![one(), two()]), severe(), unknown()]));
        assert!(wants(vec![(F::Not, vec![one()]), quiet()]));
        let masked = (F::BitwiseAnd, vec![field("Severity"), Operand::literal(0x100_u32)]);
        assert!(wants(vec![(F::Equals, vec![one(), Operand::literal(Variant::UInt64(0x100))]), masked]));
        let cast = (F::Cast, vec![field("Severity"), Operand::literal(NodeId::from(DataTypeId::String))]);
        assert!(wants(vec![(F::Equals, vec![one(), Operand::literal("500")]), cast]));
        assert!(wants(vec![]));
    }

    /// Thirty elements that each name the next one twice: 2³⁰ ways from the first to the last.
    #[test]
    fn a_hostile_clause_takes_no_longer_than_it_is_long() {
        let mut elements: Vec<_> =
            (1..900).map(|next| (FilterOperator::And, vec![Operand::element(next), Operand::element(next)])).collect();
        elements.push((FilterOperator::Equals, vec![field("Severity"), Operand::literal(500_u16)]));
        assert!(Where::parse(&filter(elements)).unwrap().wants(&Alarm));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use FilterOperator as F;
        let refused = |elements| Where::parse(&filter(elements)).is_none();
        assert!(refused(vec![(F::Equals, vec![field("Severity")])]));
        assert!(refused(vec![(F::Not, vec![Operand::element(0)])]), "itself");
        assert!(refused(vec![(F::Not, vec![Operand::element(1)])]), "what is not there");
        assert!(refused(vec![
            (F::And, vec![Operand::element(1), Operand::element(1)]),
            (F::Not, vec![Operand::element(0)])
        ]));
        assert!(refused(vec![(F::InView, vec![Operand::literal(NodeId::null())])]));
        let broken =
            ContentFilterElement { filter_operator: F::IsNull, filter_operands: Some(vec![ExtensionObject::null()]) };
        assert!(Where::parse(&ContentFilter { elements: Some(vec![broken]) }).is_none());
    }
}
