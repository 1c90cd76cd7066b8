//! The sockets between us and QEMU: we listen, QEMU connects; what comes is kept and handed on.
//!
//! Not here: what it means.

use super::bounded::{BoundedFile, Kept};
use super::end::MachineError;
use super::frames::{Decoder, StreamEnd};
use super::qmp::{self, Order};
use super::runtime_dir::RuntimeDir;
use super::ssh::SshError;
use guest_tests::protocol::Frame;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

/// What one read takes at most, in bytes.
const CHUNK: usize = 64 << 10;

/// What the tasks that read report.
#[derive(Debug)]
pub(super) enum Report {
    /// QEMU is there and the machine runs; its process id.
    Up(Option<i32>),
    /// The console said so many bytes.
    Console(u64),
    /// A frame, its payload's length, and when it came.
    Frame(Box<Frame>, usize, Instant),
    /// QEMU says.
    Qmp(qmp::Event),
    /// The console ended.
    ConsoleEnd(Kept),
    /// The frames ended.
    FramesEnd(StreamEnd),
    /// The visit over SSH has ended.
    Visited(Result<(), SshError>),
    /// Something of ours failed.
    Failed(MachineError),
}

/// The sockets, before QEMU is there.
pub(super) struct Channels {
    console: (PathBuf, UnixListener),
    frames: (PathBuf, UnixListener),
    qmp: (PathBuf, UnixListener),
    ssh: (PathBuf, Option<UnixListener>),
}

/// Where the streams are kept.
pub(super) struct Files {
    pub(super) console: PathBuf,
    pub(super) frames: PathBuf,
}

impl Channels {
    /// Starts to listen.
    pub(super) fn listen(dir: &RuntimeDir) -> Result<Self, MachineError> {
        let listen = |name| {
            let failed = |source| MachineError::File {
                what: "listening",
                path: dir.path().join(name),
                source,
            };
            let path = dir.socket(name).map_err(failed)?;
            let listener = UnixListener::bind(&path).map_err(failed)?;
            Ok::<_, MachineError>((path, listener))
        };
        let (ssh, door) = listen("ssh")?;
        Ok(Self {
            ssh: (ssh, Some(door)),
            console: listen("console")?,
            frames: listen("frames")?,
            qmp: listen("qmp")?,
        })
    }

    pub(super) fn console(&self) -> &Path {
        &self.console.0
    }

    pub(super) fn frames(&self) -> &Path {
        &self.frames.0
    }

    pub(super) fn qmp(&self) -> &Path {
        &self.qmp.0
    }

    pub(super) fn ssh(&self) -> &Path {
        &self.ssh.0
    }

    /// The way in over SSH, once: it is not read here.
    pub(super) fn take_ssh(&mut self) -> Option<UnixListener> {
        self.ssh.1.take()
    }

    /// Starts the tasks that read. `gone` turns true when QEMU has ended; each task then takes what
    /// is left and ends. What comes through `orders` is told to QEMU.
    pub(super) fn read(
        self,
        files: &Files,
        reports: &mpsc::Sender<Report>,
        gone: &watch::Receiver<bool>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Result<(), MachineError> {
        let pump = |listener, path: &Path, meaning| {
            let failed = |source| MachineError::File {
                what: "creating a file",
                path: path.to_owned(),
                source,
            };
            let file = BoundedFile::create(path).map_err(failed)?;
            Ok::<_, MachineError>(Pump {
                path: path.to_owned(),
                file,
                listener,
                reports: reports.clone(),
                gone: gone.clone(),
                meaning,
            })
        };
        let console = pump(self.console.1, &files.console, Meaning::Console)?;
        let frames = pump(self.frames.1, &files.frames, Meaning::Frames(Decoder::default()))?;
        tokio::spawn(console.run());
        tokio::spawn(frames.run());
        tokio::spawn(run_qmp(self.qmp.1, reports.clone(), gone.clone(), orders));
        Ok(())
    }
}

/// One stream on its way into a file.
struct Pump {
    path: PathBuf,
    file: BoundedFile,
    listener: UnixListener,
    reports: mpsc::Sender<Report>,
    gone: watch::Receiver<bool>,
    meaning: Meaning,
}

/// What a stream's bytes are.
enum Meaning {
    Console,
    Frames(Decoder),
}

impl Pump {
    /// Reads to the end of the stream, keeps it, and reports.
    async fn run(mut self) {
        let failed = |source| MachineError::File {
            what: "writing the guest's output",
            path: self.path,
            source,
        };
        let mut written = Ok(());
        if let Some(mut stream) = accept(self.listener, &mut self.gone).await {
            let mut buf = vec![0u8; CHUNK];
            // A peer that died with unread bytes of ours in its queue is an end like any other.
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                // Written on this task: at a page cache's pace, and less work than handing it to another thread.
                written = self.file.push(&buf[..n]);
                if written.is_err() {
                    break;
                }
                self.meaning.report(&buf[..n], &self.reports).await;
            }
        }
        let kept = match written.and_then(|()| self.file.finish()) {
            Ok(kept) => kept,
            Err(e) => {
                send(&self.reports, Report::Failed(failed(e))).await;
                Kept::default()
            }
        };
        let end = match self.meaning {
            Meaning::Console => Report::ConsoleEnd(kept),
            Meaning::Frames(decoder) => Report::FramesEnd(decoder.finish()),
        };
        send(&self.reports, end).await;
    }
}

impl Meaning {
    async fn report(&mut self, bytes: &[u8], to: &mpsc::Sender<Report>) {
        match self {
            Self::Console => send(to, Report::Console(bytes.len() as u64)).await,
            Self::Frames(decoder) => {
                let now = Instant::now();
                let mut frames = Vec::new();
                decoder.push(bytes, |frame, len| {
                    frames.push(Report::Frame(Box::new(frame), len, now))
                });
                for frame in frames {
                    send(to, frame).await;
                }
            }
        }
    }
}

/// Waits for QEMU to connect; `None` when it ended without.
pub(super) async fn accept(listener: UnixListener, gone: &mut watch::Receiver<bool>) -> Option<UnixStream> {
    let connected = tokio::select! {
        biased;
        connected = listener.accept() => Some(connected),
        _ = gone.wait_for(|gone| *gone) => None,
    };
    if let Some(connected) = connected {
        return connected.ok().map(|(stream, _)| stream);
    }
    // It may have connected, spoken and ended before the reactor heard of it.
    let (stream, _) = listener.into_std().ok()?.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    UnixStream::from_std(stream).ok()
}

async fn run_qmp(
    listener: UnixListener,
    reports: mpsc::Sender<Report>,
    mut gone: watch::Receiver<bool>,
    orders: mpsc::UnboundedReceiver<Order>,
) {
    let Some(stream) = accept(listener, &mut gone).await else {
        return;
    };
    if let Err(e) = serve_qmp(stream, &reports, orders).await {
        // Talk that breaks off because QEMU ended is told by its exit status.
        if !*gone.borrow() && e.kind() == io::ErrorKind::InvalidData {
            send(&reports, Report::Failed(MachineError::Qmp(e))).await;
        }
    }
}

async fn serve_qmp(
    stream: UnixStream,
    reports: &mpsc::Sender<Report>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> io::Result<()> {
    let pid = stream.peer_cred()?.pid();
    let (mut control, mut events) = qmp::negotiate(stream).await?;
    send(reports, Report::Up(pid)).await;
    control.cont().await?;
    let speak = async {
        while let Some(order) = orders.recv().await {
            // An error here means that QEMU is gone already.
            let _ = control.order(&order).await;
        }
        std::future::pending::<()>().await;
    };
    let listen = async {
        while let Some(event) = events.next().await? {
            send(reports, Report::Qmp(event)).await;
        }
        Ok(())
    };
    tokio::select! {
        () = speak => Ok(()),
        ended = listen => ended,
    }
}

/// Reports; nobody listens any more only when the machine is being abandoned.
async fn send(to: &mpsc::Sender<Report>, report: Report) {
    let _ = to.send(report).await;
}
