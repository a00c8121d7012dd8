//! The command line: `run` and `crds`; raw flags become settings once, here.

use std::{io::Write as _, path::PathBuf};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kube::ResourceExt as _;

use crate::api;

/// Keeps application credentials in Kubernetes Secrets good.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the custom resource definitions as YAML, or write them into a folder.
    Crds {
        /// Write one file for each kind into this folder instead of printing all.
        #[arg(long, value_name = "FOLDER")]
        write: Option<PathBuf>,
    },
}

/// Does what the command line asks for.
pub fn main(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Crds { write } => crds(write),
    }
}

fn crds(folder: Option<PathBuf>) -> anyhow::Result<()> {
    for crd in api::all_crds() {
        let yaml = serde_saphyr::to_string(&crd).context("print a definition as YAML")?;
        match &folder {
            Some(folder) => {
                let file = folder.join(format!("{}.yaml", crd.name_any()));
                std::fs::create_dir_all(folder)
                    .and_then(|()| std::fs::write(&file, yaml))
                    .with_context(|| format!("write {}", file.display()))?;
            }
            None => write!(std::io::stdout(), "---\n{yaml}").context("print")?,
        }
    }
    Ok(())
}
