//! Our own certificate (OPC 10000-6 §6.2.2), made at the first start and renewed only when told: clients pin it.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use opcua::crypto::{CertificateStore, PrivateKey, X509, X509Data};
use tracing::info;

/// Where our certificate is, below the folder.
pub const OWN_CERTIFICATE: &str = "own/cert.der";
/// Where its key is.
pub const OWN_KEY: &str = "private/private.pem";
const VALID_DAYS: u32 = 3650;

/// Makes the folders, and the certificate with its key where there is none.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn prepare(pki_dir: &Path, name: &str, application_uri: &str, host: &str) -> io::Result<()> {
    for folder in ["own", "private", "trusted", "rejected"] {
        fs::create_dir_all(pki_dir.join(folder))?;
    }
    let (certificate, key) = (pki_dir.join(OWN_CERTIFICATE), pki_dir.join(OWN_KEY));
    if !certificate.exists() || !key.exists() {
        let data = description(name, application_uri, host);
        // A half of a pair is of no use: both are made anew.
        CertificateStore::create_certificate_and_key(&data, true, &certificate, &key).map_err(io::Error::other)?;
        info!(file = %certificate.display(), uri = application_uri, host, "certificate made");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    super::look(pki_dir).map(drop)
}

/// Another certificate of the same key, name and ApplicationUri, valid from now on; the old one is kept beside it as `cert.old.der`.
///
/// # Errors
/// There is none yet, or a file cannot be read or written.
pub fn renew(pki_dir: &Path, name: &str, application_uri: &str, host: &str) -> io::Result<()> {
    let path = pki_dir.join(OWN_CERTIFICATE);
    let key = PrivateKey::read_pem_file(&pki_dir.join(OWN_KEY)).map_err(io::Error::other)?;
    let data = description(name, application_uri, host);
    let made = X509::from_pkey(&key, &data).map_err(io::Error::other)?.to_der().map_err(io::Error::other)?;
    fs::rename(&path, path.with_extension("old.der"))?;
    // Whole or not at all: a server that starts meanwhile makes no key of its own for want of a certificate.
    let partial = path.with_extension("partial");
    fs::write(&partial, made)?;
    fs::rename(partial, path)
}

fn description(name: &str, application_uri: &str, host: &str) -> X509Data {
    X509Data {
        key_size: 2048,
        common_name: name.to_owned(),
        organization: "uatwin".to_owned(),
        organizational_unit: String::new(),
        country: String::new(),
        state: String::new(),
        alt_host_names: X509Data::alt_host_names(application_uri, Some(vec![host.to_owned()]), true, true, true),
        certificate_duration_days: VALID_DAYS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Place, entries};

    #[test]
    fn a_certificate_dropped_into_trusted_is_found_by_the_librarys_name_and_no_longer_rejected() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path(), "uatwin test", "urn:test", "plc.example").unwrap();
        let own = dir.path().join(OWN_CERTIFICATE);
        let certificate = CertificateStore::read_cert(&own).unwrap();
        let name = CertificateStore::cert_file_name(&certificate);
        fs::copy(&own, dir.path().join("trusted/from-the-stick.der")).unwrap();
        fs::copy(&own, dir.path().join("rejected").join(&name)).unwrap();
        prepare(dir.path(), "uatwin test", "urn:test", "plc.example").unwrap();
        assert!(dir.path().join("trusted").join(&name).exists());
        assert!(!dir.path().join("rejected").join(&name).exists());
        assert_eq!(CertificateStore::read_cert(&own).unwrap().thumbprint(), certificate.thumbprint(), "made once");
        assert!(certificate.is_application_uri_valid("urn:test").is_ok());
        assert!(
            certificate.is_hostname_valid("plc.example").is_ok() && certificate.is_hostname_valid("localhost").is_ok()
        );
    }

    #[test]
    fn a_renewed_certificate_has_the_key_and_the_uri_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path(), "uatwin test", "urn:test", "plc.example").unwrap();
        let read = || CertificateStore::read_cert(&dir.path().join(OWN_CERTIFICATE)).unwrap();
        let old = read();
        renew(dir.path(), "uatwin test", "urn:test", "moved.example").unwrap(); // within the second: else it would be the same
        let new = read();
        assert_ne!(new.thumbprint(), old.thumbprint());
        assert!(new.is_application_uri_valid("urn:test").is_ok());
        // What the key signs, both verify.
        let key = PrivateKey::read_pem_file(&dir.path().join(OWN_KEY)).unwrap();
        let mut signature = vec![0; 256];
        let length = key.sign_sha256(b"who are you", &mut signature).unwrap();
        for certificate in [&old, &new] {
            assert!(certificate.public_key().unwrap().verify_sha256(b"who are you", &signature[..length]).unwrap());
        }
        let own = entries(dir.path()).unwrap().into_iter().find(|entry| entry.place == Place::Own).unwrap();
        assert_eq!(own.common_name, "uatwin test");
        prepare(dir.path(), "uatwin test", "urn:test", "plc.example").unwrap();
        assert_eq!(read().thumbprint(), new.thumbprint(), "not made anew by a start");
    }
}
