//! Who we are and whom we trust: certificates as files in `own/`, `private/`, `trusted/`, `rejected/` of one folder, for clients and
//! PLCs alike. Whoever is not in `trusted/` is refused and kept in `rejected/`; a file moved, or dropped into `trusted/` under any
//! name, counts within seconds. No authorities: each certificate is trusted by itself.

mod own;
mod trust;
mod watch;

pub use own::{OWN_CERTIFICATE, OWN_KEY, prepare, renew};
pub use trust::{Entry, Place, Refusal, TrustError, entries, judge, look, reject, trust};
pub use watch::{WARNING, watch};
