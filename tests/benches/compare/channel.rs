//! A client that costs next to nothing, so that it is never the limit: OPC 10000-6 §6.7 and §7.1 with policy None on a
//! blocking socket. Requests can be encoded once and sent often; answers are decoded as far as is asked for.

use std::{
    io::{Cursor, Read, Write},
    net::TcpStream,
    sync::LazyLock,
    time::Duration,
};

use opcua::{
    core::{Message, RequestMessage, ResponseMessage},
    crypto::SecurityPolicy,
    types::{
        ActivateSessionRequest, AnonymousIdentityToken, ApplicationDescription, ApplicationType, AttributeId,
        BinaryDecodable, BinaryEncodable, ByteString, ContextOwned, CreateSessionRequest, DateTime, DecodingOptions,
        ExtensionObject, MessageSecurityMode, NamespaceMap, NodeId, OpenSecureChannelRequest, ReadRequest, ReadValueId,
        RequestHeader, ResponseHeader, SecurityTokenRequestType, TimestampsToReturn, UAString, UserTokenType,
        VariableId, Variant,
    },
};

pub(crate) static CONTEXT: LazyLock<ContextOwned> = LazyLock::new(|| {
    let options = DecodingOptions {
        max_array_length: 1_000_000,
        max_byte_string_length: 64 << 20,
        max_string_length: 1 << 20,
        max_message_size: 0,
        max_chunk_count: 0,
        ..DecodingOptions::default()
    };
    ContextOwned::new_default(NamespaceMap::new(), options)
});

/// What every peer takes and gives by itself.
const BUFFER: u32 = 65_535;
/// A chunk's header: type, length, channel, token, sequence number, request.
const HEADER: usize = 24;
/// Longer than any server that still lives keeps us waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session on a secure channel of its own.
pub(crate) struct Channel {
    stream: TcpStream,
    channel: u32,
    token: u32,
    sequence: u32,
    session: NodeId,
    answer: Vec<u8>,
}

/// A request as it goes over the wire, without its chunk's header.
pub(crate) struct Encoded(Vec<u8>);

impl Channel {
    /// Connects as an anonymous user.
    pub(crate) fn open(url: &str) -> Self {
        let host = url.trim_start_matches("opc.tcp://").trim_end_matches('/');
        let stream = TcpStream::connect(host).unwrap_or_else(|error| panic!("{host}: {error}"));
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a TCP socket");
        let mut channel =
            Self { stream, channel: 0, token: 0, sequence: 0, session: NodeId::null(), answer: Vec::new() };
        channel.say_hello(url);
        channel.open_secure_channel();
        channel.begin_session(url);
        channel
    }

    fn say_hello(&mut self, url: &str) {
        let mut body: Vec<u8> = [0, BUFFER, BUFFER, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect();
        body.extend(UAString::from(url).encode_to_vec(&CONTEXT.context()));
        self.write_chunk(b"HELF", &[], &body);
        let (kind, _) = self.read_chunk();
        assert_eq!(&kind, b"ACKF", "the server says hello");
    }

    fn open_secure_channel(&mut self) {
        let request = OpenSecureChannelRequest {
            request_header: self.header(),
            client_protocol_version: 0,
            request_type: SecurityTokenRequestType::Issue,
            security_mode: MessageSecurityMode::None,
            client_nonce: ByteString::null(),
            requested_lifetime: 3_600_000,
        };
        let mut security = 0_u32.to_le_bytes().to_vec();
        security.extend(UAString::from(SecurityPolicy::None.to_uri()).encode_to_vec(&CONTEXT.context()));
        security.extend([0xff; 8]); // neither certificate nor thumbprint
        self.sequence += 1;
        security.extend([self.sequence, self.sequence].into_iter().flat_map(u32::to_le_bytes));
        self.write_chunk(b"OPNF", &security, &encoded(&request.into()).0);
        let (kind, body) = self.read_chunk();
        assert_eq!(&kind, b"OPNF", "the server opens a channel");
        let mut body = Cursor::new(&body[4..]);
        for _ in 0..3 {
            UAString::decode(&mut body, &CONTEXT.context()).expect("a security header");
        }
        body.set_position(body.position() + 8);
        let ResponseMessage::OpenSecureChannel(opened) = decoded(&mut body) else { panic!("no channel") };
        (self.channel, self.token) = (opened.security_token.channel_id, opened.security_token.token_id);
    }

    fn begin_session(&mut self, url: &str) {
        let request = CreateSessionRequest {
            request_header: self.header(),
            client_description: ApplicationDescription {
                application_uri: "urn:compare".into(),
                application_type: ApplicationType::Client,
                ..ApplicationDescription::default()
            },
            endpoint_url: url.into(),
            session_name: "compare".into(),
            client_nonce: nonce(),
            requested_session_timeout: 3_600_000.0,
            ..CreateSessionRequest::default()
        };
        let ResponseMessage::CreateSession(created) = self.ask(request) else { panic!("no session") };
        assert!(created.response_header.service_result.is_good(), "{}", created.response_header.service_result);
        let anonymous = created.server_endpoints.iter().flatten().flat_map(|endpoint| {
            let is_plain = endpoint.security_mode == MessageSecurityMode::None;
            endpoint.user_identity_tokens.iter().flatten().filter(move |_| is_plain)
        });
        let policy = anonymous.into_iter().find(|policy| policy.token_type == UserTokenType::Anonymous);
        let policy_id = policy.expect("an anonymous user may come in").policy_id.clone();
        self.session = created.authentication_token;
        let request = ActivateSessionRequest {
            request_header: self.header(),
            user_identity_token: ExtensionObject::from_message(AnonymousIdentityToken { policy_id }),
            ..ActivateSessionRequest::default()
        };
        let ResponseMessage::ActivateSession(activated) = self.ask(request) else { panic!("not activated") };
        assert!(activated.response_header.service_result.is_good(), "{}", activated.response_header.service_result);
    }

    /// For a request of this session.
    pub(crate) fn header(&self) -> RequestHeader {
        let mut header = RequestHeader::new(&self.session, &DateTime::now(), 1);
        header.timeout_hint = 60_000;
        header
    }

    /// Asks and decodes the whole answer.
    pub(crate) fn ask(&mut self, request: impl Into<RequestMessage>) -> ResponseMessage {
        self.send(&encoded(&request.into()));
        let answer = self.receive();
        if let ResponseMessage::ServiceFault(fault) = &answer {
            panic!("the server answers {}", fault.response_header.service_result);
        }
        answer
    }

    /// Sends a request; an answer must be received for each.
    pub(crate) fn send(&mut self, request: &Encoded) {
        self.sequence += 1;
        let header = [self.channel, self.token, self.sequence, self.sequence];
        let header: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
        self.write_chunk(b"MSGF", &header, &request.0);
    }

    /// The next answer.
    pub(crate) fn receive(&mut self) -> ResponseMessage {
        decoded(&mut Cursor::new(self.receive_encoded()))
    }

    /// The next answer, decoded up to the end of its header; what comes after it is for the caller.
    pub(crate) fn receive_header(&mut self) -> (ResponseHeader, Cursor<&[u8]>) {
        let mut body = Cursor::new(self.receive_encoded());
        NodeId::decode(&mut body, &CONTEXT.context()).expect("a type");
        let header = ResponseHeader::decode(&mut body, &CONTEXT.context()).expect("a response's header");
        (header, body)
    }

    /// The next answer's bytes, its chunks put together.
    fn receive_encoded(&mut self) -> &[u8] {
        self.answer.clear();
        loop {
            let mut header = [0; HEADER];
            self.stream.read_exact(&mut header).expect("an answer");
            assert_eq!(&header[..3], b"MSG", "{}", String::from_utf8_lossy(&header));
            assert_ne!(header[3], b'A', "the server gave up in the middle");
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize - HEADER;
            let begun = self.answer.len();
            self.answer.resize(begun + length, 0);
            self.stream.read_exact(&mut self.answer[begun..]).expect("a whole chunk");
            if header[3] == b'F' {
                return &self.answer;
            }
        }
    }

    fn write_chunk(&mut self, kind: &[u8; 4], security: &[u8], body: &[u8]) {
        let length = u32::try_from(8 + security.len() + body.len()).expect("a chunk");
        assert!(length <= BUFFER, "a request of {length} bytes needs more than a chunk");
        let chunk = [kind, length.to_le_bytes().as_slice(), security, body].concat();
        self.stream.write_all(&chunk).expect("the server listens");
    }

    fn read_chunk(&mut self) -> ([u8; 4], Vec<u8>) {
        let (mut kind, mut length) = ([0; 4], [0; 4]);
        self.stream.read_exact(&mut kind).expect("an answer");
        self.stream.read_exact(&mut length).expect("an answer");
        let mut body = vec![0; u32::from_le_bytes(length) as usize - 8];
        self.stream.read_exact(&mut body).expect("a whole chunk");
        (kind, body)
    }

    /// The index of a namespace; a number stands for itself.
    pub(crate) fn namespace(&mut self, named: &str) -> u16 {
        if let Ok(index) = named.parse() {
            return index;
        }
        let array = NodeId::from(VariableId::Server_NamespaceArray);
        let ResponseMessage::Read(read) = self.ask(read(self.header(), vec![array])) else { panic!("no namespaces") };
        let value = read.results.unwrap_or_default().pop().and_then(|value| value.value);
        let Some(Variant::Array(names)) = value else { panic!("no namespaces") };
        let index = names.values.iter().position(|name| *name == Variant::from(named));
        u16::try_from(index.unwrap_or_else(|| panic!("there is no {named}"))).expect("an index")
    }
}

/// Nobody's secret without security, but one that was used before is refused by some.
fn nonce() -> ByteString {
    let parts = [DateTime::now().ticks(), std::process::id().into(), DateTime::now().ticks(), 0];
    ByteString::from(parts.into_iter().flat_map(i64::to_le_bytes).collect::<Vec<u8>>())
}

/// The values of nodes, with their source timestamps.
pub(crate) fn read(request_header: RequestHeader, nodes: Vec<NodeId>) -> ReadRequest {
    let wanted = |node_id| ReadValueId { node_id, attribute_id: AttributeId::Value as u32, ..ReadValueId::default() };
    ReadRequest {
        request_header,
        max_age: 0.0,
        timestamps_to_return: TimestampsToReturn::Source,
        nodes_to_read: Some(nodes.into_iter().map(wanted).collect()),
    }
}

pub(crate) fn encoded(request: &RequestMessage) -> Encoded {
    let mut body = request.type_id().encode_to_vec(&CONTEXT.context());
    body.extend(request.encode_to_vec(&CONTEXT.context()));
    Encoded(body)
}

fn decoded(body: &mut Cursor<&[u8]>) -> ResponseMessage {
    let kind = NodeId::decode(body, &CONTEXT.context()).expect("a type");
    let kind = kind.as_object_id().unwrap_or_else(|_| panic!("no response has type {kind}"));
    ResponseMessage::decode_by_object_id(body, kind, &CONTEXT.context()).expect("a response")
}
