//! SSH against a real server on a socket pair: no VM, no network. Runs as root where openssh-server is
//! installed, since we log in as root; the same is done with a real guest in `vm_virtme`.

use harness::machine::ssh::{Door, Ended, Keys, Patience, Session, SshError, Streams, Terminal};
use std::fs;
use std::io::{Cursor, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";
/// Never reached in a test that passes.
const LONG: Duration = Duration::from_secs(60);

/// A server for one connection.
struct Server {
    child: Child,
    _dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server and the way to it; `None` where there can be none.
fn server() -> Option<(Server, Door)> {
    if !nix::unistd::geteuid().is_root() || !Path::new(SSHD).is_file() {
        eprintln!("not run: needs root and openssh-server");
        return None;
    }
    fs::create_dir_all("/run/sshd").ok()?;
    let dir = tempfile::tempdir().expect("the folder can be written");
    let keys = Keys::make(dir.path()).expect("the folder can be written");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("the folder can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the folder can be written");
        path
    };
    let host_key = file("host_key", &keys.host.secret);
    let authorized = file("authorized", &keys.login.public);
    let config = file(
        "config",
        &format!(
            "HostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin yes\nUsePAM no\nStrictModes no\nPidFile none\n\
             Subsystem sftp internal-sftp\nPermitUserRC no\n",
            host_key.display(),
            authorized.display()
        ),
    );
    let (ours, theirs) = UnixStream::pair().expect("the folder can be written");
    let theirs = OwnedFd::from(theirs);
    let child = spawn(&config, theirs);
    let door = Door {
        stream: ours,
        keys,
        patience: Patience {
            first_byte: LONG,
            step: LONG,
        },
    };
    Some((Server { child, _dir: dir }, door))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server needs a socket for its standard streams, which no child of the harness has"
)]
fn spawn(config: &Path, socket: OwnedFd) -> Child {
    let input = socket.try_clone().expect("sshd starts");
    Command::new(SSHD)
        .args(["-r", "-i", "-e", "-f"])
        .arg(config)
        .stdin(input)
        .stdout(Stdio::from(socket))
        .stderr(Stdio::null())
        .spawn()
        .expect("sshd starts")
}

fn run(session: &Session, command: &str) -> Result<(Ended, Vec<u8>, Vec<u8>), SshError> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let streams = Streams {
        stdin: None,
        stdout: &mut out,
        stderr: &mut err,
    };
    let ended = session.run(command, streams, Some(LONG))?;
    Ok((ended, out, err))
}

#[test]
fn a_command_keeps_its_streams_apart_and_its_status() {
    let Some((_server, door)) = server() else { return };
    let session = door.login().unwrap();
    let (ended, out, err) = run(&session, "echo out; echo err >&2; exit 7").unwrap();
    assert_eq!(ended, Ended::Exit(7));
    assert_eq!((out.as_slice(), err.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    let (ended, ..) = run(&session, "exit 255").unwrap();
    assert_eq!(ended.status(), 255);
    let (ended, ..) = run(&session, "kill -SEGV $$").unwrap();
    assert_eq!((&ended, ended.status()), (&Ended::Signal("SEGV".into()), 139));
    // More than any window or pipe holds, on the stream that a careless reader reads last.
    let (ended, out, err) = run(&session, "head -c 5000000 /dev/zero >&2; echo done").unwrap();
    assert_eq!(
        (ended, out.as_slice(), err.len()),
        (Ended::Exit(0), &b"done\n"[..], 5_000_000)
    );
}

#[test]
fn input_arrives_whole_and_ends() {
    let Some((_server, door)) = server() else { return };
    let session = door.login().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let feeder = std::thread::spawn(move || writer.write_all(&vec![b'x'; 3_000_000]));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let streams = Streams {
        stdin: Some(std::os::fd::AsFd::as_fd(&reader)),
        stdout: &mut out,
        stderr: &mut err,
    };
    let ended = session.run("wc -c", streams, Some(LONG)).unwrap();
    feeder.join().unwrap().unwrap();
    assert_eq!(
        (ended, String::from_utf8(out).unwrap().trim()),
        (Ended::Exit(0), "3000000")
    );
}

#[test]
fn files_go_both_ways() {
    let Some((_server, door)) = server() else { return };
    let session = door.login().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file with blanks");
    let content: Vec<u8> = (0..700_000u32).map(|n| (n % 251) as u8).collect();
    session.put(&mut Cursor::new(&content), &path, 0o751).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o751);
    let mut back = Vec::new();
    session.get(&path, &mut back).unwrap();
    assert!(back == content);
    let missing = session
        .get(&dir.path().join("no such"), &mut Vec::new())
        .unwrap_err();
    assert!(
        missing.to_string().contains("no such") && !missing.is_lost(),
        "{missing}"
    );
}

#[test]
fn a_connection_that_breaks_is_no_exit_status() {
    let Some((mut server, door)) = server() else {
        return;
    };
    let session = door.login().unwrap();
    // The command's own output is what tells that it runs.
    let mut on_first = Kill(Some(&mut server));
    let streams = Streams {
        stdin: None,
        stdout: &mut on_first,
        stderr: &mut std::io::sink(),
    };
    let ended = session.run("echo runs; exec sleep 600", streams, Some(LONG));
    let lost = ended.expect_err("nobody knows how it ended");
    assert!(lost.is_lost(), "{lost:?}");
}

/// Kills the server as soon as something is written.
struct Kill<'a>(Option<&'a mut Server>);

impl Write for Kill<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(server) = self.0.take() {
            // The session is a child of its own, and holds the connection too.
            kill_children(server.child.id());
            server.child.kill()?;
            server.child.wait()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn kill_children(of: u32) {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|c| c.parse().ok()) {
        kill_children(child);
        let pid = nix::unistd::Pid::from_raw(child.cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
}

#[test]
fn whoever_has_another_key_is_refused() {
    let Some((_server, mut door)) = server() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let other = Keys::make(dir.path()).unwrap();
    door.keys.host = other.host;
    let refused = door.login().unwrap_err();
    assert!(
        matches!(refused, SshError::HostKey) && !refused.is_lost(),
        "{refused:?}"
    );
}

#[test]
fn a_login_with_another_key_is_refused() {
    let Some((_server, mut door)) = server() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    door.keys.login = Keys::make(dir.path()).unwrap().login;
    let refused = door.login().unwrap_err();
    assert!(
        matches!(refused, SshError::Login(_)) && !refused.is_lost(),
        "{refused:?}"
    );
}

#[test]
fn silence_has_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let door = Door {
        stream: ours,
        keys: Keys::make(dir.path()).unwrap(),
        patience: Patience {
            first_byte: Duration::from_millis(50),
            step: LONG,
        },
    };
    let mute = door.login().unwrap_err();
    assert!(
        matches!(mute, SshError::Mute { .. }) && mute.is_lost(),
        "{mute:?}"
    );
}

#[test]
fn a_server_that_stops_speaking_has_an_end_too() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
    let door = Door {
        stream: ours,
        keys: Keys::make(dir.path()).unwrap(),
        patience: Patience {
            first_byte: LONG,
            step: Duration::from_millis(50),
        },
    };
    let lost = door.login().unwrap_err();
    assert!(lost.is_lost(), "{lost:?}");
}

#[test]
fn a_command_that_takes_too_long_is_told() {
    let Some((_server, door)) = server() else { return };
    let session = door.login().unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let streams = Streams {
        stdin: None,
        stdout: &mut out,
        stderr: &mut err,
    };
    let late = session.run("sleep 600", streams, Some(Duration::from_millis(100)));
    assert!(matches!(late, Err(SshError::Late { .. })), "{late:?}");
}

#[test]
fn a_terminal_has_its_size_and_is_left_as_it_was() {
    let Some((_server, door)) = server() else { return };
    let session = door.login().unwrap();
    let size = nix::pty::Winsize {
        ws_row: 33,
        ws_col: 111,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = nix::pty::openpty(Some(&size), None).unwrap();
    let before = nix::sys::termios::tcgetattr(&pty.slave).unwrap();
    let (resized, _never) = std::io::pipe().unwrap();
    let terminal = Terminal {
        input: pty.slave.try_clone().unwrap(),
        resized: resized.into(),
        term: "xterm".into(),
    };
    let mut keys = fs::File::from(pty.master);
    // Raw: Ctrl-C goes there as a byte, and interrupts there.
    let command = "stty size; trap 'echo caught; exit 5' INT; echo ready; while :; do read x; done";
    let mut screen = Screen {
        seen: Vec::new(),
        keys: &mut keys,
    };
    let ended = session
        .interactive(&terminal, Some(command), &mut screen)
        .unwrap();
    let seen = String::from_utf8_lossy(&screen.seen).into_owned();
    assert!(seen.contains("33 111") && seen.contains("caught"), "{seen:?}");
    assert_eq!(ended, Ended::Exit(5));
    assert_eq!(nix::sys::termios::tcgetattr(&pty.slave).unwrap(), before);
}

/// Presses Ctrl-C when the other side is ready.
struct Screen<'a> {
    seen: Vec<u8>,
    keys: &'a mut fs::File,
}

impl Write for Screen<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let ready = |seen: &[u8]| seen.windows(5).any(|w| w == b"ready");
        let was = ready(&self.seen);
        self.seen.extend_from_slice(bytes);
        if !was && ready(&self.seen) {
            self.keys.write_all(b"\x03")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn keys_are_each_machines_own() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Keys::make(dir.path()).unwrap(), Keys::make(dir.path()).unwrap());
    assert!(one.host.public != two.host.public && one.login.secret != two.login.secret);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "no secret stays behind"
    );
    let mut text = String::new();
    Cursor::new(one.login.public).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("ssh-ed25519 "));
}

#[test]
fn many_files_in_a_row_arrive() {
    let Some((_server, mut door)) = server() else {
        return;
    };
    door.patience.step = Duration::from_secs(10);
    let session = door.login().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let content: Vec<u8> = (0..1_400_000u32).map(|n| (n % 251) as u8).collect();
    for round in 0..300 {
        let put = session.put(&mut Cursor::new(&content), &path, 0o700);
        assert!(put.is_ok(), "round {round}: {put:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), content);
}
