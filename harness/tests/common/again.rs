//! Running the tests of a file again as an ordinary user.

use crate::common::{AS_NOBODY, ForAll};
use harness::host::Cmd;

/// Runs all tests of this file again as an ordinary user, where we are root; `skip` is the test that calls this.
pub fn as_an_ordinary_user(skip: &str) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not tested: only root can become somebody else; the other tests ran as an ordinary user");
        return;
    }
    let copy = ForAll::new();
    let done = Cmd::new(AS_NOBODY[0])
        .args(&AS_NOBODY[1..])
        .arg(copy.test())
        .args(["--skip", skip])
        .cwd("/tmp")
        .run()
        .unwrap();
    assert!(
        done.success(),
        "{}\n{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(
        String::from_utf8_lossy(&done.stdout).contains("test result: ok. "),
        "no test ran"
    );
}
