//! Identity tokens on their way in. The library (0.19) takes a password that a client sends as plain text, or encrypts by
//! the broken RSA 1.5 padding, whatever the token's policy says; and of a user's certificate it tells no more than the SHA-1
//! thumbprint. So tokens are looked at where they are decoded: such a password is refused before it is decrypted, and
//! certificates are kept for a moment, for their SHA-256 and their validity.

use std::{
    collections::VecDeque,
    io::Read,
    sync::{Mutex, PoisonError},
};

use opcua::{
    crypto::X509,
    types::{
        BinaryDecodable, Context, DynEncodable, NodeId, ObjectId, UAString, UserNameIdentityToken, X509IdentityToken,
    },
};
use sha2::{Digest as _, Sha256};
use tracing::info;

use super::{decoding::Decoded, users::Thumbprint};

/// As OPC 10000-7 names OAEP with SHA-1 and with SHA-256.
const ENCRYPTED_BY: [&str; 2] =
    ["http://www.w3.org/2001/04/xmlenc#rsa-oaep", "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256"];
/// No endpoint has a policy of this id: the library refuses the token as it is.
const NO_POLICY: &str = "refused";
/// Certificates that wait to be asked for. Full: the oldest goes; its owner tries again.
const PRESENTED_MAX: usize = 64;

/// The certificates that clients have just presented as users.
#[derive(Default)]
pub(super) struct Presented(Mutex<VecDeque<X509>>);

impl Presented {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<X509>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, certificate: X509) {
        let mut presented = self.lock();
        if presented.len() == PRESENTED_MAX {
            presented.pop_front();
        }
        presented.push_back(certificate);
    }

    /// The one of this SHA-1 thumbprint.
    pub(super) fn take(&self, sha1: &[u8]) -> Option<X509> {
        let mut presented = self.lock();
        let found = presented.iter().position(|certificate| certificate.thumbprint().value() == sha1)?;
        presented.remove(found)
    }
}

/// Both thumbprints of a certificate.
pub(crate) fn thumbprints(certificate: &X509) -> Option<[Thumbprint; 2]> {
    let sha256 = Sha256::digest(certificate.to_der().ok()?);
    Some([Thumbprint::Sha1(certificate.thumbprint().value().try_into().ok()?), Thumbprint::Sha256(sha256.into())])
}

/// Decodes identity tokens; certificates are kept in `presented`.
pub(super) fn decode(presented: &Presented, id: &NodeId, stream: &mut dyn Read, context: &Context<'_>) -> Decoded {
    if *id == ObjectId::UserNameIdentityToken_Encoding_DefaultBinary {
        let token = UserNameIdentityToken::decode(stream, context);
        return Some(token.map(|token| Box::new(encrypted(token)) as Box<dyn DynEncodable>));
    }
    if *id == ObjectId::X509IdentityToken_Encoding_DefaultBinary {
        let token = X509IdentityToken::decode(stream, context);
        let certificate = token.as_ref().ok().and_then(|of| X509::from_byte_string(&of.certificate_data).ok());
        certificate.into_iter().for_each(|certificate| presented.put(certificate));
        return Some(token.map(|token| Box::new(token) as Box<dyn DynEncodable>));
    }
    None
}

/// A token that is only good when its password is encrypted.
fn encrypted(token: UserNameIdentityToken) -> UserNameIdentityToken {
    if ENCRYPTED_BY.contains(&token.encryption_algorithm.as_ref()) {
        return token;
    }
    let algorithm = token.encryption_algorithm.as_ref();
    info!(target: "audit", algorithm, "a password that was not encrypted, or not well, was refused");
    UserNameIdentityToken { policy_id: UAString::from(NO_POLICY), ..UserNameIdentityToken::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_clear_or_in_rsa_15_gets_no_further() {
        let token = |algorithm: &str| UserNameIdentityToken {
            policy_id: "userpass_rsa_oaep".into(),
            user_name: "ann".into(),
            password: b"secret".as_slice().into(),
            encryption_algorithm: algorithm.into(),
        };
        for algorithm in ENCRYPTED_BY {
            assert_eq!(encrypted(token(algorithm)), token(algorithm));
        }
        for algorithm in ["", "http://www.w3.org/2001/04/xmlenc#rsa-1_5", "rot13"] {
            let refused = encrypted(token(algorithm));
            assert!(refused.policy_id.as_ref() == NO_POLICY && refused.password.is_null_or_empty(), "{algorithm}");
        }
    }
}
