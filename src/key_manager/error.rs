//! What can go wrong at a key manager, said so that everybody else can act on it without knowing the vendor.

use jiff::Timestamp;

/// The kinds of failure; their names are metric labels and condition reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
pub enum Category {
    /// The operator's own credential is refused.
    CredentialsRejected,
    /// The operator's own credential may not do this.
    MissingPermission,
    /// The request cannot succeed until the spec changes.
    InvalidRequest,
    /// Something with this identity exists that is not ours.
    ClientConflict,
    /// The application has another client for this environment.
    EnvironmentTaken,
    /// Somebody at the key manager has to agree first.
    PendingApproval,
    /// Not visible yet; try again soon.
    NotYet,
    /// Too many calls.
    Throttled,
    /// No answer, a broken one, or a server error.
    Unreachable,
}

/// A failed call: its kind, when to try again, and a text that is safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure it is.
    pub category: Category,
    /// Not before this time, where the key manager said so.
    pub retry_at: Option<Timestamp>,
    /// Whether the key manager may have seen the call.
    pub sent: bool,
    /// For people: the step, the object and the mend; never a credential, never a response body.
    pub message: String,
}

impl Error {
    /// A failure of this kind.
    pub fn new(category: Category, message: impl Into<String>) -> Self {
        Self {
            category,
            retry_at: None,
            sent: true,
            message: message.into(),
        }
    }

    /// Whether trying again can help without anybody changing anything.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.category,
            Category::NotYet | Category::PendingApproval | Category::Throttled | Category::Unreachable
        )
    }

    /// Whether the call cannot have made anything: it was never sent, or it was answered with a refusal.
    pub const fn made_nothing(&self) -> bool {
        !self.sent || !matches!(self.category, Category::Unreachable | Category::PendingApproval)
    }

    /// The kind as a word.
    pub fn reason(&self) -> &'static str {
        self.category.into()
    }
}
