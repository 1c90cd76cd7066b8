//! The `patchproof` binary as a user runs it, in folders of a test's own.

#![expect(dead_code, reason = "each test file uses its part of this")]

use serde_json::Value;
use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Folders for cache, runs and matrices.
pub struct Bench {
    dir: tempfile::TempDir,
}

/// What a command left.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
    /// Folder of the run, where `--json` said so.
    dir: Option<PathBuf>,
}

impl Ran {
    fn new(exit: i32, stdout: String, stderr: String) -> Self {
        let dir = run_dir(&stdout);
        Self {
            exit,
            stdout,
            stderr,
            dir,
        }
    }

    pub fn run_dir(&self) -> &Path {
        self.dir
            .as_deref()
            .unwrap_or_else(|| panic!("no run was started: {self:?}"))
    }

    pub fn summary(&self) -> Value {
        let text =
            std::fs::read(self.run_dir().join("summary.json")).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        serde_json::from_slice(&text).expect("summary.json is JSON")
    }
}

/// The `patchproof` that cargo built for this test.
pub const PATCHPROOF: &str = env!("CARGO_BIN_EXE_patchproof");

/// The fake QEMU beside it.
pub fn fake_qemu() -> PathBuf {
    let fake = Path::new(PATCHPROOF).with_file_name("examples").join("fake_qemu");
    assert!(
        fake.exists(),
        "{} is missing: `cargo build -p harness --example fake_qemu`",
        fake.display()
    );
    fake
}

/// The project's folder, with kconfigs/ and patches/.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
}

impl Bench {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the folder can be written");
        path.to_str().expect("a plain path").to_owned()
    }

    /// A matrix of one cell, `k.m@qemu.c.off`, whose guest plays `script` (see `examples/fake_qemu.rs`).
    pub fn matrix(&self, script: &str) -> String {
        self.write("kernel", script);
        for dir in ["kconfigs", "patches"] {
            std::fs::create_dir_all(self.path(dir)).expect("the folder can be written");
        }
        self.write(
            "matrix.yaml",
            "version: 1\n\
             kernels: { k: { source: { image: kernel } } }\n\
             machines: { m: { backend: qemu, accel: tcg, cpus: 1, memory: 300MiB, swap: 16MiB } }\n\
             cases: { c: { workload: zswap_pressure, budget: 10s } }\n\
             matrix: { kernel: [k], machine: [m], case: [c] }\n",
        )
    }

    /// Runs such a matrix.
    pub fn run_script(&self, script: &str, env: &[(&str, &str)]) -> Ran {
        let matrix = self.matrix(script);
        self.patchproof(&["run", &matrix, "--json"], env)
    }

    /// Runs the binary with this bench's folders and the fake QEMU.
    pub fn patchproof(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        run(args, &self.env(env))
    }

    /// The environment for that; `env` wins.
    pub fn env<'e>(&self, env: &[(&'e str, &str)]) -> Vec<(&'e str, OsString)> {
        let mut all = vec![
            ("PATCHPROOF_CACHE_DIR", self.path("cache").into_os_string()),
            ("PATCHPROOF_STATE_DIR", self.path("state").into_os_string()),
            ("PATCHPROOF_QEMU", fake_qemu().into_os_string()),
        ];
        all.retain(|(name, _)| !env.iter().any(|(own, _)| own == name));
        all.extend(env.iter().map(|(name, value)| (*name, value.into())));
        all
    }
}

/// A `patchproof` that still runs; its standard output is read as it comes.
pub struct Started {
    handle: Arc<duct::ReaderHandle>,
    coming: Receiver<String>,
    came: RefCell<String>,
}

/// Starts the binary.
pub fn start(args: &[&str], env: &[(&str, OsString)]) -> Started {
    let mut cmd = duct::cmd(PATCHPROOF, args).stdin_null().stderr_null().unchecked();
    for (name, value) in env {
        cmd = cmd.env(name, value);
    }
    let handle = Arc::new(cmd.reader().expect("patchproof can be started"));
    let (lines, coming) = channel();
    let reader = Arc::clone(&handle);
    std::thread::spawn(move || {
        for line in BufReader::new(&*reader).lines() {
            // Whoever listened may have seen enough.
            let _ = lines.send(line.expect("output is UTF-8"));
        }
    });
    Started {
        handle,
        coming,
        came: RefCell::default(),
    }
}

impl Started {
    fn note(&self, line: &str) {
        self.came.borrow_mut().push_str(&format!("{line}\n"));
    }

    /// Reads up to the event of that name; panics where it never comes.
    pub fn wait_for(&self, event: &str) -> Value {
        for line in &self.coming {
            self.note(&line);
            let object: Value = serde_json::from_str(&line).expect("a line is JSON");
            if object["event"] == event {
                return object;
            }
        }
        panic!("{event} never came: {}", self.came.borrow());
    }

    /// Waits for its end, at most so long; tells whether it came.
    pub fn ends_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            match self
                .coming
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.note(&line),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        *self.handle.pids().first().expect("it was started")
    }

    /// Sends it a signal; one that has just ended takes none.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.pid().cast_signed());
        let _ = nix::sys::signal::kill(pid, signal);
    }

    /// Reads what is left and waits for its end.
    pub fn finish(self) -> Ran {
        for line in &self.coming {
            self.note(&line);
        }
        let status = self.handle.try_wait().expect("it can be waited for");
        let exit = status.and_then(|out| out.status.code()).unwrap_or(-1);
        Ran::new(exit, self.came.into_inner(), String::new())
    }
}

/// Runs the binary to its end.
pub fn run(args: &[&str], env: &[(&str, std::ffi::OsString)]) -> Ran {
    let mut cmd = duct::cmd(PATCHPROOF, args)
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked();
    for (name, value) in env {
        cmd = cmd.env(name, value);
    }
    let out = cmd.run().expect("patchproof can be started");
    let stdout = String::from_utf8(out.stdout).expect("output is UTF-8");
    let stderr = String::from_utf8(out.stderr).expect("errors are UTF-8");
    Ran::new(out.status.code().unwrap_or(-1), stdout, stderr)
}

fn run_dir(stdout: &str) -> Option<PathBuf> {
    stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|object| {
            object["dir"]
                .as_str()
                .filter(|_| object["event"] == "run_started")
                .map(PathBuf::from)
        })
}

/// A process, told apart from a later one of the same number.
#[derive(Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    parent: u32,
    started: String,
    name: String,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // A zombie is gone but for whoever has to reap it.
        let dead = matches!(*fields.first()?, "Z" | "X");
        let name = head.split_once('(')?.1.to_owned();
        let it = Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            started: (*fields.get(19)?).to_owned(),
            name,
        };
        (!dead).then_some(it)
    }

    /// Whether it is still there.
    pub fn lives(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// All processes that this one can see.
pub fn processes() -> Vec<Process> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .collect()
}

/// Everything below a process, itself left out.
pub fn descendants(top: u32) -> Vec<Process> {
    let all = processes();
    let mut tree: Vec<u32> = vec![top];
    let mut at = 0;
    while let Some(&parent) = tree.get(at) {
        tree.extend(all.iter().filter(|p| p.parent == parent).map(|p| p.pid));
        at += 1;
    }
    all.into_iter()
        .filter(|p| p.pid != top && tree.contains(&p.pid))
        .collect()
}
