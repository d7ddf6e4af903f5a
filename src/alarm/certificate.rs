//! The one condition of the server itself: that its own certificate ends soon (OPC 10000-9 §5.8.23).

use std::time::Duration;

use super::{Activity, ConditionKind};
use crate::{
    event::{EventType, Source},
    pki::WARNING,
    sample::Value,
    time::Timestamp,
};

/// Its ConditionId; a node of that name there is not.
pub const CERTIFICATE_CONDITION: &str = "Configuration.CertificateExpiration";
/// RsaSha256ApplicationCertificateType.
const CERTIFICATE_TYPE: &str = "i=12560";
const SEVERITY: u16 = 700;

/// What it is of.
#[must_use]
pub fn certificate_kind() -> ConditionKind {
    ConditionKind {
        event_type: EventType::CertificateExpirationAlarm,
        id: CERTIFICATE_CONDITION.into(),
        name: "CertificateExpiration".to_owned(),
        source: Source::default(),
        input: "".into(),
        fixed: vec![
            ("ExpirationLimit".into(), Value::Double(Duration::as_secs_f64(&WARNING) * 1e3)),
            ("CertificateType".into(), Value::from(CERTIFICATE_TYPE)),
        ],
    }
}

/// Active from a month before the end on.
#[must_use]
pub fn certificate_activity(end: Timestamp, now: Timestamp) -> Option<Activity> {
    (end < now + WARNING).then(|| Activity {
        level: None,
        severity: SEVERITY,
        message: format!("The server's certificate is valid until {end}: renew it (uatwin cert renew), then restart"),
        fields: vec![("ExpirationDate".into(), Value::DateTime(end))],
    })
}
