//! Structures that are decoded by us instead of the library: event filters, whose where clauses it would not understand, identity
//! tokens, of which it would tell too little, and Arguments, of which 15 bytes may cost it gigabytes (B6).

use std::{io::Read, sync::Arc};

use opcua::types::{
    Argument, BinaryDecodable, Context, DynEncodable, EncodingResult, Error, FallbackTypeLoader, GeneratedTypeLoader,
    LocalizedText, NodeId, ObjectId, TypeLoader, TypeLoaderCollection, TypeLoaderPriority, UAString,
};

/// Dimensions of an array that an Argument may speak of.
const RANK_MAX: i32 = 64;

/// What came of a structure; `None`: it is not ours.
pub(super) type Decoded = Option<EncodingResult<Box<dyn DynEncodable>>>;

/// Decodes what a function knows, by the id of its binary encoding.
struct Ours<F>(F);

impl<F> TypeLoader for Ours<F>
where
    F: Fn(&NodeId, &mut dyn Read, &Context<'_>) -> Decoded + Send + Sync,
{
    fn load_from_xml(
        &self,
        _: &NodeId,
        _: &mut opcua::types::xml::XmlStreamReader<&mut dyn Read>,
        _: &Context<'_>,
        _: &str,
    ) -> Decoded {
        None
    }

    fn load_from_binary(&self, id: &NodeId, stream: &mut dyn Read, context: &Context<'_>, _: Option<usize>) -> Decoded {
        (self.0)(id, stream, context)
    }

    fn priority(&self) -> TypeLoaderPriority {
        TypeLoaderPriority::Core
    }
}

/// Arguments, with no more dimensions than were sent or than anybody needs: the library fills them up to any rank that is
/// written there, before anybody has said who they are, for a header may carry a structure. What holds Arguments itself, no
/// client has to send.
fn arguments(id: &NodeId, stream: &mut dyn Read, context: &Context<'_>) -> Decoded {
    let holds_arguments = [
        ObjectId::ProgramDiagnosticDataType_Encoding_DefaultBinary,
        ObjectId::ProgramDiagnostic2DataType_Encoding_DefaultBinary,
    ];
    if holds_arguments.iter().any(|kind| id == kind) {
        return Some(Err(Error::decoding("a program's diagnostics are told by servers only")));
    }
    if *id != ObjectId::Argument_Encoding_DefaultBinary {
        return None;
    }
    Some(argument(stream, context).map(|argument| Box::new(argument) as Box<dyn DynEncodable>))
}

fn argument(stream: &mut dyn Read, context: &Context<'_>) -> EncodingResult<Argument> {
    let name = UAString::decode(stream, context)?;
    let data_type = NodeId::decode(stream, context)?;
    let value_rank = i32::decode(stream, context)?;
    let array_dimensions: Option<Vec<u32>> = BinaryDecodable::decode(stream, context)?;
    let description = LocalizedText::decode(stream, context)?;
    if value_rank > RANK_MAX {
        return Err(Error::decoding("an Argument of more dimensions than anything has"));
    }
    Ok(Argument { name, data_type, value_rank, array_dimensions, description })
}

/// Ours first, which the library's builder would put after its own.
pub(super) fn loaders(
    filters: impl Fn(&NodeId, &mut dyn Read, &Context<'_>) -> Decoded + Send + Sync + 'static,
    tokens: impl Fn(&NodeId, &mut dyn Read, &Context<'_>) -> Decoded + Send + Sync + 'static,
) -> TypeLoaderCollection {
    let mut loaders = TypeLoaderCollection::new_empty();
    loaders.add(Arc::new(Ours(arguments)));
    loaders.add(Arc::new(Ours(filters)));
    loaders.add(Arc::new(Ours(tokens)));
    loaders.add(Arc::new(GeneratedTypeLoader));
    loaders.add(Arc::new(FallbackTypeLoader));
    loaders
}

#[cfg(test)]
mod tests {
    use opcua::types::{ContextOwned, ExtensionObject};

    use super::*;

    /// An ExtensionObject of an Argument: no name, type i=1, this rank, one dimension, no description.
    fn argument_of_rank(rank: i32) -> Vec<u8> {
        let mut body = vec![0xff, 0xff, 0xff, 0xff, 0, 1];
        body.extend(rank.to_le_bytes());
        body.extend([1, 0, 0, 0, 5, 0, 0, 0, 0]);
        let length = u32::try_from(body.len()).unwrap();
        [&[1, 0, 42, 1, 1][..], &length.to_le_bytes(), &body].concat()
    }

    #[test]
    fn an_argument_takes_no_more_than_was_sent() {
        let mut context = ContextOwned::default();
        *context.loaders_mut() = loaders(|_, _, _| None, |_, _, _| None);
        let decode = |rank| ExtensionObject::decode(&mut &argument_of_rank(rank)[..], &context.context());
        let argument = decode(2).unwrap();
        let argument = argument.inner_as::<Argument>().unwrap();
        assert_eq!((argument.value_rank, argument.array_dimensions.as_deref()), (2, Some(&[5_u32][..])));
        // Two billion places of 4 bytes, were it believed.
        assert!(decode(2_000_000_000).is_err());
    }
}
