//! Where a value lives in a PLC, as the config writes it: `nsu=URI;s={device}.Temperature`, or a browse path
//! `/Objects/{device}/Temperature`. Namespaces by URI only: their indices may change at every start of a PLC.

use crate::southbound::{NodeAddress, PathElement};

/// The standard namespace.
const STANDARD: &str = "http://opcfoundation.org/UA/";
/// Longest NodeId or path: servers allow 4096 bytes at most.
const BYTES_MAX: usize = 4096;
/// What stands for the twin's `device`.
const DEVICE: &str = "{device}";

/// An address with `{device}` still in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(NodeAddress);

/// What is wrong, and what to do.
pub(super) type Wrong = (String, String);

fn wrong<T>(message: impl Into<String>, remedy: impl Into<String>) -> Result<T, Wrong> {
    Err((message.into(), remedy.into()))
}

/// The address that a `source`, or a `path` (it begins with `/`), means with that `device`.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn address(text: &str, device: &str) -> Result<NodeAddress, (String, String)> {
    let template = if text.starts_with('/') { Template::path(text) } else { Template::node_id(text) };
    template?.of(device)
}

impl Template {
    /// From a NodeId.
    pub(super) fn node_id(text: &str) -> Result<Self, Wrong> {
        if text.len() > BYTES_MAX {
            return wrong("this NodeId is too long", "give at most 4096 bytes");
        }
        if text.starts_with('/') {
            return wrong("this is a browse path, not a NodeId", "write path = \"/Objects/…\" instead of source");
        }
        let (namespace, identifier) = match text.split_once(';') {
            Some((namespace, identifier)) if namespace.starts_with("nsu=") => {
                let uri = decoded(&namespace[4..]);
                if uri.is_empty() {
                    return wrong("the namespace URI is empty", "write nsu=<the namespace's URI>;s=…");
                }
                (Some(uri), identifier)
            }
            Some(("ns=0", identifier)) => (None, identifier),
            Some((index, identifier)) if index.starts_with("ns=") => {
                return wrong(
                    "the namespace is given by its index, which may change when the PLC restarts",
                    format!(
                        "write nsu=<the namespace's URI>;{identifier} (the URI of index {} stands in the PLC's NamespaceArray)",
                        &index[3..]
                    ),
                );
            }
            _ => (None, text),
        };
        let template =
            Self(NodeAddress::Id { namespace: namespace.filter(|uri| uri != STANDARD), identifier: identifier.into() });
        // `i={device}` can only be judged with a device.
        check_identifier(&identifier.replace(DEVICE, "1"))?;
        check_braces(identifier)?;
        Ok(template)
    }

    /// From a browse path: elements `Name`, `nsu=URI:Name` or `0:Name`; `&` before a character takes its meaning away.
    pub(super) fn path(text: &str) -> Result<Self, Wrong> {
        if text.len() > BYTES_MAX {
            return wrong("this path is too long", "give at most 4096 bytes");
        }
        let Some(mut rest) = text.strip_prefix('/') else {
            return wrong("a browse path begins with /", "begin at the root folder: /Objects/…");
        };
        check_braces(text)?;
        let mut elements = Vec::new();
        loop {
            let (element, after) = first_element(rest)?;
            elements.push(element);
            match after {
                Some(after) => rest = after,
                None => return Ok(Self(NodeAddress::Path(elements))),
            }
        }
    }

    /// Whether the twin must say its device.
    pub(super) fn needs_device(&self) -> bool {
        match &self.0 {
            NodeAddress::Id { namespace, identifier } => has_device(namespace) || identifier.contains(DEVICE),
            NodeAddress::Path(elements) => elements.iter().any(|e| has_device(&e.namespace) || e.name.contains(DEVICE)),
        }
    }

    /// The address of one device.
    pub(super) fn of(&self, device: &str) -> Result<NodeAddress, Wrong> {
        let fill = |text: &String| text.replace(DEVICE, device);
        match &self.0 {
            NodeAddress::Id { namespace, identifier } => {
                let identifier = fill(identifier);
                check_identifier(&identifier)?;
                Ok(NodeAddress::Id { namespace: namespace.as_ref().map(fill), identifier })
            }
            NodeAddress::Path(elements) => {
                let filled =
                    |e: &PathElement| PathElement { namespace: e.namespace.as_ref().map(fill), name: fill(&e.name) };
                Ok(NodeAddress::Path(elements.iter().map(filled).collect()))
            }
        }
    }
}

fn has_device(namespace: &Option<String>) -> bool {
    namespace.as_ref().is_some_and(|uri| uri.contains(DEVICE))
}

/// A misspelt `{Device}` would silently watch a node that isn't there.
fn check_braces(text: &str) -> Result<(), Wrong> {
    let rest = text.replace(DEVICE, "");
    match rest.find('{').and_then(|open| Some(&rest[open..open + rest[open..].find('}')? + 1])) {
        Some(unknown) => wrong(format!("{unknown} is not known"), "the only placeholder is {device}"),
        None => Ok(()),
    }
}

fn check_identifier(identifier: &str) -> Result<(), Wrong> {
    let remedy = "write s=text, i=number, g=GUID or b=base64, after nsu=URI; where it is not the standard namespace";
    let Some((kind, value)) = identifier.split_once('=') else {
        return wrong(format!("{identifier:?} is not a NodeId"), remedy);
    };
    let good = match kind {
        "s" => !value.is_empty(),
        "i" => !value.starts_with('+') && value.parse::<u32>().is_ok(),
        "g" => is_guid(value),
        "b" => !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)),
        _ => return wrong(format!("`{}=` is not a kind of NodeId", kind.chars().take(20).collect::<String>()), remedy),
    };
    if good { Ok(()) } else { wrong(format!("{identifier:?} is not a NodeId"), remedy) }
}

fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|g| g.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|g| g.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `%3B` and the like, as OPC 10000-6 §5.1.12 writes reserved characters of a URI.
fn decoded(uri: &str) -> String {
    let bytes = uri.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(byte) = bytes.get(i) {
        let code = uri.get(i + 1..i + 3).filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(*byte));
        i += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| uri.into())
}

/// The first element of a path without its leading slash, and what comes after the next slash.
fn first_element(text: &str) -> Result<(PathElement, Option<&str>), Wrong> {
    if let Some(after) = text.strip_prefix("nsu=") {
        // The URI may hold `:` and `/`; it ends before the first `:` that a name follows.
        for (colon, _) in after.match_indices(':') {
            let (name, rest) = split_name(&after[colon + 1..]);
            if !name.is_empty() && !name.contains(':') {
                return Ok((PathElement { namespace: Some(decoded(&after[..colon])), name: unescaped(name) }, rest));
            }
        }
        return wrong("an element with nsu= has no name", "write it as nsu=URI:Name");
    }
    let (name, rest) = split_name(text);
    if name.is_empty() {
        return wrong("an element of the path is empty", "write one name between two slashes");
    }
    match name.split_once(':') {
        Some(("0", name)) => Ok((PathElement { namespace: Some(STANDARD.into()), name: unescaped(name) }, rest)),
        Some((index, name)) if !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()) => wrong(
            "the namespace is given by its index, which may change when the PLC restarts",
            format!("write nsu=<the namespace's URI>:{name}, or only {name}"),
        ),
        _ => Ok((PathElement { namespace: None, name: unescaped(name) }, rest)),
    }
}

/// A name up to the next slash that no `&` precedes.
fn split_name(text: &str) -> (&str, Option<&str>) {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == '/' && !escaped {
            return (&text[..at], Some(&text[at + 1..]));
        }
        escaped = c == '&' && !escaped;
    }
    (text, None)
}

fn unescaped(name: &str) -> String {
    let mut characters = name.chars();
    let mut out = String::with_capacity(name.len());
    while let Some(c) = characters.next() {
        out.push(if c == '&' { characters.next().unwrap_or('&') } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Result<NodeAddress, String> {
        Template::node_id(text).and_then(|t| t.of("D7")).map_err(|(message, remedy)| format!("{message}; {remedy}"))
    }

    fn path(text: &str) -> Result<Vec<(Option<String>, String)>, String> {
        match Template::path(text).and_then(|t| t.of("D7")) {
            Ok(NodeAddress::Path(elements)) => Ok(elements.into_iter().map(|e| (e.namespace, e.name)).collect()),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn node_ids() {
        let address = |namespace: Option<&str>, identifier: &str| {
            Ok(NodeAddress::Id { namespace: namespace.map(Into::into), identifier: identifier.into() })
        };
        assert_eq!(id("nsu=urn:plant;s={device}.T"), address(Some("urn:plant"), "s=D7.T"));
        assert_eq!(id("nsu=urn:a%3Bb;s=x;y=z"), address(Some("urn:a;b"), "s=x;y=z"));
        assert_eq!(id("nsu=urn:plant;i=5042"), address(Some("urn:plant"), "i=5042"));
        assert_eq!(id("i=2258"), address(None, "i=2258"));
        assert_eq!(id("ns=0;i=2258"), address(None, "i=2258"));
        assert_eq!(id("nsu=http://opcfoundation.org/UA/;i=2258"), address(None, "i=2258"));
        assert!(id("nsu=urn:x;g=09087e75-8e5e-499b-954f-f2a9603db28a").is_ok());
        assert!(id("ns=3;s=T").is_err_and(|e| e.contains("nsu=<the namespace's URI>;s=T")));
        for text in [
            "",
            "T",
            "nsu=urn:x",
            "nsu=;s=x",
            "nsu=urn:x;s=",
            "i=-1",
            "i=4294967296",
            "g=1",
            "q=1",
            "nsu=urn:x;i={device}",
            "nsu=u;s={Device}",
            "/Objects/T",
        ] {
            assert!(id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn browse_paths() {
        let any = |name: &str| (None, name.to_owned());
        let of = |uri: &str, name: &str| (Some(uri.to_owned()), name.to_owned());
        assert_eq!(path("/Objects/{device}/Temperature"), Ok(vec![any("Objects"), any("D7"), any("Temperature")]));
        assert_eq!(
            path("/0:Objects/nsu=urn:plant:Oven/T"),
            Ok(vec![of(STANDARD, "Objects"), of("urn:plant", "Oven"), any("T")])
        );
        assert_eq!(
            path("/nsu=http://x.org/UA/:Oven/nsu=http://x.org/UA/:T"),
            Ok(vec![of("http://x.org/UA/", "Oven"), of("http://x.org/UA/", "T")])
        );
        assert_eq!(path("/Objects/a&/b"), Ok(vec![any("Objects"), any("a/b")]));
        assert!(path("/3:Oven").is_err_and(|e| e.contains("nsu=")));
        for text in ["", "Objects", "/", "//", "/a//b", "/a/", "/nsu=urn", "/{dev}/T"] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
