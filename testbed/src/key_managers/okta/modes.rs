//! What a test can order.

use std::time::Duration;

/// How the org behaves from now on. All that is not said is as with a healthy org.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Modes {
    /// The operator's own app demands DPoP, as apps do that are made in the Admin Console (O14).
    pub dpop_required: bool,
    /// The operator's app has its scopes, but no admin role (O12).
    pub role_missing: bool,
    /// The operator's role may not see secrets: they are left out where they would be shown (O10).
    pub secrets_hidden: bool,
    /// So many reads of each new app flap: the first of them, the third and so on are 404, or leave it out of a list (O21).
    pub young_reads: u32,
    /// So many first uses of each new secret or key fail with `invalid_client` (O22).
    pub late_credentials: u32,
    /// All places for requests at the same time are taken, by others (O19).
    pub concurrency_full: bool,
    /// The org's clock is ahead of ours by so many seconds, or behind.
    pub clock_ahead: i64,
    /// So long each answer takes.
    pub latency: Duration,
    /// The org answers nothing but errors.
    pub outage: Option<Outage>,
    /// A label that is taken is refused with E0000040 and not with E0000001 (O5).
    pub label_code_40: bool,
    /// How the list of an app's keys looks (O28).
    pub key_list: KeyList,
    /// To activate what is active, or deactivate what is not, is refused with E0000143. Nothing says what Okta does.
    pub strict_lifecycle: bool,
    /// The org has no custom authorization servers: they are a product of their own (O16).
    pub no_custom_servers: bool,
}

/// Okta's texts contradict each other about the list of an app's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyList {
    /// An object with `keys`, which Okta's own client wants.
    #[default]
    Keys,
    /// An array, as the schema of Okta's file says.
    Array,
    /// An object with `jwks.keys`, as in the example of that file.
    Wrapped,
}

/// An error that all get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// 503, E0000010.
    ReadOnly,
    /// 500, E0000009.
    InternalError,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is not carried out, and gets no answer: the connection ends.
    RequestLost,
    /// It is carried out, and its answer is lost: the connection ends.
    AnswerLost,
    /// It is not carried out, and gets an error of the management API: status, code, summary.
    Okta(u16, &'static str, &'static str),
    /// It is not carried out, and gets an error of the OAuth endpoints: status, error, description.
    OAuth(u16, &'static str, &'static str),
}
