//! The process: parse the command line, do what it says, map an error to the exit status.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match appkeys::cli::main(appkeys::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("appkeys: {error:#}");
            ExitCode::FAILURE
        }
    }
}
