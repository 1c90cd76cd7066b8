//! Switching swap off in a process that can be spared: the kernel makes whoever calls `swapoff` the
//! OOM killer's first victim.

use crate::sys::{Doing, SysError, process};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// How often the caller is asked whether to go on waiting, in milliseconds.
const ASK_MS: u32 = 500;

/// Switches one area off. `go_on` is asked twice a second whether to go on waiting.
///
/// # Errors
/// The kernel's answer; `EINTR` where the helper was killed (by the OOM killer, say), `ETIMEDOUT`
/// where `go_on` said no (the helper may be stuck in the kernel then, and is left behind).
pub fn run(device: &Path, go_on: &mut dyn FnMut() -> bool) -> Result<(), SysError> {
    let doing = || format!("swapoff {}", device.display());
    let answer = |errno| {
        Err(SysError {
            doing: doing(),
            source: io::Error::from_raw_os_error(errno),
        })
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the guest has no keeper: this waits for its one child"
    )]
    let mut command = Command::new("/proc/self/exe");
    let mut child = command
        .arg("swapoff")
        .arg(device)
        .stdin(Stdio::null())
        .spawn()
        .doing(doing)?;
    while !process::ended(&child, ASK_MS)? {
        if !go_on() {
            let _ = child.kill();
            return answer(libc::ETIMEDOUT);
        }
    }
    match child.wait().doing(doing)?.code() {
        Some(0) => Ok(()),
        Some(errno) => answer(errno),
        None => answer(libc::EINTR),
    }
}

/// Whether a failed `swapoff` says only that memory was short or the helper was killed: never a finding.
#[must_use]
pub fn is_excusable(e: &SysError) -> bool {
    matches!(e.errno(), Some(libc::ENOMEM | libc::EINTR))
}
