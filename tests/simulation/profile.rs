//! The kinds of key manager that are simulated: those that drivers found at real servers, and those that none is there for.

use std::sync::LazyLock;

use appkeys::{
    api::{ClientAuthentication, CredentialKind},
    key_manager::{Choice, Overlap},
};

use super::recorded::{Managed, Recorded};

/// What kind of key manager is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// The real resident one, over the API server in memory.
    Resident,
    /// A Keycloak realm without a policy of secret rotation: a client has one secret, which can be read back.
    Keycloak,
    /// A Keycloak realm with one: a client has two secrets, and the server ends them.
    KeycloakRotating,
    /// A Keycloak whose feature of secret rotation is off.
    KeycloakWithout,
    /// Okta, as its double is: two secrets, the old one ends when we take it away; both can be read back.
    Okta,
    /// oidc-provider, open to everybody: the server chooses id and secret, and its registration access token changes with each
    /// use (RFC 7592).
    OidcOpen,
    /// oidc-provider with an initial access token, and registration access tokens that stay.
    OidcToken,
    /// oidc-provider without management of clients: what is registered stays.
    OidcUnmanaged,
    /// Canaille, which is easy about registration.
    Canaille,
    /// WSO2 up to 4.6: a client has one secret, the key manager makes the next one; one client for each environment of an Application.
    Wso2,
    /// WSO2 4.7: the same with several secrets, none of which is shown again.
    Wso2Several,
    /// Id and secrets are our choice; two secrets, the old one ends when we take it away.
    TwoSecrets,
    /// Id and first secret are our choice; the server makes those of a rotation.
    GivenAtRotation,
}

/// All whose clients can be changed and deleted, however many are of one Application.
pub(crate) const PROFILES: [Profile; 10] = [
    Profile::Resident,
    Profile::Keycloak,
    Profile::KeycloakRotating,
    Profile::KeycloakWithout,
    Profile::Okta,
    Profile::OidcOpen,
    Profile::OidcToken,
    Profile::Canaille,
    Profile::TwoSecrets,
    Profile::GivenAtRotation,
];

/// Those, and one that lets nobody change or delete what it registered.
pub(crate) fn all() -> impl Iterator<Item = Profile> {
    PROFILES.into_iter().chain([Profile::OidcUnmanaged])
}

/// Those, and those that have one client for each environment of an Application.
pub(crate) fn with_applications() -> impl Iterator<Item = Profile> {
    all().chain([Profile::Wso2, Profile::Wso2Several])
}

/// What clients prove themselves with.
pub(crate) const KINDS: [CredentialKind; 3] = [
    CredentialKind::Secret,
    CredentialKind::PrivateKey,
    CredentialKind::Nothing,
];

/// All of them with each kind of credential that their clients can have; of those that treat a kind in the same way only the
/// first.
pub(crate) fn with_kinds() -> impl Iterator<Item = (Profile, CredentialKind)> {
    let mut seen = vec![];
    let pairs = KINDS
        .into_iter()
        .flat_map(|kind| all().map(move |profile| (profile, kind)));
    pairs.filter(move |(profile, kind)| {
        let facts = profile.facts();
        let behaviour = (*kind, facts.behaviour(*kind), *profile == Profile::Resident);
        let new = facts.serves(*kind) && !seen.contains(&behaviour);
        seen.push(behaviour);
        new
    })
}

/// A file beside this one, and what it says.
macro_rules! recorded {
    ($name:literal) => {
        ($name, include_str!(concat!("profiles/", $name, ".json")))
    };
}

impl Profile {
    /// The file with what was found at the real server, and what it says; `None` where there is no such server.
    pub(crate) const fn file(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Resident => recorded!("resident"),
            Self::Keycloak => recorded!("keycloak"),
            Self::KeycloakRotating => recorded!("keycloak-rotating"),
            Self::Okta => recorded!("okta"),
            Self::OidcOpen => recorded!("oidc-provider-open"),
            Self::OidcToken => recorded!("oidc-provider-token"),
            Self::OidcUnmanaged => recorded!("oidc-provider-unmanaged"),
            Self::Canaille => recorded!("canaille"),
            Self::Wso2 => recorded!("wso2"),
            Self::Wso2Several => recorded!("wso2-several"),
            Self::KeycloakWithout | Self::TwoSecrets | Self::GivenAtRotation => return None,
        })
    }

    /// What it can do, and how it behaves.
    pub(crate) fn facts(self) -> &'static Recorded {
        static ALL: LazyLock<Vec<(Profile, Recorded)>> =
            LazyLock::new(|| with_applications().map(|profile| (profile, profile.read())).collect());
        let found = ALL.iter().find(|(profile, _)| *profile == self);
        found.map(|(_, facts)| facts).unwrap()
    }

    fn read(self) -> Recorded {
        match self.file() {
            Some((name, text)) => serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}")),
            None => self.unrecorded(),
        }
    }

    /// What no server of the test bed is like.
    fn unrecorded(self) -> Recorded {
        let mut facts = Self::Keycloak.read();
        if self == Self::KeycloakWithout {
            facts.capabilities.overlap = Overlap::None;
            return facts;
        }
        facts.capabilities.read_secret = false;
        facts.capabilities.overlap = Overlap::WeEnd;
        if self == Self::GivenAtRotation {
            facts.capabilities.secret_at_rotation = Some(Choice::Theirs);
        }
        let secrets = [
            ClientAuthentication::ClientSecretBasic,
            ClientAuthentication::ClientSecretPost,
        ];
        Recorded {
            works: secrets.into(),
            two_secrets: true,
            managed: Managed::ByOperator,
            ..facts
        }
    }

    /// The strategy that rotates a credential of this kind without a cut.
    pub(crate) fn uncut(self, kind: CredentialKind) -> &'static str {
        if self.facts().overlaps(kind) {
            "Overlap"
        } else {
            "ReplaceClient"
        }
    }

    /// Whether it is given identities, so that nobody can know what became of a registration whose answer is lost.
    pub(crate) fn given(self) -> bool {
        self.facts().given()
    }
}
