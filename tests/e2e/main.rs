//! The tests that need a real cluster, as one program: it starts the cluster once, runs every trial on it in the order
//! of `trials::ALL`, and leaves nothing behind. `cargo test --features e2e --test e2e -- NAME` runs those whose name contains
//! NAME, after the installation if they need it.
//!
//! The program runs twice. Outside, `isolation` builds what is needed while there is a network and starts the program
//! again in namespaces of its own; inside, `cluster` starts the parts and the trials run.
//!
//! Left out: everything that can be shown without a cluster. Those tests are in the library and in `tests/it`.

mod cgroups;
mod cluster;
mod images;
mod isolation;
mod kubectl;
mod load;
mod pod;
mod process;
mod progress;
mod registry;
mod trials;
mod wait;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = trials::all();
    let runs_any = trials.iter().any(|trial| is_selected(&arguments, trial));
    if arguments.list || !runs_any {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let result = match isolation::Inside::from_env() {
        Some(inside) => run_inside(arguments, trials, &inside),
        None => isolation::run_isolated(),
    };
    result.unwrap_or_else(|error| {
        progress::say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn run_inside(
    mut arguments: Arguments,
    mut trials: Vec<Trial>,
    inside: &isolation::Inside,
) -> anyhow::Result<ExitCode> {
    // The trials share one cluster and are told in order.
    arguments.test_threads = Some(1);
    keep_selected(&mut arguments, &mut trials);
    cluster::start_shared(inside)?;
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// Leaves the trials that the arguments select, and the installation that those after it need.
fn keep_selected(arguments: &mut Arguments, trials: &mut Vec<Trial>) {
    let installation = trials
        .iter()
        .position(|trial| trial.name() == trials::INSTALLATION);
    let last = trials
        .iter()
        .rposition(|trial| is_selected(arguments, trial));
    let needs_installation = installation < last;
    trials.retain(|trial| {
        is_selected(arguments, trial)
            || (needs_installation && trial.name() == trials::INSTALLATION)
    });
    arguments.filter = None;
    arguments.skip.clear();
    arguments.exact = false;
}

fn is_selected(arguments: &Arguments, trial: &Trial) -> bool {
    !arguments.is_filtered_out(trial) && !arguments.is_ignored(trial)
}
