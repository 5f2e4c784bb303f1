//! The command line: flags, exit codes and what is printed. Each command is a file of its own.

mod check;
mod demo;
mod inspect;
mod interrupt;
mod logging;
mod logins;
mod man;
mod nodes;
mod plugin;
mod probe;
mod progress;
mod registry_args;
mod scan;
mod serve;
mod suggest;
mod target;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// What a command came to, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exit {
    /// All is well; warnings too.
    Fine,
    /// Something could not be decided: a registry or the cluster did not answer.
    Undecided,
    /// Something cannot run, or is denied.
    Denied,
    /// Part of the input cannot be used; the rest was.
    Misused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Denied => 1,
            Exit::Misused => 2,
            Exit::Undecided => 3,
        })
    }
}

const EXIT_CODES: &str = "Exit codes:
  0  all well (warnings too)
  1  something cannot run or is denied
  2  usage or input error
  3  nothing is denied, but something could not be decided because a registry or the cluster did not answer
  130  interrupted";

/// Rejects Kubernetes pods whose images cannot run on the nodes they can be scheduled on.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Inspect(inspect::Args),
    Check(check::Args),
    Scan(scan::Args),
    Suggest(suggest::Args),
    Nodes(nodes::Args),
    Demo(demo::Args),
    #[command(hide = true)]
    Probe(probe::Args),
    /// Print a completion script for your shell
    #[command(after_help = "Example: source <(platform-gate completions bash)")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    Man(man::Args),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = plugin::Called::by(arguments.next().as_deref());
    let command_line = called.command_line(Cli::command());
    if called == plugin::Called::Completion {
        let words: Vec<String> = arguments
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let words = plugin::completion(command_line, &words);
        // Who asked may not wait for the answer.
        let _ = std::io::stdout().write_all(words.as_bytes());
        return ExitCode::SUCCESS;
    }
    let cli = Cli::from_arg_matches(&command_line.get_matches());
    let cli = cli.unwrap_or_else(|error| error.exit());
    // A second provider cannot be installed; the first is as good, since there is but one in this program.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = run(cli.command);
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            logging::complain(&format!("{error:#}"));
            let unanswered = error.is::<nodes::Unanswered>();
            let exit = if unanswered {
                Exit::Undecided
            } else {
                Exit::Misused
            };
            exit.into()
        }
    }
}

fn run(command: Command) -> anyhow::Result<Exit> {
    match &command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "platform-gate", &mut script);
            std::io::stdout().lock().write_all(&script)?;
            return Ok(Exit::Fine);
        }
        Command::Man(args) => return man::run(args, Cli::command()),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // The webhook drains instead.
    if !matches!(command, Command::Serve(_)) {
        runtime.spawn(interrupt::end_on_ctrl_c());
    }
    runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(args).await,
            Command::Inspect(args) => inspect::run(args).await,
            Command::Check(args) => check::run(args).await,
            Command::Scan(args) => scan::run(args).await,
            Command::Suggest(args) => suggest::run(args).await,
            Command::Nodes(args) => nodes::run(args).await,
            Command::Probe(args) => probe::run(args).await,
            Command::Demo(args) => demo::run(&args).await,
            Command::Completions { .. } | Command::Man(_) => Ok(Exit::Fine),
        }
    })
}

/// Colours are for people, and for those who want them (<https://no-color.org>).
fn wants_colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// `platform-gate inspect ... | head` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(broken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
