//! The names that the program may be called by: its own, kubectl's for a plugin, and kubectl's for what completes the
//! words of one. Links are enough: `kubectl-platform_gate` and `kubectl_complete-platform_gate`.

use std::ffi::OsStr;
use std::path::Path;

use clap::{Arg, Command};

/// How the program was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    Itself,
    /// As `kubectl platform-gate`.
    Plugin,
    /// By kubectl, for the words that may follow.
    Completion,
}

impl Called {
    /// By the name of the program, which is the first argument.
    pub(super) fn by(program: Option<&OsStr>) -> Self {
        let stem = program.and_then(|program| Path::new(program).file_stem());
        match stem.and_then(OsStr::to_str) {
            Some("kubectl-platform_gate") => Self::Plugin,
            Some("kubectl_complete-platform_gate") => Self::Completion,
            _ => Self::Itself,
        }
    }

    /// The command line, whose help names the program as the user does.
    pub(super) fn command_line(self, command: Command) -> Command {
        match self {
            Self::Itself => command,
            Self::Plugin | Self::Completion => renamed(command).bin_name("kubectl platform-gate"),
        }
    }
}

fn renamed(command: Command) -> Command {
    let examples = command.get_after_help().map(ToString::to_string);
    let command = match examples {
        Some(text) => command.after_help(text.replace("platform-gate ", "kubectl platform-gate ")),
        None => command,
    };
    command.mut_subcommands(renamed)
}

/// The words that may follow, one a line with what it means, and the directive for kubectl in the last line: 4 is no
/// more than these, 0 files too (<https://github.com/spf13/cobra/blob/main/site/content/completions/_index.md>).
pub(super) fn completion(mut command: Command, words: &[String]) -> String {
    command.build();
    let (candidates, directive) = candidates(&command, words);
    let mut lines: Vec<String> = candidates
        .into_iter()
        .map(|(word, about)| format!("{word}\t{about}"))
        .collect();
    lines.push(format!(":{directive}\n"));
    lines.join("\n")
}

fn candidates(command: &Command, words: &[String]) -> (Vec<(String, String)>, u8) {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", words),
    };
    let (mut here, mut option) = (command, None);
    for word in before {
        let takes_value = |arg: &&Arg| arg.get_action().takes_values();
        option = option_of(here, word).filter(takes_value);
        if let (None, Some(next)) = (option, here.find_subcommand(word)) {
            here = next;
        }
    }
    let mut found = match option {
        Some(option) => values(option),
        None if last.starts_with('-') => here.get_arguments().filter_map(flag).collect(),
        None if here.has_subcommands() => {
            here.get_subcommands().filter(is_shown).map(about).collect()
        }
        None => here.get_positionals().flat_map(values).collect(),
    };
    found.retain(|(word, _)| word.starts_with(last));
    let files_too = found.is_empty() && !last.starts_with('-') && !here.has_subcommands();
    (found, if files_too { 0 } else { 4 })
}

fn is_shown(command: &&Command) -> bool {
    !command.is_hide_set()
}

fn about(command: &Command) -> (String, String) {
    let about = command.get_about().map(ToString::to_string);
    (command.get_name().to_owned(), about.unwrap_or_default())
}

fn option_of<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_it = |arg: &&Arg| {
        let long = arg
            .get_long()
            .is_some_and(|long| word.strip_prefix("--") == Some(long));
        let short = arg
            .get_short()
            .is_some_and(|short| word.strip_prefix('-') == Some(&short.to_string()));
        long || short
    };
    command.get_arguments().find(is_it)
}

fn flag(arg: &Arg) -> Option<(String, String)> {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let first = help.lines().next().unwrap_or_default().to_owned();
    Some((format!("--{}", arg.get_long()?), first))
}

fn values(arg: &Arg) -> Vec<(String, String)> {
    let values = arg.get_possible_values();
    let value = |value: &clap::builder::PossibleValue| {
        let help = value.get_help().map(ToString::to_string);
        (value.get_name().to_owned(), help.unwrap_or_default())
    };
    values.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_its_names() {
        for (program, want) in [
            ("/usr/bin/platform-gate", Called::Itself),
            ("kubectl-platform_gate", Called::Plugin),
            ("/opt/krew/kubectl-platform_gate.exe", Called::Plugin),
            ("kubectl_complete-platform_gate", Called::Completion),
        ] {
            assert_eq!(Called::by(Some(OsStr::new(program))), want, "{program}");
        }
        assert_eq!(Called::by(None), Called::Itself);
    }
}
