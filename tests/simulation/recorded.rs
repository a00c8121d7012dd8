//! What was found out about a real server: a file that a test at that server compares with the server as it is now.

use appkeys::{
    api::{ClientAuthentication, CredentialKind, GrantType, Vendor},
    key_manager::{Capabilities, Choice, IdForm, KeyAlgorithm, Overlap, PkceMethods},
};
use serde::{Deserialize, Serialize};

/// What a driver found at a real server, and how that server behaved towards it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Recorded {
    /// What the driver says that it can do.
    #[serde(with = "CapabilitiesDef")]
    pub(crate) capabilities: Capabilities,
    /// With which of them a client does prove itself; some servers say more in their metadata than they do.
    pub(crate) works: Vec<ClientAuthentication>,
    /// Whether a client that holds a secret can have a second one.
    pub(crate) two_secrets: bool,
    /// What changes, reads and deletes a client.
    pub(crate) managed: Managed,
    /// Life of an access token that nobody gave another, in seconds.
    pub(crate) access_token_life: i64,
    /// How long a secret lives that nobody replaces, in seconds.
    pub(crate) secret_life: Option<i64>,
    /// How long a call whose answer is lost may still have its effect, in seconds.
    pub(crate) settles: u32,
}

/// What changes, reads and deletes a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Managed {
    /// The operator's own credential.
    ByOperator,
    /// A registration access token that stays the same.
    ByToken,
    /// A registration access token that each change replaces by another.
    ByTokenOnce,
    /// Nothing; a registration access token lets it be read.
    ToRead,
    /// Nothing.
    Not,
}

impl Recorded {
    /// Whether ids and secrets are the server's choice.
    pub(crate) fn given(&self) -> bool {
        !self.capabilities.chosen_identity()
    }

    /// Whether an old credential of this kind can work beside a new one of the same client.
    pub(crate) fn overlaps(&self, kind: CredentialKind) -> bool {
        let two = self.capabilities.with(kind).overlap != Overlap::None;
        two && (kind != CredentialKind::Secret || self.two_secrets)
    }

    /// Whether a client of this kind is of use.
    pub(crate) fn serves(&self, kind: CredentialKind) -> bool {
        self.works
            .iter()
            .any(|authentication| authentication.credential() == kind)
    }

    /// What matters for clients of this kind: profiles that have the same are the same for them.
    pub(crate) fn behaviour(&self, kind: CredentialKind) -> impl PartialEq + use<> {
        let can = self.capabilities.with(kind);
        let rotation = (
            can.secret_at_creation,
            can.secret_at_rotation,
            can.overlap,
            self.overlaps(kind),
        );
        let ends = kind == CredentialKind::Secret && self.secret_life.is_some();
        (
            can.client_id,
            rotation,
            ends,
            can.read_secret,
            can.adopt,
            self.managed,
            self.settles,
        )
    }

    /// Whether clients can be changed and deleted.
    pub(crate) fn is_managed(&self) -> bool {
        !matches!(self.managed, Managed::ToRead | Managed::Not)
    }
}

/// [`Capabilities`] in a file, without the reasons, which are for people.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Capabilities", rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "those of the product")]
struct CapabilitiesDef {
    #[serde(with = "ChoiceDef")]
    client_id: Choice,
    #[serde(default, skip_serializing_if = "is_readable", with = "IdFormDef")]
    client_ids: IdForm,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    applications: bool,
    #[serde(with = "ChoiceDef")]
    secret_at_creation: Choice,
    #[serde(with = "choice")]
    secret_at_rotation: Option<Choice>,
    read_secret: bool,
    #[serde(with = "OverlapDef")]
    overlap: Overlap,
    adopt: bool,
    find: bool,
    grant_types: Vec<GrantType>,
    access_token_lifetime: bool,
    refresh_token_lifetime: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    id_token_lifetime: bool,
    authentication: Vec<ClientAuthentication>,
    #[serde(with = "KeyAlgorithmDef")]
    key_algorithm: KeyAlgorithm,
    #[serde(with = "OverlapDef")]
    key_overlap: Overlap,
    #[serde(with = "PkceMethodsDef")]
    pkce: PkceMethods,
    scopes: bool,
    resources: bool,
    #[serde(with = "vendors")]
    vendors: Vec<Vendor>,
    #[serde(skip)]
    reasons: Vec<(&'static str, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Choice")]
enum ChoiceDef {
    Ours,
    Theirs,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "IdForm")]
enum IdFormDef {
    Readable,
    Word,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_readable(form: &IdForm) -> bool {
    *form == IdForm::Readable
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Overlap")]
enum OverlapDef {
    None,
    ServerEnds,
    WeEnd,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "KeyAlgorithm")]
enum KeyAlgorithmDef {
    ES256,
    RS256,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PkceMethods")]
enum PkceMethodsDef {
    Nothing,
    S256,
    One,
    Both,
}

/// A choice that may not be there.
mod choice {
    use appkeys::key_manager::Choice;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::ChoiceDef;

    #[derive(Serialize, Deserialize)]
    struct There(#[serde(with = "ChoiceDef")] Choice);

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(choice: &Option<Choice>, serializer: S) -> Result<S::Ok, S::Error> {
        choice.map(There).serialize(serializer)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Option<Choice>, D::Error> {
        Ok(Option::<There>::deserialize(deserializer)?.map(|There(choice)| choice))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Vendor", rename_all = "camelCase")]
enum VendorDef {
    Keycloak,
    Wso2,
}

/// Vendors whose blocks are honoured.
mod vendors {
    use appkeys::api::Vendor;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::VendorDef;

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "VendorDef")] Vendor);

    pub(super) fn serialize<S: Serializer>(vendors: &[Vendor], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(vendors.iter().map(|vendor| One(*vendor)))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<Vendor>, D::Error> {
        let all = Vec::<One>::deserialize(deserializer)?;
        Ok(all.into_iter().map(|One(vendor)| vendor).collect())
    }
}
