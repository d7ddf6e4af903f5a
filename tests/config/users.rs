//! The users file, and what is said about a faulty one.

use uatwin::{northbound::users::Role, sample::TwinId};

use crate::{faults_of, parse_with};

const CONFIG: &str = r#"[server.security]
users_file = "users.toml"
anonymous = "off"
[twin_type.Tank.variable.Level]
[twin.Tank1]
type = "Tank"
[twin.Tank2]
type = "Tank"
[twin.Oven]
type = "Tank"
"#;
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

#[test]
fn users_have_roles_and_twins() {
    let sha256 = "ab".repeat(32);
    let users = format!(
        r#"[user.ann]
password = "{HASH}"
roles = ["Operator", "SecurityAdmin"]
[user."the mes"]
certificate = "{sha256}"
roles = []
twins = ["Tank*", "Oven"]
[user.bob]
password = "{HASH}"
roles = ["Observer"]
twins = ["Tank2"]
"#
    );
    let config = parse_with(CONFIG, &[("plant/users.toml", &users)]).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.server.anonymous, None);
    let user = |name| config.server.users.get(name).unwrap();
    assert!(
        user("ann").may(Role::Operator) && user("ann").may(Role::SecurityAdmin) && !user("ann").may(Role::Engineer)
    );
    assert!(user("ann").knows(TwinId(0)) && user("ann").twins.is_none());
    let mes = user("the mes");
    assert_eq!(mes.certificate.as_ref().unwrap().to_string(), sha256.to_uppercase());
    assert_eq!(mes.twins.as_ref().unwrap().len(), 3);
    assert!(!mes.may(Role::Observer) && !mes.knows(TwinId(0)), "no role, no twin");
    assert_eq!((user("bob").knows(TwinId(0)), user("bob").knows(TwinId(1))), (false, true));
    assert!(config.server.users.get("eve").is_none());
}

#[test]
fn all_faults_of_a_users_file_are_said_with_their_places() {
    let users = format!(
        r#"[user.ann]
password = "secret"
roles = ["Operatr"]
[user.bob]
roles = ["Observer"]
[user.Anonymous]
password = "{HASH}"
roles = []
twins = ["Tank3"]
[user.carl]
certificate = "12:34"
rolls = ["Observer"]
[user.dora]
password = "{}"
roles = []
"#,
        HASH.replace("19456", "99999999")
    );
    let expected = [
        "plant/users.toml:2:12: user.ann.password: not a hash in the format $argon2id$v=19$m=…,t=…,p=…$salt$hash; set it with: uatwin user password NAME",
        "plant/users.toml:3:10: user.ann.roles[0]: \"Operatr\" is not known here; did you mean `Operator`?",
        "plant/users.toml:4:7: user.bob: neither password nor certificate: nobody can be this user; set one with: uatwin user password NAME",
        "plant/users.toml:6:7: user.Anonymous: this is what users without a name are called; what they may do, [server.security] anonymous says",
        "plant/users.toml:9:10: user.Anonymous.twins[0]: there is no twin `Tank3`; did you mean `Tank1`?",
        "plant/users.toml:10:7: user.carl.roles: this key is missing; add roles = [\"Observer\"], or [] for none",
        "plant/users.toml:11:15: user.carl.certificate: \"12:34\" is no thumbprint; give the 64 digits of: openssl x509 -in FILE -noout -fingerprint -sha256; or the 40 of its SHA-1",
        "plant/users.toml:12:1: user.carl.rolls: this key is not known; did you mean `roles`?",
        "plant/users.toml:14:12: user.dora.password: costlier than m=262144,t=20,p=8; set it with: uatwin user password NAME",
    ];
    assert_eq!(faults_of(CONFIG, &[("plant/users.toml", &users)]), expected);
    assert!(!faults_of(CONFIG, &[("plant/users.toml", &users)]).concat().contains("secret"), "it may be a password");
    let missing = faults_of(CONFIG, &[]);
    assert!(missing.len() == 1 && missing[0].starts_with("plant/users.toml: cannot be read"), "{missing:?}");
}

#[test]
fn what_an_operator_should_know_is_a_warning() {
    let warnings = |security: &str, users: &str| {
        let config =
            format!("[server.security]\n{security}\n[twin_type.Tank.variable.Level]\n[twin.Tank1]\ntype = \"Tank\"\n");
        let config = parse_with(&config, &[("plant/users.toml", users)]).unwrap();
        config.warnings.into_iter().map(|warning| warning.message).collect::<Vec<_>>()
    };
    let user = format!("[user.ann]\npassword = \"{HASH}\"\nroles = [\"Observer\"]\ntwins = [\"Oven*\"]\n");
    assert_eq!(warnings("anonymous = \"off\"", ""), ["nobody can connect"]);
    assert_eq!(warnings("users_file = \"users.toml\"", &user), ["no twin's name begins with \"Oven\""]);
    let on_none = warnings("users_file = \"users.toml\"\npolicies = [\"None\"]", "");
    assert_eq!(on_none, ["users with a name cannot come by policy None"]);
    let opened = warnings("users_file = \"users.toml\"\npolicies = [\"None\"]\nusers_on_policy_none = true", "");
    assert_eq!(opened, ["over policy None anybody on the way reads along and can take a session over"]);
}

#[test]
fn a_file_that_others_may_open_is_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (config, users) = (dir.path().join("uatwin.toml"), dir.path().join("users.toml"));
    std::fs::write(&config, CONFIG).unwrap();
    std::fs::write(&users, format!("[user.ann]\npassword = \"{HASH}\"\nroles = []\n")).unwrap();
    let warned = |mode| {
        std::fs::set_permissions(&users, std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = uatwin::config::load(&config, &|_| None).unwrap();
        loaded.warnings.iter().any(|warning| warning.message.contains("others than its owner"))
    };
    assert_eq!((warned(0o600), warned(0o640), warned(0o604)), (false, true, true));
}
