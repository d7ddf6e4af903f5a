//! Whom we trust, and why somebody is not trusted.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use opcua::crypto::{CertificateStore, SecurityPolicy, X509};

use super::OWN_CERTIFICATE;
use crate::time::Timestamp;

/// Anybody may fill `rejected/` before saying who they are: the oldest go.
const REJECTED_MAX: usize = 100;

/// Where a certificate lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Ours.
    Own,
    /// Let in.
    Trusted,
    /// Refused, for want of trust.
    Rejected,
}

impl Place {
    /// Its folder.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Trusted => "trusted",
            Self::Rejected => "rejected",
        }
    }
}

/// One certificate on file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// Its file.
    pub file: PathBuf,
    /// Whose it says to be.
    pub common_name: String,
    /// SHA-1 of all of it, 40 hexadecimal digits: how certificates are called.
    pub thumbprint: String,
    /// First and last instant of its validity; `None`: not readable.
    pub valid: Option<(Timestamp, Timestamp)>,
}

impl Entry {
    fn of(place: Place, file: PathBuf) -> Option<Self> {
        let certificate = read(&file)?;
        let at =
            |time: chrono::DateTime<chrono::Utc>| Timestamp::from_unix_ns(i128::from(time.timestamp()) * 1_000_000_000);
        let (from, to) = (certificate.not_before().ok(), certificate.not_after().ok());
        Some(Self {
            place,
            file,
            common_name: name_of(&certificate),
            thumbprint: certificate.thumbprint().as_hex_string(),
            valid: from.zip(to).map(|(from, to)| (at(from), at(to))),
        })
    }
}

/// Why a certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody has said that it may come.
    #[error("the certificate {name} [{thumbprint}] is not trusted; `uatwin cert trust {thumbprint}` trusts it")]
    Untrusted {
        /// Whose it says to be.
        name: String,
        /// Its thumbprint.
        thumbprint: String,
    },
    /// It is trusted, and yet not in order.
    #[error("the certificate {name} [{thumbprint}] is trusted, but {fault}")]
    Faulty {
        /// Whose it says to be.
        name: String,
        /// Its thumbprint.
        thumbprint: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The folder cannot be read.
    #[error("certificates cannot be judged: {0}")]
    Unreadable(String),
}

/// Why a certificate could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No certificate is called so.
    #[error("no certificate in {folder}/ has a thumbprint or a file name that begins with {which:?}")]
    Unknown {
        /// Where it was looked for.
        folder: &'static str,
        /// What was asked for.
        which: String,
    },
    /// Several are.
    #[error("{0:?} begins the thumbprints or names of several certificates: write more of it")]
    Ambiguous(String),
    /// A file that is none.
    #[error("{0} is not a certificate in DER or PEM")]
    NotOne(PathBuf),
    /// The folder cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// All certificates on file: ours, then the trusted, then the rejected ones, newest first.
///
/// # Errors
/// A folder that cannot be read.
pub fn entries(pki_dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Entry::of(Place::Own, pki_dir.join(OWN_CERTIFICATE)).into_iter().collect();
    for place in [Place::Trusted, Place::Rejected] {
        let mut files = files(&pki_dir.join(place.folder()))?;
        files.sort_by_key(|file| std::cmp::Reverse(modified(file)));
        entries.extend(files.into_iter().filter_map(|file| Entry::of(place, file)));
    }
    Ok(entries)
}

/// Puts things in order: what somebody dropped into `trusted/` gets the name by which it is looked for, and is no longer rejected;
/// of the rejected ones the newest hundred stay. Gives the files in `trusted/` that are no certificates.
///
/// # Errors
/// A folder that cannot be read or written.
pub fn look(pki_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let strange = name_trusted(pki_dir)?;
    prune_rejected(pki_dir)?;
    Ok(strange)
}

/// Trusts a certificate: one of the rejected, by the beginning of its thumbprint or file name, or any file.
///
/// # Errors
/// There is none, or more than one; or a file cannot be written.
pub fn trust(pki_dir: &Path, which: &str) -> Result<Entry, TrustError> {
    let path = Path::new(which);
    let file = match find(pki_dir, Place::Rejected, which) {
        Ok(entry) => entry.file,
        Err(TrustError::Unknown { .. }) if path.is_file() => path.to_owned(),
        Err(error) => return Err(error),
    };
    let certificate = read(&file).ok_or_else(|| TrustError::NotOne(file.clone()))?;
    let der = certificate.to_der().map_err(|_| TrustError::NotOne(file.clone()))?;
    let trusted = pki_dir.join(Place::Trusted.folder()).join(CertificateStore::cert_file_name(&certificate));
    fs::create_dir_all(pki_dir.join(Place::Trusted.folder()))?;
    fs::write(&trusted, der)?;
    if pki_dir.join(Place::Rejected.folder()).exists() {
        name_trusted(pki_dir)?;
    }
    Entry::of(Place::Trusted, trusted).ok_or(TrustError::NotOne(file))
}

/// Trusts a certificate no longer.
///
/// # Errors
/// There is none, or more than one; or a file cannot be moved.
pub fn reject(pki_dir: &Path, which: &str) -> Result<Entry, TrustError> {
    let entry = find(pki_dir, Place::Trusted, which)?;
    let name = entry.file.file_name().unwrap_or_default();
    let rejected = pki_dir.join(Place::Rejected.folder()).join(name);
    fs::rename(&entry.file, &rejected)?;
    Ok(Entry { place: Place::Rejected, file: rejected, ..entry })
}

fn find(pki_dir: &Path, place: Place, which: &str) -> Result<Entry, TrustError> {
    let lower = which.to_lowercase();
    let is_called = |entry: &Entry| {
        let file = entry.file.file_name().unwrap_or_default().to_string_lossy();
        let names = [entry.thumbprint.as_str(), &entry.common_name, &file].map(str::to_lowercase);
        !lower.is_empty() && names.iter().any(|name| name.starts_with(&lower))
    };
    let mut found = entries(pki_dir)?.into_iter().filter(|entry| entry.place == place).filter(is_called);
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => Err(TrustError::Unknown { folder: place.folder(), which: which.to_owned() }),
        (Some(_), Some(_)) => Err(TrustError::Ambiguous(which.to_owned())),
    }
}

/// Whether a peer's certificate is trusted and in order: its key long enough for the policy, its time not over, its
/// ApplicationUri the one that the peer says. One that nobody trusts is kept in `rejected/`. Host names are not compared: PLCs are
/// reached by addresses that their certificates do not know.
///
/// # Errors
/// Why not.
pub fn judge(
    pki_dir: &Path,
    certificate: &X509,
    policy: SecurityPolicy,
    application_uri: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    look(pki_dir).map_err(|error| Refusal::Unreadable(error.to_string()))?;
    let (name, thumbprint) = (name_of(certificate), certificate.thumbprint().as_hex_string());
    let mut store = CertificateStore::new(pki_dir);
    store.set_skip_verify_certs(true); // it says no more than that there is something
    let trusted = pki_dir.join(Place::Trusted.folder()).join(CertificateStore::cert_file_name(certificate));
    let is_known = trusted.exists();
    if let Err(error) = store.validate_or_reject_application_instance_cert(certificate, policy, None, None) {
        return Err(match is_known {
            false => Refusal::Untrusted { name, thumbprint },
            true => Refusal::Faulty { name, thumbprint, fault: error.to_string() },
        });
    }
    let (from, to) = Entry::of(Place::Trusted, trusted).and_then(|entry| entry.valid).unwrap_or_default();
    let fault = if !(from..=to).contains(&now) {
        format!("it is valid from {from} to {to} only")
    } else if certificate.is_application_uri_valid(application_uri).is_err() {
        format!("it is not that of {application_uri:?}, which the server says to be")
    } else {
        return Ok(());
    };
    Err(Refusal::Faulty { name, thumbprint, fault })
}

/// The library finds a trusted certificate by a name that it makes itself, and lets one in `rejected/` win: a file that
/// somebody put into `trusted/` under any name is meant to be trusted. Gives the files that are no certificates.
fn name_trusted(pki_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut strange = Vec::new();
    for file in files(&pki_dir.join(Place::Trusted.folder()))? {
        let Some((certificate, der)) = read(&file).and_then(|of| of.to_der().ok().map(|der| (of, der))) else {
            strange.push(file);
            continue;
        };
        let name = CertificateStore::cert_file_name(&certificate);
        if file.file_name().is_some_and(|own| own != name.as_str()) {
            // The library reads a file by its name: as DER.
            fs::write(pki_dir.join(Place::Trusted.folder()).join(&name), der)?;
            fs::remove_file(&file)?;
        }
        let rejected = pki_dir.join(Place::Rejected.folder()).join(&name);
        if rejected.exists() {
            fs::remove_file(rejected)?;
        }
    }
    Ok(strange)
}

/// In DER or PEM, whatever the file is called.
fn read(file: &Path) -> Option<X509> {
    let bytes = fs::read(file).ok()?;
    X509::from_der(&bytes).or_else(|_| X509::from_pem(&bytes)).ok()
}

/// The common name alone.
fn name_of(certificate: &X509) -> String {
    let name = certificate.common_name().unwrap_or_default();
    name.strip_prefix("CN=").map_or(name.clone(), str::to_owned)
}

fn prune_rejected(pki_dir: &Path) -> io::Result<()> {
    let mut files = files(&pki_dir.join(Place::Rejected.folder()))?;
    files.sort_by_key(|file| modified(file));
    let surplus = files.len().saturating_sub(REJECTED_MAX);
    files.iter().take(surplus).try_for_each(fs::remove_file)
}

fn modified(file: &Path) -> SystemTime {
    fs::metadata(file).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
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
    use crate::pki::{OWN_KEY, prepare};

    fn somebody(name: &str, uri: &str) -> (tempfile::TempDir, X509) {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path(), name, uri, "plc.example").unwrap();
        let certificate = CertificateStore::read_cert(&dir.path().join(OWN_CERTIFICATE)).unwrap();
        assert!(dir.path().join(OWN_KEY).exists());
        (dir, certificate)
    }

    /// Within the time of whose certificate was just made.
    fn now() -> Timestamp {
        let (dir, _) = somebody("clock", "urn:clock");
        let own = Entry::of(Place::Own, dir.path().join(OWN_CERTIFICATE)).unwrap();
        own.valid.unwrap().0.plus_seconds(60.0)
    }

    #[test]
    fn a_stranger_is_refused_until_trusted_and_again_when_trusted_no_longer() {
        let ((dir, _), (_other, stranger)) = (somebody("us", "urn:us"), somebody("A stranger", "urn:stranger"));
        let judged = |uri: &str| judge(dir.path(), &stranger, SecurityPolicy::Basic256Sha256, uri, now());
        let thumbprint = stranger.thumbprint().as_hex_string();
        for _ in 0..2 {
            let refusal = judged("urn:stranger").unwrap_err();
            assert!(refusal.to_string().contains(&format!("uatwin cert trust {thumbprint}")), "{refusal}");
        }
        let entry = trust(dir.path(), &thumbprint[..8].to_uppercase()).unwrap();
        assert_eq!((entry.place, entry.common_name.as_str()), (Place::Trusted, "A stranger"));
        assert_eq!(judged("urn:stranger"), Ok(()));
        let refusal = judged("urn:somebody-else").unwrap_err();
        assert!(matches!(&refusal, Refusal::Faulty { fault, .. } if fault.contains("urn:somebody-else")), "{refusal}");
        let late = judge(
            dir.path(),
            &stranger,
            SecurityPolicy::Basic256Sha256,
            "urn:stranger",
            now().plus_seconds(11.0 * 365.0 * 86_400.0),
        );
        assert!(matches!(late, Err(Refusal::Faulty { fault, .. }) if fault.contains("is valid from")));
        reject(dir.path(), "a stranger").unwrap();
        assert!(matches!(judged("urn:stranger"), Err(Refusal::Untrusted { .. })));
        assert!(matches!(trust(dir.path(), "ffff"), Err(TrustError::Unknown { .. })));
    }

    #[test]
    fn any_file_can_be_trusted_but_what_is_no_certificate() {
        let ((dir, _), (other, stranger)) = (somebody("us", "urn:us"), somebody("A stranger", "urn:stranger"));
        let file = other.path().join(OWN_CERTIFICATE);
        fs::copy(&file, dir.path().join("trusted/from-the-stick.crt")).unwrap();
        assert_eq!(judge(dir.path(), &stranger, SecurityPolicy::Basic256Sha256, "urn:stranger", now()), Ok(()));
        reject(dir.path(), "A str").unwrap();
        trust(dir.path(), file.to_str().unwrap()).unwrap();
        assert_eq!(judge(dir.path(), &stranger, SecurityPolicy::Basic256Sha256, "urn:stranger", now()), Ok(()));
        let none = other.path().join("none.der");
        fs::write(&none, b"no certificate").unwrap();
        fs::copy(&none, dir.path().join("trusted/none.der")).unwrap();
        assert_eq!(look(dir.path()).unwrap(), [dir.path().join("trusted/none.der")]);
        assert!(matches!(trust(dir.path(), none.to_str().unwrap()), Err(TrustError::NotOne(_))));
    }

    #[test]
    fn of_the_rejected_the_newest_hundred_stay() {
        let (dir, _) = somebody("us", "urn:us");
        let rejected = dir.path().join("rejected");
        for i in 0..120_u64 {
            let file = fs::File::create(rejected.join(format!("{i}.der"))).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(i)).unwrap();
        }
        look(dir.path()).unwrap();
        assert_eq!(files(&rejected).unwrap().len(), REJECTED_MAX);
        assert!(!rejected.join("19.der").exists() && rejected.join("20.der").exists());
    }
}
