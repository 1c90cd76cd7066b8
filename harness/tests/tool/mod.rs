//! The `patchproof` binary as a user runs it, in folders of a test's own.

#![expect(dead_code, reason = "each test file uses its part of this")]

use serde_json::Value;
use std::path::{Path, PathBuf};

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
        let mut all = vec![
            ("PATCHPROOF_CACHE_DIR", self.path("cache").into_os_string()),
            ("PATCHPROOF_STATE_DIR", self.path("state").into_os_string()),
            ("PATCHPROOF_QEMU", fake_qemu().into_os_string()),
        ];
        all.retain(|(name, _)| !env.iter().any(|(own, _)| own == name));
        all.extend(env.iter().map(|(name, value)| (*name, value.into())));
        run(args, &all)
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
    let dir = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|object| {
            object["dir"]
                .as_str()
                .filter(|_| object["event"] == "run_started")
                .map(PathBuf::from)
        });
    Ran {
        exit: out.status.code().unwrap_or(-1),
        stdout,
        stderr: String::from_utf8(out.stderr).expect("errors are UTF-8"),
        dir,
    }
}
