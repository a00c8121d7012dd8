//! promtool, which checks and tests alert rules as Prometheus reads them; built once from Go modules into the cache folder.

use std::path::PathBuf;

use crate::binaries::go_command;

/// The version that is built.
pub const VERSION: &str = "v0.316.0";

/// promtool's binary; builds it where it is missing (one to two minutes on two cores).
///
/// # Errors
/// Go is missing or the build fails.
pub fn installed() -> anyhow::Result<PathBuf> {
    // Without the clients of all the clouds in which Prometheus finds what to scrape.
    let flags = ["-tags", "remove_all_sd", "-ldflags", "-s -w"];
    go_command(
        "promtool",
        VERSION,
        "github.com/prometheus/prometheus/cmd/promtool",
        &flags,
    )
}
