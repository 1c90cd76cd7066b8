//! The command line: arguments, help, exit codes. Translates and prints, decides nothing.

mod args;
mod bisect;
mod cache;
mod ci;
mod console;
mod doctor;
mod history;
mod hunt_args;
mod hunt_cell;
mod list;
mod merge;
mod plan_args;
mod report;
mod run;
mod series;
mod shell;
mod show;
mod step;

use args::{Args, Command};
use clap::Parser;
use show::Failure;
use std::process::ExitCode;

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            // Help and version are no errors; everything else is a usage error.
            let _ = e.print();
            let code = if e.use_stderr() { step::usage(2) } else { 0 };
            return ExitCode::from(code);
        }
    };
    let json = args.json;
    let done = match args.command {
        Command::Run(what) => run::run(&what, json),
        Command::Series(what) => series::series(&what, json),
        Command::Replay(what) => run::replay(&what, json),
        Command::Build(what) => run::build(&what, json),
        Command::Report(what) => report::report(&what, json),
        Command::History(what) => history::history(&what, json),
        Command::Shell(what) => shell::shell(&what, json),
        Command::Bisect(what) => bisect::bisect(&what, json),
        Command::Step(what) => Ok(step::run(&what, json)),
        Command::List(what) => list::list(&what, json),
        Command::Merge(what) => merge::merge(&what, json),
        Command::Ci(what) => ci::ci(&what, json),
        Command::Schema => list::schema(),
        Command::Doctor => doctor::doctor(json),
        Command::Workloads => list::workloads(json),
        Command::Cache(what) => cache::cache(&what, json),
        Command::Console(what) => console::console(&what, json),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => show::failure(&failure, json),
    }
}

/// What a command returns: its exit code, or why it could not do its work.
type Done = Result<u8, Failure>;
