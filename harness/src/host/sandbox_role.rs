//! The inner role that prepares a sandbox and then becomes bubblewrap.
//!
//! It runs below init in a user and a mount namespace of its own: joins the control groups, mounts overlays where
//! nobody else sees them, sets resource limits, and hands bubblewrap the control socket to report on. Not here:
//! what the sandbox shows, which `sandbox` decides.

use super::control::Message;
use super::sandbox::{Sandbox, View};
use super::{ids, roles};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const GROUP: &str = "--group";
const OVERLAY: &str = "--overlay";
const ADDRESS_SPACE: &str = "--address-space";
const PROCESSES: &str = "--processes";
const FILE_SIZE: &str = "--file-size";
const COMMAND: &str = "--";

/// The arguments that make [`run`] prepare `sandbox`; bubblewrap's command line is to follow.
pub(super) fn args(sandbox: &Sandbox, groups: &[PathBuf]) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![roles::SANDBOX.into()];
    for group in groups {
        args.extend([GROUP.into(), group.into()]);
    }
    let limits = &sandbox.limits;
    // Address space is a poor stand-in: programs reserve far more than they use.
    let address_space = limits.memory.filter(|_| groups.is_empty());
    for (flag, limit) in [
        (ADDRESS_SPACE, address_space),
        (PROCESSES, limits.processes),
        (FILE_SIZE, limits.file_size),
    ] {
        args.extend(
            limit
                .into_iter()
                .flat_map(|limit| [flag.into(), limit.to_string().into()]),
        );
    }
    for view in &sandbox.views {
        if let View::Overlay {
            lower, upper, work, ..
        } = view
        {
            args.extend([OVERLAY.into(), lower.into(), upper.into(), work.into()]);
        }
    }
    args.push(COMMAND.into());
    args
}

/// The role: `[--group PATH]… [--overlay LOWER UPPER WORK]… [LIMIT N]… -- BWRAP ARGS…`.
///
/// Standard input is the control socket, on which a failure is told apart from one of the command.
pub(super) fn run(args: Vec<OsString>) -> ExitCode {
    let control = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(control) => control,
        Err(source) => {
            Message::failed("copying the control socket", &source).send(io::stdin());
            return ExitCode::FAILURE;
        }
    };
    let Err(Failure { what, source }) = become_bubblewrap(args, &control);
    Message::failed(what, &source).send(&control);
    ExitCode::FAILURE
}

struct Failure {
    what: String,
    source: io::Error,
}

/// Says what was being done when something failed.
trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|source| Failure {
            what: what.into(),
            source: source.into(),
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "replaces this process, which the keeper owns already"
)]
fn become_bubblewrap(args: Vec<OsString>, control: &OwnedFd) -> Result<Infallible, Failure> {
    let plan = Plan::parse(args)
        .ok_or(io::ErrorKind::InvalidInput)
        .doing("reading the sandbox's arguments")?;
    for group in &plan.groups {
        // "0" is whoever writes it.
        std::fs::write(group.join("cgroup.procs"), "0").doing(format!("joining {}", group.display()))?;
    }
    let ids = ids::Ids::current();
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).doing("making a user namespace")?;
    ids.map_to_themselves()
        .doing("keeping our identity in the user namespace")?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .doing("making mounts private")?;
    for overlay in &plan.overlays {
        overlay.mount()?;
    }
    for &(resource, limit) in &plan.limits {
        setrlimit(resource, limit, limit).doing(format!("limiting {resource:?} to {limit}"))?;
    }
    let null = File::open("/dev/null").doing("opening /dev/null")?;
    nix::unistd::dup2_stdin(null).doing("emptying standard input")?;
    // Bubblewrap inherits this one, and keeps it from the command.
    fcntl(control, FcntlArg::F_SETFD(FdFlag::empty())).doing("handing over the control socket")?;
    Message::Started.send(control);
    let error = Command::new(&plan.bwrap)
        .arg("--json-status-fd")
        .arg(control.as_raw_fd().to_string())
        .args(&plan.bwrap_args)
        .exec();
    // Not to be kept open by anyone else should this process live on.
    let _ = fcntl(control, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    Err(error).doing("running bwrap")
}

struct Overlay {
    lower: PathBuf,
    upper: PathBuf,
    work: PathBuf,
}

impl Overlay {
    /// Mounts it over its own upper folder.
    fn mount(&self) -> Result<(), Failure> {
        // Named by descriptor: no character of a path has a meaning to the mount options then.
        let (lower, upper, work) = (folder(&self.lower)?, folder(&self.upper)?, folder(&self.work)?);
        let [lower, upper, work] = [&lower, &upper, &work].map(AsRawFd::as_raw_fd);
        // Volatile: else unmounting writes out the whole file system that the upper folder is on.
        let options = format!(
            "lowerdir=/proc/self/fd/{lower},upperdir=/proc/self/fd/{upper},workdir=/proc/self/fd/{work},userxattr,volatile"
        );
        mount(
            Some("overlay"),
            &self.upper,
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .doing(format!("mounting an overlay of {}", self.lower.display()))
    }
}

fn folder(path: &Path) -> Result<File, Failure> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .doing(format!("opening the folder {}", path.display()))
}

/// What the role was told.
struct Plan {
    groups: Vec<PathBuf>,
    overlays: Vec<Overlay>,
    limits: Vec<(Resource, u64)>,
    bwrap: OsString,
    bwrap_args: Vec<OsString>,
}

impl Plan {
    fn parse(args: Vec<OsString>) -> Option<Self> {
        let mut args = args.into_iter();
        let (mut groups, mut overlays) = (Vec::new(), Vec::new());
        let mut limits = vec![(Resource::RLIMIT_CORE, 0)];
        let number = |text: Option<OsString>| text?.to_str()?.parse::<u64>().ok();
        loop {
            match args.next()?.to_str()? {
                GROUP => groups.push(args.next()?.into()),
                OVERLAY => overlays.push(Overlay {
                    lower: args.next()?.into(),
                    upper: args.next()?.into(),
                    work: args.next()?.into(),
                }),
                ADDRESS_SPACE => limits.push((Resource::RLIMIT_AS, number(args.next())?)),
                PROCESSES => limits.push((Resource::RLIMIT_NPROC, number(args.next())?)),
                FILE_SIZE => limits.push((Resource::RLIMIT_FSIZE, number(args.next())?)),
                COMMAND => break,
                _ => return None,
            }
        }
        Some(Self {
            groups,
            overlays,
            limits,
            bwrap: args.next()?,
            bwrap_args: args.collect(),
        })
    }
}
