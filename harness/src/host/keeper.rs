//! The keeper and the init of one tree of processes: rule "every process is owned".
//!
//! patchproof starts the keeper, which unshares a PID namespace and starts init as its process 1; init
//! starts the command. Standard input of both is the control socket. At its end of file (patchproof let go,
//! or was killed) init exits, and the kernel ends everything in the namespace, daemons included. Where no
//! namespace is to be had, the keeper is a subreaper and sweeps what is left below it.
//!
//! Both run single-threaded code of our own on purpose: a user namespace can be entered by no other, and
//! `PR_SET_PDEATHSIG` follows the thread that started the child. Not here: waiting for jobs, deadlines.

use super::control::{Message, Ownership};
use super::process::Status;
use super::{cgroup, ids, procfs, roles, sweep};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, setsid};
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

/// Do without a namespace, to see that the other way works.
pub(super) const NO_NAMESPACE: &str = "--no-namespace";
/// Remove this control group at the end; its path follows.
pub(super) const CGROUP: &str = "--cgroup";
/// The command is our sandbox role: it reports over the control socket itself.
pub(super) const SANDBOXED: &str = "--sandboxed";
/// Everything after this is the command.
pub(super) const COMMAND: &str = "--";

/// The role of the keeper: `[--no-namespace] [--cgroup PATH]… [--sandboxed] -- PROGRAM ARGS…`.
pub(super) fn keeper(args: Vec<OsString>) -> ExitCode {
    let _ = prctl::set_name(c"pp-keeper");
    close_inherited();
    let control = io::stdin();
    let Some(plan) = Plan::parse(args) else {
        return usage();
    };
    let mode = match if plan.no_namespace {
        Err("asked for".to_owned())
    } else {
        enter_namespace()
    } {
        Ok(()) => Ownership::Namespace,
        Err(why) => Ownership::Subreaper(why),
    };
    let fallback = matches!(mode, Ownership::Subreaper(_));
    if fallback && let Err(errno) = prctl::set_child_subreaper(true) {
        Message::failed("becoming the subreaper", &errno.into()).send(&control);
        return ExitCode::FAILURE;
    }
    Message::Mode(mode).send(&control);
    match plan.start_init() {
        Ok(mut init) => {
            reap_until(&mut init);
        }
        Err(source) => Message::failed("starting init", &source).send(&control),
    }
    if fallback {
        sweep::descendants();
    }
    plan.cgroups.iter().for_each(|group| cgroup::remove(group));
    ExitCode::SUCCESS
}

/// The role of init: `KEEPER_PID [--sandboxed] -- PROGRAM ARGS…`.
pub(super) fn init(args: Vec<OsString>) -> ExitCode {
    let _ = prctl::set_name(c"pp-init");
    let mut args = args.into_iter();
    let keeper = args.next();
    let Some(plan) = Plan::parse(args.collect()) else {
        return usage();
    };
    // From here on the keeper's end is ours. Had it come before, we would have another parent by now.
    if prctl::set_pdeathsig(Signal::SIGKILL).is_err() || keeper != parent() {
        return ExitCode::FAILURE;
    }
    // No controlling terminal: Ctrl-C is for patchproof to handle, and no tool can ask for a password.
    let _ = setsid();
    let control = io::stdin();
    let watch = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(exit_at_end_of_control);
    if let Err(source) = watch {
        Message::failed("watching the control socket", &source).send(&control);
        return ExitCode::FAILURE;
    }
    match plan.start_command() {
        Ok(mut child) => {
            // A sandbox reports its start by itself, and must be the only one to write while bubblewrap does.
            if !plan.sandboxed {
                Message::Started.send(&control);
            }
            Message::Ended(reap_until(&mut child)).send(&control);
        }
        Err(source) => Message::failed("running it", &source).send(&control),
    }
    ExitCode::SUCCESS
}

/// Blocks until patchproof lets go of its end, then ends init and with it the namespace.
fn exit_at_end_of_control() {
    let mut sink = [0; 64];
    loop {
        match io::stdin().lock().read(&mut sink) {
            Ok(0) => break,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
            Ok(_) | Err(_) => {}
        }
    }
    std::process::exit(1);
}

/// What a keeper or an init was told.
struct Plan {
    no_namespace: bool,
    sandboxed: bool,
    cgroups: Vec<PathBuf>,
    command: Vec<OsString>,
}

impl Plan {
    fn parse(args: Vec<OsString>) -> Option<Self> {
        let mut plan = Self {
            no_namespace: false,
            sandboxed: false,
            cgroups: Vec::new(),
            command: Vec::new(),
        };
        let mut args = args.into_iter();
        loop {
            match args.next()?.to_str()? {
                NO_NAMESPACE => plan.no_namespace = true,
                SANDBOXED => plan.sandboxed = true,
                CGROUP => plan.cgroups.push(args.next()?.into()),
                COMMAND => break,
                _ => return None,
            }
        }
        plan.command = args.collect();
        (!plan.command.is_empty()).then_some(plan)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the keeper itself, what host::Cmd stands on"
    )]
    fn start_init(&self) -> io::Result<Child> {
        let mut init = Command::new(roles::SELF_EXE);
        // /proc may belong to an outer namespace: its numbers, not getpid's, are what init can compare.
        init.arg(roles::INIT).arg(std::fs::read_link("/proc/self")?);
        if self.sandboxed {
            init.arg(SANDBOXED);
        }
        init.arg(COMMAND).args(&self.command).spawn()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is init itself, what host::Cmd stands on"
    )]
    fn start_command(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        command.stdin(if self.sandboxed {
            Stdio::inherit()
        } else {
            Stdio::null()
        });
        command.spawn()
    }
}

/// Makes the next child process 1 of a new PID namespace; without privileges, in a user namespace of our own.
fn enter_namespace() -> Result<(), String> {
    if unshare(CloneFlags::CLONE_NEWPID).is_ok() {
        return Ok(());
    }
    let ids = ids::Ids::current();
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)
        .map_err(|errno| format!("no user and PID namespace: {}", errno.desc()))?;
    ids.map_to_themselves()
        .map_err(|error| format!("no identity in the user namespace: {error}"))
}

/// Closes what patchproof's own caller left open beyond the standard streams: not for our children to hold.
fn close_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|&fd| fd > 2) {
        // The one that listed them is closed already.
        let _ = nix::unistd::close(fd);
    }
}

/// Reaps whatever ends until `child` does.
fn reap_until(child: &mut Child) -> Status {
    let direct = i32::try_from(child.id()).map(Pid::from_raw).ok();
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if Some(pid) == direct => return Status::Exit(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if Some(pid) == direct => {
                return Status::Signal(signal as i32);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            // Something ended by a realtime signal, for which nix has no name: was it the child?
            Err(_) => match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return status.code().map_or(Status::Signal(0), Status::Exit),
                Err(_) => return Status::Signal(0),
            },
        }
    }
}

/// The number of our parent in the namespace that /proc shows.
fn parent() -> Option<OsString> {
    procfs::own().map(|own| own.parent.to_string().into())
}

fn usage() -> ExitCode {
    eprintln!("this is an inner role of patchproof, which it starts by itself");
    ExitCode::from(2)
}
