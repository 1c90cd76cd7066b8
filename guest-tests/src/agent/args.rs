//! The command line. By hand: a request and where the frames go. The other calls are the agent's
//! own, made of itself.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
patchproof-agent: runs memory-pressure cases on this machine's kernel

usage: patchproof-agent --request FILE [--frames FILE|-] [--swap-disk DEVICE] [--data-disk DEVICE]

  --request FILE      the cases to run, as JSON
  --frames FILE       write the frames there (binary); - for standard output, which then carries no KTAP
  --swap-disk DEVICE  use DEVICE as swap: WHATEVER IS ON IT IS OVERWRITTEN. Without it no case that swaps is run.
  --data-disk DEVICE  make a file system on DEVICE for cases with files: WHATEVER IS ON IT IS OVERWRITTEN.

As PID 1 it takes no arguments: it mounts what it needs, reads /patchproof/request.json, sends frames
through the virtio-serial port patchproof.frames, and switches the machine off.

usage: patchproof-agent guest FILE

The same on a guest that another init has brought up: runs the request FILE, sends frames through that
port, and SWITCHES THE MACHINE OFF. Refuses to where there is no such port.

usage: patchproof-agent replay FILE|-

Carries out the log of a finding (`log` in its context: words such as 0/1:3+2store) in order on one thread and
verifies everything: what the steps alone do shows again, what a race did does not.

Exit status: 0 every case passed, 1 the kernel failed one, 2 usage, 3 the suite failed, 4 nothing was proved.";

/// How the agent was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Print the help.
    Help,
    /// Run a request by hand.
    ByHand(ByHand),
    /// Do PID 1's work on a guest that another init has brought up.
    Guest {
        /// File of the request.
        request: PathBuf,
    },
    /// Carry out the log of a finding by hand.
    Replay {
        /// The log's file; `-` is standard input.
        log: PathBuf,
    },
    /// Be one case's process; the case comes on standard input.
    Case {
        /// The board's descriptor, inherited.
        board_fd: i32,
    },
    /// Switch one swap area off: made in a process of its own, which the OOM killer takes first.
    SwapOff {
        /// The area's device.
        device: PathBuf,
    },
}

/// A request run by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// File of the request.
    pub request: PathBuf,
    /// Where frames go, if anywhere; `-` is standard output.
    pub frames: Option<PathBuf>,
    /// The device that may be overwritten and used as swap.
    pub swap_disk: Option<PathBuf>,
    /// The device that may be overwritten with a file system.
    pub data_disk: Option<PathBuf>,
}

/// Why a command line was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// No such argument.
    #[error("unknown argument {0:?}")]
    Unknown(OsString),
    /// An argument's value is missing.
    #[error("{0} needs a value")]
    NoValue(&'static str),
    /// No request.
    #[error("--request FILE is missing")]
    NoRequest,
    /// A descriptor that is not a number.
    #[error("not a descriptor: {0:?}")]
    NoDescriptor(OsString),
}

/// Parses the arguments after the program's name.
///
/// # Errors
/// Whatever is not understood; nothing is guessed.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Call, ArgsError> {
    let mut args = args.into_iter();
    let (mut request, mut frames, mut swap_disk, mut data_disk) = (None, None, None, None);
    let path = |value: Option<OsString>, name| value.map(PathBuf::from).ok_or(ArgsError::NoValue(name));
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--help" | "-h") => return Ok(Call::Help),
            Some("--request") => request = Some(path(args.next(), "--request")?),
            Some("--frames") => frames = Some(path(args.next(), "--frames")?),
            Some("--swap-disk") => swap_disk = Some(path(args.next(), "--swap-disk")?),
            Some("--data-disk") => data_disk = Some(path(args.next(), "--data-disk")?),
            Some("case") => {
                let fd = args.next().ok_or(ArgsError::NoValue("case"))?;
                let board_fd = fd
                    .to_str()
                    .and_then(|fd| fd.parse().ok())
                    .ok_or(ArgsError::NoDescriptor(fd))?;
                return Ok(Call::Case { board_fd });
            }
            Some("guest") => {
                return Ok(Call::Guest {
                    request: path(args.next(), "guest")?,
                });
            }
            Some("replay") => {
                return Ok(Call::Replay {
                    log: path(args.next(), "replay")?,
                });
            }
            Some("swapoff") => {
                return Ok(Call::SwapOff {
                    device: path(args.next(), "swapoff")?,
                });
            }
            _ => return Err(ArgsError::Unknown(arg)),
        }
    }
    let request = request.ok_or(ArgsError::NoRequest)?;
    Ok(Call::ByHand(ByHand {
        request,
        frames,
        swap_disk,
        data_disk,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], want: Result<Call, ArgsError>) {
        assert_eq!(parse(args.iter().map(OsString::from)), want, "{args:?}");
    }

    #[test]
    fn every_call_is_told_apart() {
        check(&["--help"], Ok(Call::Help));
        check(&["case", "7"], Ok(Call::Case { board_fd: 7 }));
        check(
            &["swapoff", "/dev/vda"],
            Ok(Call::SwapOff {
                device: "/dev/vda".into(),
            }),
        );
        check(&["replay", "-"], Ok(Call::Replay { log: "-".into() }));
        check(
            &["guest", "/run/r.json"],
            Ok(Call::Guest {
                request: "/run/r.json".into(),
            }),
        );
        let by_hand = ByHand {
            request: "r.json".into(),
            frames: Some("-".into()),
            swap_disk: None,
            data_disk: None,
        };
        check(
            &["--frames", "-", "--request", "r.json"],
            Ok(Call::ByHand(by_hand)),
        );
    }

    #[test]
    fn nothing_is_guessed() {
        check(&[], Err(ArgsError::NoRequest));
        check(&["--request"], Err(ArgsError::NoValue("--request")));
        check(&["--reqest", "x"], Err(ArgsError::Unknown("--reqest".into())));
        check(&["guest"], Err(ArgsError::NoValue("guest")));
        check(&["case", "x"], Err(ArgsError::NoDescriptor("x".into())));
    }
}
