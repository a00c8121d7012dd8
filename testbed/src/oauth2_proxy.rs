//! oauth2-proxy, built once from Go modules into the cache folder.

use std::path::PathBuf;

use crate::binaries::go_command;

/// The version that is built.
pub const VERSION: &str = "v7.15.6";

/// Its binary; builds it where it is missing (one to three minutes on two cores).
///
/// # Errors
/// Go is missing or the build fails.
pub fn installed() -> anyhow::Result<PathBuf> {
    go_command(
        "oauth2-proxy",
        VERSION,
        "github.com/oauth2-proxy/oauth2-proxy/v7",
        &["-ldflags", "-s -w"],
    )
}
