//! As much of OPC UA's TCP (OPC 10000-6 §6.7, §7.1) as a gate needs that sees chunks and no keys: how long a chunk is, and, where
//! nothing is encrypted, which sessions are created, activated and closed. Pure: bytes in, facts out. Nothing here trusts a length.

/// Header of every chunk: type, whether it is the last, length.
pub(super) const HEADER: usize = 8;
/// Header of a chunk in a secure channel, before the body: channel, token, sequence number, request.
const BODY: usize = 24;
/// Ends of the URI of the policy without security.
const POLICY_NONE: &[u8] = b"#None";
/// The first chunk of several is full. A shorter one would only hide which service it begins.
const FIRST_MIN: usize = 256;

/// Numbers of the binary encodings (OPC 10000-6 Annex A).
const CREATE_SESSION_REQUEST: u32 = 461;
const CREATE_SESSION_RESPONSE: u32 = 464;
const ACTIVATE_SESSION_REQUEST: u32 = 467;
const ACTIVATE_SESSION_RESPONSE: u32 = 470;
const CLOSE_SESSION_REQUEST: u16 = 473;

/// What a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hello,
    Open,
    Message,
    /// `ACK`, `ERR`, `CLO`.
    Other,
}

/// A chunk's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// `F`, `C` or `A`.
    pub(super) end: u8,
    /// Of all of it.
    pub(super) length: usize,
}

impl Header {
    /// `None`: no header of OPC UA, or shorter than itself.
    pub(super) fn of(bytes: [u8; HEADER]) -> Option<Self> {
        let [a, b, c, end, size @ ..] = bytes;
        let kind = match &[a, b, c] {
            b"HEL" => Kind::Hello,
            b"OPN" => Kind::Open,
            b"MSG" => Kind::Message,
            b"ACK" | b"ERR" | b"CLO" => Kind::Other,
            _ => return None,
        };
        let length = usize::try_from(u32::from_le_bytes(size)).ok()?;
        (length >= HEADER && matches!(end, b'F' | b'C' | b'A')).then_some(Self { kind, end, length })
    }
}

/// Where in a message of a secure channel a chunk stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) channel: u32,
    pub(super) token: u32,
    pub(super) sequence: u32,
    pub(super) request: u32,
}

/// What a client or the server says about sessions, as far as it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Create,
    /// By its authentication token.
    Activate(Vec<u8>),
    Close(Vec<u8>),
    /// The token of the new session.
    Created(Vec<u8>),
    Activated,
}

/// Reads front to back; `None` past the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A String or ByteString; null is empty.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        match usize::try_from(i32::from_le_bytes(self.take(4)?.try_into().ok()?)) {
            Ok(length) => self.take(length),
            Err(_) => Some(&[]),
        }
    }

    /// A NodeId as it is encoded, and its number if it is one of the standard's.
    fn node_id(&mut self) -> Option<(&'a [u8], Option<u32>)> {
        let start = self.0;
        let number = match self.u8()? {
            0 => Some(u32::from(self.u8()?)),
            1 => {
                let namespace = self.u8()?;
                let number = self.u16()?;
                (namespace == 0).then_some(u32::from(number))
            }
            2 => {
                let namespace = self.u16()?;
                let number = self.u32()?;
                (namespace == 0).then_some(number)
            }
            3 | 5 => {
                self.u16()?;
                self.bytes()?;
                None
            }
            4 => {
                self.take(18)?;
                None
            }
            _ => return None,
        };
        Some((start.get(..start.len() - self.0.len())?, number))
    }
}

/// Where a chunk of a secure channel stands.
pub(super) fn place(chunk: &[u8]) -> Option<Place> {
    let mut reader = Reader(chunk.get(HEADER..)?);
    Some(Place { channel: reader.u32()?, token: reader.u32()?, sequence: reader.u32()?, request: reader.u32()? })
}

/// Whether an OpenSecureChannel is for no security, and the sender's certificate.
pub(super) fn opened(chunk: &[u8]) -> Option<(bool, &[u8])> {
    let mut reader = Reader(chunk.get(HEADER + 4..)?);
    let policy = reader.bytes()?;
    let certificate = reader.bytes()?;
    // What is empty, the library takes for none.
    Some((policy.is_empty() || policy.ends_with(POLICY_NONE), certificate))
}

/// Whether the first chunk of several is so short that it hides what it begins.
pub(super) fn hides(header: Header) -> bool {
    header.end == b'C' && header.length < FIRST_MIN
}

/// What a request says, of which this is the first chunk.
pub(super) fn request(chunk: &[u8]) -> Option<Said> {
    let mut reader = Reader(chunk.get(BODY..)?);
    let service = reader.node_id()?.1?;
    if service == CREATE_SESSION_REQUEST {
        return Some(Said::Create);
    }
    let (token, _) = reader.node_id()?;
    match service {
        ACTIVATE_SESSION_REQUEST => Some(Said::Activate(token.to_vec())),
        _ if service == u32::from(CLOSE_SESSION_REQUEST) => Some(Said::Close(token.to_vec())),
        _ => None,
    }
}

/// What an answer says that is Good, of which this is the first chunk.
pub(super) fn answer(chunk: &[u8]) -> Option<Said> {
    let mut reader = Reader(chunk.get(BODY..)?);
    let service = reader.node_id()?.1?;
    if !matches!(service, CREATE_SESSION_RESPONSE | ACTIVATE_SESSION_RESPONSE) {
        return None;
    }
    // ResponseHeader (OPC 10000-4 §7.34): timestamp, handle, result, no diagnostics, no strings, no additional header.
    reader.take(12)?;
    if reader.u32()? >> 30 != 0 {
        return None;
    }
    if service == ACTIVATE_SESSION_RESPONSE {
        return Some(Said::Activated);
    }
    let (diagnostics, strings) = (reader.u8()?, reader.bytes()?);
    let (_, additional) = (reader.node_id()?, reader.u8()?);
    if diagnostics != 0 || !strings.is_empty() || additional != 0 {
        return None;
    }
    reader.node_id()?;
    Some(Said::Created(reader.node_id()?.0.to_vec()))
}

/// A CloseSession for a session that was created in this channel, after the chunk at `last`: first an abort of a message that
/// may be unfinished (which has no place in the sequence for the library), then the request.
pub(super) fn close_session(last: Place, token: &[u8]) -> Vec<u8> {
    let at = Place { sequence: last.sequence.wrapping_add(1), request: last.request.wrapping_add(1), ..last };
    let mut body = vec![1, 0];
    body.extend(CLOSE_SESSION_REQUEST.to_le_bytes());
    body.extend(token);
    body.extend([0; 8 + 4 + 4]); // timestamp, handle, returnDiagnostics
    body.extend((-1_i32).to_le_bytes()); // auditEntryId
    body.extend([0; 4 + 3]); // timeoutHint, additionalHeader
    body.push(1); // deleteSubscriptions
    let mut bytes = chunk(*b"MSGA", at, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    bytes.extend(chunk(*b"MSGF", at, &body));
    bytes
}

fn chunk(kind: [u8; 4], at: Place, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(BODY + body.len()).unwrap_or(u32::MAX);
    let mut bytes = kind.to_vec();
    for word in [length, at.channel, at.token, at.sequence, at.request] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(body);
    bytes
}

/// The message with which a connection is refused (OPC 10000-6 §7.1.2.5).
pub(super) fn error(status: u32, reason: &str) -> Vec<u8> {
    let length = u32::try_from(HEADER + 8 + reason.len()).unwrap_or(u32::MAX);
    let mut bytes = b"ERRF".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(status.to_le_bytes());
    bytes.extend(u32::try_from(reason.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(reason.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Place = Place { channel: 7, token: 1, sequence: 51, request: 3 };

    fn message(service: &[u8], rest: &[u8]) -> Vec<u8> {
        chunk(*b"MSGF", AT, &[service, rest].concat())
    }

    #[test]
    fn lengths_are_believed_only_in_bounds() {
        let header = |text: &[u8; 4], length: u32| {
            let mut bytes = [0; HEADER];
            bytes[..4].copy_from_slice(text);
            bytes[4..].copy_from_slice(&length.to_le_bytes());
            Header::of(bytes)
        };
        assert_eq!(header(b"MSGF", 24), Some(Header { kind: Kind::Message, end: b'F', length: 24 }));
        assert_eq!(header(b"MSGF", 7), None);
        assert_eq!(header(b"MSGX", 24), None);
        assert_eq!(header(b"GET ", 24), None);
    }

    #[test]
    fn whichever_way_a_service_is_encoded_it_is_seen() {
        let token = [5, 0, 0, 2, 0, 0, 0, 0xab, 0xcd];
        for service in [&[1, 0, 0xd3, 1][..], &[2, 0, 0, 0xd3, 1, 0, 0]] {
            assert_eq!(request(&message(service, &token)), Some(Said::Activate(token.to_vec())));
        }
        assert_eq!(request(&message(&[1, 0, 0xcd, 1], &[])), Some(Said::Create));
        assert_eq!(request(&message(&[1, 1, 0xcd, 1], &token)), None, "of another namespace");
    }

    #[test]
    fn what_is_made_here_is_read_here() {
        let token = [5, 0, 0, 2, 0, 0, 0, 0xab, 0xcd];
        let bytes = close_session(AT, &token);
        let header = Header::of(bytes[..HEADER].try_into().unwrap()).unwrap();
        assert_eq!((header.end, header.length), (b'A', 32));
        let close = &bytes[32..];
        assert_eq!(request(close), Some(Said::Close(token.to_vec())));
        assert_eq!(place(close), Some(Place { sequence: 52, request: 4, ..AT }));
        assert_eq!(Header::of(close[..HEADER].try_into().unwrap()).unwrap().length, close.len());
    }

    #[test]
    fn only_good_answers_count() {
        let mut header = vec![0; 12];
        header.extend([0; 4]);
        header.extend([0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]);
        let ids = [1, 1, 9, 0, 5, 0, 0, 1, 0, 0, 0, 0xaa];
        let created = message(&[1, 0, 0xd0, 1], &[&header[..], &ids].concat());
        assert_eq!(answer(&created), Some(Said::Created(vec![5, 0, 0, 1, 0, 0, 0, 0xaa])));
        header[15] = 0x80;
        assert_eq!(answer(&message(&[1, 0, 0xd0, 1], &[&header[..], &ids].concat())), None);
        assert_eq!(answer(&message(&[1, 0, 0xd6, 1], &header)), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_nothing_breaks(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = (request(&bytes), answer(&bytes), opened(&bytes), place(&bytes));
        }
    }
}
