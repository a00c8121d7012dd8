//! Versions of the server, and what came with which.

/// A version of WSO2 API Manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 4.0: no secret in the read of one key, no regeneration, no PKCE properties.
    V4_0,
    /// 4.1: PKCE properties.
    V4_1,
    /// 4.2: the path of version 3.
    V4_2,
    /// 4.3: OAuth keys can be deleted; roles may restrict a key manager.
    V4_3,
    /// 4.4.
    V4_4,
    /// 4.5: `visibility` of applications.
    V4_5,
    /// 4.6.
    V4_6,
    /// 4.7: several secrets of one client, masks, constraints on properties.
    V4_7,
}

impl Version {
    /// All of them, the oldest first.
    pub const ALL: [Self; 8] = [
        Self::V4_0,
        Self::V4_1,
        Self::V4_2,
        Self::V4_3,
        Self::V4_4,
        Self::V4_5,
        Self::V4_6,
        Self::V4_7,
    ];

    /// Where the Developer Portal API is.
    pub fn base_path(self) -> &'static str {
        if self < Self::V4_2 {
            "/api/am/devportal/v2"
        } else {
            "/api/am/devportal/v3"
        }
    }

    /// The path with the newest minor version, which works as well where it is known.
    pub(super) fn minor_path(self) -> Option<&'static str> {
        (self >= Self::V4_7).then_some("/api/am/devportal/v3.5")
    }
}
