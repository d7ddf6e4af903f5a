//! Our own certificate, made at first start, and whom we trust: files in `own/`, `private/`, `trusted/`, `rejected/`.
//! Trusting a client is moving its file from `rejected/` to `trusted/`.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use opcua::crypto::{CertificateStore, X509Data};
use tracing::{info, warn};

/// Where our certificate is, below the folder.
pub(super) const OWN_CERTIFICATE: &str = "own/cert.der";
/// Where its key is.
pub(super) const OWN_KEY: &str = "private/private.pem";
/// Anybody may fill `rejected/` before saying who they are: the oldest go.
const REJECTED_MAX: usize = 100;
const VALID_DAYS: u32 = 3650;

/// Makes the folders, and the certificate with its key where there is none.
pub(super) fn prepare(pki_dir: &Path, name: &str, application_uri: &str, host: &str) -> io::Result<()> {
    for folder in ["own", "private", "trusted", "rejected"] {
        fs::create_dir_all(pki_dir.join(folder))?;
    }
    let (certificate, key) = (pki_dir.join(OWN_CERTIFICATE), pki_dir.join(OWN_KEY));
    if !certificate.exists() || !key.exists() {
        let data = X509Data {
            key_size: 2048,
            common_name: name.to_owned(),
            organization: "uatwin".to_owned(),
            organizational_unit: String::new(),
            country: String::new(),
            state: String::new(),
            alt_host_names: X509Data::alt_host_names(application_uri, Some(vec![host.to_owned()]), true, false, true),
            certificate_duration_days: VALID_DAYS,
        };
        // A half of a pair is of no use: both are made anew.
        CertificateStore::create_certificate_and_key(&data, true, &certificate, &key).map_err(io::Error::other)?;
        info!(file = %certificate.display(), uri = application_uri, host, "certificate made");
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    name_trusted(pki_dir)?;
    prune_rejected(pki_dir)
}

/// The library finds a trusted certificate by a name that it makes itself, and lets one in `rejected/` win: a file that
/// somebody put into `trusted/` under any name is meant to be trusted.
fn name_trusted(pki_dir: &Path) -> io::Result<()> {
    for file in files(&pki_dir.join("trusted"))? {
        let Ok(certificate) = CertificateStore::read_cert(&file) else {
            warn!(file = %file.display(), "not a certificate in DER or PEM, not trusted");
            continue;
        };
        let name = CertificateStore::cert_file_name(&certificate);
        if file.file_name().is_some_and(|own| own != name.as_str()) {
            fs::rename(&file, pki_dir.join("trusted").join(&name))?;
        }
        let rejected = pki_dir.join("rejected").join(&name);
        if rejected.exists() {
            fs::remove_file(rejected)?;
        }
    }
    Ok(())
}

fn prune_rejected(pki_dir: &Path) -> io::Result<()> {
    let mut files = files(&pki_dir.join("rejected"))?;
    files.sort_by_key(|file| fs::metadata(file).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH));
    let surplus = files.len().saturating_sub(REJECTED_MAX);
    files.iter().take(surplus).try_for_each(fs::remove_file)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| path.as_ref().map_or(true, |p| p.is_file()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
