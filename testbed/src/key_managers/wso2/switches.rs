//! What can be different between two servers of one version, and between two moments of one server.

use std::{collections::BTreeSet, time::Duration};

use super::Version;

/// How many secrets a client can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// One; a new one ends the old one. The only way before 4.7 without an update, and a choice since.
    Single,
    /// Up to this many. The default of 4.7.
    Multiple(usize),
}

/// A mode that can be on or off, at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Switch {
    /// Secrets are kept as digests: shown in the answer that makes them, and never again.
    HashedSecrets,
    /// A new application waits for approval.
    ApproveApplications,
    /// A change of an application waits for approval.
    ApproveUpdates,
    /// The deletion of an application waits for approval.
    ApproveDeletions,
    /// New keys wait for approval.
    ApproveKeys,
    /// Applications can be shared with groups.
    Sharing,
    /// The administrator has switched Basic authentication off for the Developer Portal API.
    BasicOff,
    /// The first call of a new user makes its "DefaultApplication".
    DefaultApplication,
    /// The row of the resident key manager is made when somebody asks for the list of key managers, not before.
    LazyResident,
    /// `application_scopes` of a client is kept; otherwise it is ignored.
    ApplicationScopes,
    /// The test token, the last step of generate-keys, fails when the client exists already.
    TestTokenFails,
    /// Refusals use the codes that are proposed upstream (900917, 900921).
    ProposedCodes,
    /// Client registration is not up yet: 500.
    RegistrationStarting,
    /// A registered name of another user's is handed out with its credentials, instead of 403.
    RegistrationHandsOut,
}

/// Whether the server can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It answers.
    Up,
    /// Connections break.
    Down,
    /// What is in front of it answers 503 with a page.
    Unavailable,
}

/// An attribute of applications that the administrator has configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// May be left out.
    Optional(&'static str),
    /// Has to be there; else the create is a 500.
    Required(&'static str),
    /// Is left out of answers.
    Hidden(&'static str),
}

impl Attribute {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Optional(name) | Self::Required(name) | Self::Hidden(name) => name,
        }
    }
}

/// A server's settings. All can be changed while it runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its version.
    pub version: Version,
    /// How many secrets a client can have.
    pub secrets: Secrets,
    /// The modes that are on.
    pub switches: BTreeSet<Switch>,
    /// Names of the application-level throttling policies.
    pub policies: Vec<String>,
    /// Attributes that applications can have.
    pub attributes: Vec<Attribute>,
    /// How long access tokens live.
    pub token_lifetime: Duration,
    /// How long each answer takes.
    pub latency: Duration,
    /// Whether it can be reached.
    pub reach: Reach,
}

impl Settings {
    /// A server as it is shipped.
    pub fn of(version: Version) -> Self {
        let secrets = if version < Version::V4_7 {
            Secrets::Single
        } else {
            Secrets::Multiple(5)
        };
        Self {
            version,
            secrets,
            switches: BTreeSet::new(),
            policies: ["10PerMin", "20PerMin", "50PerMin", "Unlimited"]
                .map(str::to_owned)
                .to_vec(),
            attributes: vec![Attribute::Optional("External Reference Id")],
            token_lifetime: Duration::from_hours(1),
            latency: Duration::ZERO,
            reach: Reach::Up,
        }
    }

    /// The same with this mode on.
    #[must_use]
    pub fn with(mut self, switch: Switch) -> Self {
        self.switches.insert(switch);
        self
    }

    /// The same with these secrets.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    /// Whether a mode is on.
    pub fn has(&self, switch: Switch) -> bool {
        self.switches.contains(&switch)
    }

    /// Switches a mode.
    pub fn turn(&mut self, switch: Switch, on: bool) {
        if on {
            self.switches.insert(switch);
        } else {
            self.switches.remove(&switch);
        }
    }
}
