//! `man`: the manual pages, made from the same text as `--help`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args as ClapArgs, Command};

use super::Exit;

/// Print the manual page, or write one of each command into a folder
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  platform-gate man | man -l -
  platform-gate man ~/.local/share/man/man1")]
pub(super) struct Args {
    /// Where to write them
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(super) fn run(args: &Args, command: Command) -> anyhow::Result<Exit> {
    match &args.folder {
        Some(folder) => {
            let told = || format!("cannot write to {}", folder.display());
            std::fs::create_dir_all(folder).with_context(told)?;
            clap_mangen::generate_to(command, folder).with_context(told)?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            std::io::stdout().lock().write_all(&page)?;
        }
    }
    Ok(Exit::Fine)
}
