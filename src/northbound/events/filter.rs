//! Event filters on their way in. The library (0.19) compares numbers only: of two texts, NodeIds or times in a where clause
//! none is equal, and a client that selects types by InList, as asyncua does, would never hear of an event. So a filter is
//! changed where it is decoded: its where clause becomes one that asks the event itself, by a field whose name is the whole
//! clause, and [`super::where_clause`] answers. A clause that makes no sense stays as it is, for the library to refuse.

use std::{
    collections::HashMap,
    io::{Cursor, Read},
    sync::{Arc, Mutex, PoisonError},
};

use opcua::types::{
    AttributeId, BinaryDecodable, BinaryEncodable, ByteString, ContentFilter, ContentFilterElement, Context,
    ContextOwned, DynEncodable, EventFilter, FilterOperator, NodeId, ObjectId, ObjectTypeId, Operand, QualifiedName,
    SimpleAttributeOperand,
};

use super::{super::decoding::Decoded, where_clause::Where};

/// How the name of a field begins that is a clause.
const CLAUSE: &str = "uatwin:where:";
/// Clauses that are kept parsed.
const KEPT_MAX: usize = 1_000;
/// Elements of a clause that the library may refuse: it walks all ways through them.
const REFUSED_MAX: usize = 16;

/// A filter as the library can judge by it.
pub(in crate::northbound) fn prepared(filter: EventFilter, context: &Context<'_>) -> EventFilter {
    let EventFilter { select_clauses, where_clause } = filter;
    let elements = where_clause.elements.as_ref().map_or(0, Vec::len);
    let where_clause = match Where::parse(&where_clause) {
        _ if elements == 0 => where_clause,
        Some(_) => asking(&where_clause, context),
        None if elements > REFUSED_MAX => senseless(),
        None => where_clause,
    };
    EventFilter { select_clauses, where_clause }
}

/// The clause that asks the event whether it is wanted by this one. As many elements: the results are counted.
fn asking(clause: &ContentFilter, context: &Context<'_>) -> ContentFilter {
    let name = format!("{CLAUSE}{}", ByteString::from(clause.encode_to_vec(context)).as_base64());
    let field = Operand::SimpleAttributeOperand(SimpleAttributeOperand {
        type_definition_id: ObjectTypeId::BaseEventType.into(),
        browse_path: Some(vec![QualifiedName::new(0, name)]),
        attribute_id: AttributeId::Value as u32,
        index_range: opcua::types::NumericRange::None,
    });
    let asking = ContentFilterElement::from((FilterOperator::Equals, vec![field, Operand::literal(true)]));
    // Nothing refers to these.
    let others = clause.elements.as_ref().map_or(0, Vec::len).saturating_sub(1);
    let others =
        (0..others).map(|_| ContentFilterElement::from((FilterOperator::IsNull, vec![Operand::literal(true)])));
    ContentFilter { elements: Some(std::iter::once(asking).chain(others).collect()) }
}

/// One that is refused at once.
fn senseless() -> ContentFilter {
    let element = ContentFilterElement { filter_operator: FilterOperator::IsNull, filter_operands: None };
    ContentFilter { elements: Some(vec![element]) }
}

/// The clauses in use, parsed.
#[derive(Default)]
pub(in crate::northbound) struct Clauses(Mutex<HashMap<String, Option<Arc<Where>>>>);

impl Clauses {
    /// The clause behind the name of a field; `None`: it is no such name.
    pub(super) fn of(&self, name: &str) -> Option<Arc<Where>> {
        let encoded = name.strip_prefix(CLAUSE)?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(name) {
            return found.clone();
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let parsed = decoded(encoded).map(Arc::new);
        kept.insert(name.to_owned(), parsed.clone());
        parsed
    }
}

fn decoded(encoded: &str) -> Option<Where> {
    let bytes = ByteString::from_base64(encoded)?.value?;
    let owned = ContextOwned::default();
    let clause = ContentFilter::decode(&mut Cursor::new(bytes), &owned.context()).ok()?;
    Where::parse(&clause)
}

/// Decodes event filters.
pub(in crate::northbound) fn decode(id: &NodeId, stream: &mut dyn Read, context: &Context<'_>) -> Decoded {
    if *id != ObjectId::EventFilter_Encoding_DefaultBinary {
        return None;
    }
    let filter = EventFilter::decode(stream, context);
    Some(filter.map(|filter| Box::new(prepared(filter, context)) as Box<dyn DynEncodable>))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::northbound::events::where_clause::ELEMENTS_MAX;

    /// The longest clause that is taken comes through its name.
    #[test]
    fn a_clause_is_found_again_behind_its_name() {
        let owned = ContextOwned::default();
        let severity = Operand::simple_attribute(
            ObjectTypeId::BaseEventType,
            "Severity",
            AttributeId::Value,
            opcua::types::NumericRange::None,
        );
        let element = ContentFilterElement::from((FilterOperator::Equals, vec![severity, Operand::literal(500_u16)]));
        let where_clause = ContentFilter { elements: Some(vec![element; ELEMENTS_MAX]) };
        let prepared = prepared(EventFilter { select_clauses: None, where_clause }, &owned.context());
        let elements = prepared.where_clause.elements.unwrap();
        assert_eq!(elements.len(), ELEMENTS_MAX);
        let operand: Operand = elements[0].filter_operands.as_ref().unwrap()[0].clone().try_into().unwrap();
        let Operand::SimpleAttributeOperand(field) = operand else { panic!("a field") };
        let clauses = Clauses::default();
        assert!(clauses.of(field.browse_path.unwrap()[0].name.as_ref()).is_some());
        assert!(clauses.of("Severity").is_none());
        assert!(clauses.of("uatwin:where:AAAA").is_none());
    }
}
