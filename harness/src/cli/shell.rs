//! `shell`: picks a kernel and a machine, and connects the user's terminal with the guest's.

use super::Done;
use super::args::{Selection, Shell};
use super::run::{Read, config, read};
use super::show::Failure;
use crate::machine::ssh::{Door, Ended, Session, SshError, Streams, Terminal};
use crate::plan::Plan;
use crate::run::{self, Boots, Event, Guest};
use crate::spec::MachineSpec;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// What an interrupted command comes to, as in a shell.
const INTERRUPTED: i32 = 130;
/// How long after a session was lost the guest may take to end, if it is ending.
const END_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn shell(what: &Shell, json: bool) -> Done {
    let image = Path::new(&what.target);
    let read = read(&Selection {
        matrix: what.matrix.clone(),
        filter: Vec::new(),
        root: what.root.clone(),
    })?;
    let guest = if image.is_file() {
        Guest {
            boots: Boots::Image(std::path::absolute(image).unwrap_or_else(|_| image.to_owned())),
            machine: sized(what, first_machine(&read)),
            host_root: what.host_root,
        }
    } else {
        let (kernel, machine) = target(&read.plan, &what.target)?;
        let trusted = read.plan.kernels.get(&kernel).is_some_and(|k| k.trusted);
        Guest {
            boots: Boots::Kernel(kernel),
            machine: sized(what, machine),
            host_root: what.host_root || trusted,
        }
    };
    let task = Task::of(what)?;
    let config = config(read, &what.how, run::Until::Built)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::Own(format!("could not start: {e}")))?;
    let done = runtime.block_on(drive(&config, &guest, task, json));
    // A thread that reads the user's input has nothing to wait for any more.
    runtime.shutdown_background();
    done
}

/// The kernel and the machine that a name means: a kernel's, else that of the cells it is a part of.
fn target(plan: &Plan, name: &str) -> Result<(String, Arc<MachineSpec>), Failure> {
    let machine = |kernel: &str| plan.cells.iter().find(|cell| cell.kernel == kernel);
    if let Some(cell) = machine(name) {
        return Ok((name.to_owned(), Arc::clone(&cell.machine.spec)));
    }
    let cells = plan.select(&[name])?.cells;
    let first = cells.first().ok_or_else(|| Failure::NoCell(name.to_owned()))?;
    let same = |c: &crate::plan::Cell| c.kernel == first.kernel && c.machine == first.machine;
    if !cells.iter().all(same) {
        return Err(Failure::NoTarget(format!(
            "`{name}` is a part of the ids of {} cells with more than one kernel or machine",
            cells.len()
        )));
    }
    Ok((first.kernel.clone(), Arc::clone(&first.machine.spec)))
}

fn first_machine(read: &Read) -> Arc<MachineSpec> {
    // A plan is never empty.
    let cell = &read.plan.cells[0];
    Arc::clone(&cell.machine.spec)
}

/// The machine with what the command line says of it.
fn sized(what: &Shell, machine: Arc<MachineSpec>) -> Arc<MachineSpec> {
    let mut machine = MachineSpec::clone(&machine);
    machine.cpus = what.cpus.unwrap_or(machine.cpus);
    machine.memory = what.memory.unwrap_or(machine.memory);
    Arc::new(machine)
}

/// What is done in the guest.
struct Task {
    /// `None` for a login.
    command: Option<String>,
    terminal: Option<Terminal>,
    put: Vec<(PathBuf, PathBuf)>,
    get: Vec<(PathBuf, PathBuf)>,
    /// Written to when the window's size changes.
    resize: Option<OwnedFd>,
}

impl Task {
    fn of(what: &Shell) -> Result<Self, Failure> {
        let own = |e: io::Error| Failure::Own(e.to_string());
        let command = match what.command.as_slice() {
            [] => None,
            [line] => Some(line.clone()),
            words => Some(
                words
                    .iter()
                    .map(|word| quoted(word))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        };
        let at_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let (mut terminal, mut resize) = (None, None);
        if at_terminal && (command.is_none() || what.tty) {
            let (resized, write) = io::pipe().map_err(own)?;
            terminal = Some(Terminal::of_user(resized.into()).map_err(own)?);
            resize = Some(OwnedFd::from(write));
        }
        // Without a terminal what comes on standard input is for a shell there.
        let command = command.or_else(|| terminal.is_none().then(|| "exec /bin/sh".to_owned()));
        let put = what.put.iter().map(|text| copied(text)).collect();
        let get = what.get.iter().map(|text| copied(text)).collect();
        Ok(Self {
            command,
            terminal,
            put,
            get,
            resize,
        })
    }

    /// Logs in and does everything.
    fn run(self, door: Door) -> Result<Ended, SshError> {
        let session = door.login()?;
        for (from, to) in &self.put {
            put(&session, from, to)?;
        }
        let ended = match (&self.terminal, &self.command) {
            (Some(terminal), command) => session.interactive(terminal, command.as_deref(), &mut io::stdout()),
            (None, command) => session.run(
                command.as_deref().unwrap_or("exec /bin/sh"),
                Streams {
                    stdin: Some(io::stdin().as_fd()),
                    stdout: &mut io::stdout(),
                    stderr: &mut io::stderr(),
                },
                None,
            ),
        }?;
        for (from, to) in &self.get {
            let failed = |source| SshError::File {
                path: to.clone(),
                source,
            };
            let mut file = File::create(to).map_err(failed)?;
            session.get(from, &mut file)?;
        }
        Ok(ended)
    }
}

/// Copies a file in; one that may be run here may be run there.
fn put(session: &Session, from: &Path, to: &Path) -> Result<(), SshError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |source| SshError::File {
        path: from.to_owned(),
        source,
    };
    let mut file = File::open(from).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    session.put(&mut file, to, mode)
}

/// `FROM:TO`; without `TO` the same name in the folder where one lands.
fn copied(text: &str) -> (PathBuf, PathBuf) {
    match text.rsplit_once(':') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => (from.into(), to.into()),
        Some(_) | None => {
            let name = Path::new(text)
                .file_name()
                .map_or_else(|| text.into(), PathBuf::from);
            (text.into(), name)
        }
    }
}

/// A word as a shell's word.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

async fn drive(config: &run::Config, guest: &Guest, mut task: Task, json: bool) -> Done {
    let own = |e: io::Error| Failure::Own(e.to_string());
    let mut interrupt = signal(SignalKind::interrupt()).map_err(own)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(own)?;
    let (stop, stopped) = watch::channel(false);
    if let Some(to) = task.resize.take() {
        let window = signal(SignalKind::window_change()).map_err(own)?;
        tokio::spawn(tell_resizes(window, to));
    }
    let (tell, mut told) = oneshot::channel();
    let visit = Box::new(move |door: Door| {
        let _ = tell.send(task.run(door));
        Ok(())
    });
    let mut note = |event: &Event| tell_build(event, json);
    let mut shell = std::pin::pin!(run::shell(config, guest, &mut note, stopped, visit));
    let visited = tokio::select! {
        ended = &mut shell => {
            // It ended under the visitor's feet, or before there was one: that is what there is to tell.
            ended?;
            None
        }
        visited = &mut told => visited.ok(),
        // In raw mode Ctrl-C is the guest's; this is for everything else.
        _ = interrupt.recv() => Some(Ok(Ended::Exit(INTERRUPTED))),
        _ = terminate.recv() => Some(Ok(Ended::Exit(INTERRUPTED))),
    };
    if matches!(&visited, Some(Err(e)) if e.is_lost())
        && let Ok(ended) = tokio::time::timeout(END_WITHIN, &mut shell).await
    {
        // The guest's end says why the session was lost.
        ended?;
    } else if visited.is_some() {
        stop.send_replace(true);
        shell.await?;
    }
    match visited {
        Some(Ok(ended)) => Ok(u8::try_from(ended.status()).unwrap_or(u8::MAX)),
        Some(Err(e)) => Err(e.into()),
        None => match told.try_recv() {
            // A guest that was switched off by who was logged in.
            Ok(Ok(ended)) => Ok(u8::try_from(ended.status()).unwrap_or(u8::MAX)),
            Ok(Err(_)) | Err(_) => Ok(0),
        },
    }
}

/// A byte for each change; a full pipe says enough already.
async fn tell_resizes(mut window: tokio::signal::unix::Signal, to: OwnedFd) {
    let mut to = File::from(to);
    while window.recv().await.is_some() {
        if to.write_all(b"w").is_err() {
            return;
        }
    }
}

/// What there is to wait for, on standard error: standard output is the command's.
fn tell_build(event: &Event, json: bool) {
    if json {
        return;
    }
    if let Event::KernelStep { done: 1, kernel, .. } = event {
        eprintln!("building kernel {kernel} …");
    }
    if let Event::KernelReady(kernel) = event {
        eprintln!("booting kernel {} ({})", kernel.kernel, kernel.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$(id); x"), "'$(id); x'");
    }

    #[test]
    fn a_copy_has_two_ends() {
        for (text, from, to) in [
            ("a.c", "a.c", "a.c"),
            ("dir/a.c", "dir/a.c", "a.c"),
            ("dir/a.c:/tmp/b.c", "dir/a.c", "/tmp/b.c"),
            ("/tmp/out:", "/tmp/out:", "out:"),
        ] {
            assert_eq!(copied(text), (PathBuf::from(from), PathBuf::from(to)), "{text}");
        }
    }
}
