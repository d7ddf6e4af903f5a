//! Structures that are decoded by us instead of the library: event filters, whose where clauses it would not understand, and identity
//! tokens, of which it would tell too little.

use std::{io::Read, sync::Arc};

use opcua::types::{
    Context, DynEncodable, EncodingResult, FallbackTypeLoader, GeneratedTypeLoader, NodeId, TypeLoader,
    TypeLoaderCollection, TypeLoaderPriority,
};

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

/// Ours first, which the library's builder would put after its own.
pub(super) fn loaders(
    filters: impl Fn(&NodeId, &mut dyn Read, &Context<'_>) -> Decoded + Send + Sync + 'static,
    tokens: impl Fn(&NodeId, &mut dyn Read, &Context<'_>) -> Decoded + Send + Sync + 'static,
) -> TypeLoaderCollection {
    let mut loaders = TypeLoaderCollection::new_empty();
    loaders.add(Arc::new(Ours(filters)));
    loaders.add(Arc::new(Ours(tokens)));
    loaders.add(Arc::new(GeneratedTypeLoader));
    loaders.add(Arc::new(FallbackTypeLoader));
    loaders
}
