//! The one thing that goes wrong.

use super::{Cage, number};
use crate::protocol::MAGIC;
use crate::sys::arena::{Arena, PAGE_LEN, PAGE_WORDS};
use crate::sys::board::Lane;
use crate::sys::{Doing, SysError, cgroup, file, foreign, proc, process};
use crate::workload::CaseError;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Barrier;

/// Where LKDTM takes the name of a crash.
const PROVOKE: &str = "/sys/kernel/debug/provoke-crash/DIRECT";
/// The kernel's taint mask; what is written is added to it.
const TAINT: &str = "/proc/sys/kernel/tainted";
/// The taint that means "user space asked for it".
const TAINT_USER: &str = "64";
/// Pages that are taken between two beats when all memory is.
const GRAB_PAGES: usize = 1024;
/// Exit status of a case that ends too early.
const EARLY_EXIT: i32 = 3;

/// What goes wrong; the words are those of the parameter `act`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Healthy,
    /// A bit of a page is flipped behind the ledger's back.
    Corrupt,
    /// Half of a page goes back to its previous generation.
    Tear,
    /// The kernel crashes or complains, by the name that LKDTM has for it.
    Provoke(&'static str),
    /// The kernel is tainted without a word on its console.
    Taint,
    /// The worker stops beating.
    Stall,
    /// Every CPU spins with interrupts off.
    Lockup,
    /// All memory of the machine is taken.
    Oom,
    /// The case's process ends, with a status that is not 0.
    Exit,
    /// The supervisor is stopped: no frame comes any more.
    Mute,
    /// The header of a frame claims more than any frame has.
    Lie,
    /// Nothing is done, and success is reported.
    Idle,
}

impl Act {
    /// Takes the parameter's word.
    ///
    /// # Errors
    /// When the kernel lacks what it takes.
    pub fn of(word: &str) -> Result<Self, CaseError> {
        let act = match word {
            "healthy" => Self::Healthy,
            "corrupt" => Self::Corrupt,
            "tear" => Self::Tear,
            "warn" => Self::Provoke("WARNING"),
            "oops" => Self::Provoke("EXCEPTION"),
            "panic" => Self::Provoke("PANIC"),
            "stuck" => Self::Provoke("HUNG_TASK"),
            "taint" => Self::Taint,
            "stall" => Self::Stall,
            "lockup" => Self::Lockup,
            "oom" => Self::Oom,
            "exit" => Self::Exit,
            "mute" => Self::Mute,
            "lie" => Self::Lie,
            "idle" => Self::Idle,
            other => return Err(CaseError::Broken(format!("no act is called {other}"))),
        };
        if matches!(act, Self::Provoke(_) | Self::Lockup) && !Path::new(PROVOKE).exists() {
            return Err(CaseError::Missing(
                "LKDTM (CONFIG_LKDTM, CONFIG_DEBUG_FS)".to_owned(),
            ));
        }
        Ok(act)
    }

    /// Does it. Some never return.
    pub fn perform(self, cage: &Cage<'_>, lane: &Lane, page: usize) -> Result<(), CaseError> {
        match self {
            Self::Healthy | Self::Idle => Ok(()),
            Self::Corrupt => Ok(corrupt(cage, page)?),
            Self::Tear => Ok(tear(cage, page)?),
            Self::Provoke(crash) => Ok(file::write(PROVOKE, crash)?),
            Self::Taint => Ok(file::write(TAINT, TAINT_USER)?),
            Self::Stall => loop {
                std::thread::park();
            },
            Self::Lockup => Ok(lock_up(proc::cpus())?),
            Self::Oom => Ok(take_all_memory(lane)?),
            Self::Exit => std::process::exit(EARLY_EXIT),
            Self::Mute => {
                foreign::stop(supervisor())?;
                // It goes on as soon as this thread ends.
                loop {
                    std::thread::park();
                }
            }
            Self::Lie => Ok(lie()?),
        }
    }
}

fn supervisor() -> u32 {
    std::os::unix::process::parent_id()
}

/// Writes to the arena where the ledger can't know of it.
fn scribble(cage: &Cage<'_>, page: usize, at: usize, bytes: &[u8]) -> Result<(), SysError> {
    let doing = || "writing to /proc/self/mem".to_owned();
    let memory = OpenOptions::new()
        .write(true)
        .open("/proc/self/mem")
        .doing(doing)?;
    memory
        .write_all_at(bytes, cage.arena.address(page) + at as u64)
        .doing(doing)
}

fn corrupt(cage: &Cage<'_>, page: usize) -> Result<(), SysError> {
    const WORD: usize = 91;
    let flipped = cage.arena.peek(page, WORD) ^ 1 << 17;
    scribble(cage, page, WORD * 8, &flipped.to_ne_bytes())
}

fn tear(cage: &Cage<'_>, page: usize) -> Result<(), SysError> {
    let before = cage.ledger.generation(number(page)).saturating_sub(1);
    let mut old = Box::new([0; PAGE_WORDS]);
    cage.ledger.origin().stamp(number(page), before).write(&mut old);
    let half: Vec<u8> = old[PAGE_WORDS / 2..]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    scribble(cage, page, PAGE_LEN / 2, &half)
}

/// Has every CPU spin with interrupts off, all at once: from then on the machine says nothing more.
fn lock_up(cpus: u32) -> Result<(), SysError> {
    let ready = Barrier::new(cpus as usize);
    let spin = |cpu| {
        let pinned = process::pin(cpu);
        ready.wait();
        pinned?;
        file::write(PROVOKE, "HARDLOCKUP")
    };
    std::thread::scope(|scope| {
        for cpu in 1..cpus {
            scope.spawn(move || spin(cpu));
        }
        spin(0)
    })
}

/// Takes memory outside of every control group until the kernel ends this process for it.
fn take_all_memory(lane: &Lane) -> Result<(), SysError> {
    let mut taken = Vec::new();
    // A group of an earlier case would keep the shortage to itself.
    file::write(
        Path::new(cgroup::ROOT).join("cgroup.procs"),
        &std::process::id().to_string(),
    )?;
    loop {
        let arena = Arena::map(GRAB_PAGES)?;
        (0..GRAB_PAGES).for_each(|page| arena.poke(page, 0, 1));
        taken.push(arena);
        lane.beat();
    }
}

/// Writes half a header's truth to the port that the supervisor has open.
fn lie() -> Result<(), SysError> {
    let port = foreign::descriptor(supervisor(), "/dev/vport")?;
    let mut header = MAGIC.to_le_bytes().to_vec();
    header.extend(u32::MAX.to_le_bytes());
    header.extend(0u32.to_le_bytes());
    File::from(port)
        .write_all(&header)
        .doing(|| "writing to the supervisor's port".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Canary, Kind};

    #[test]
    fn every_word_of_the_parameter_is_an_act() {
        let table = Canary::table();
        let Some(Kind::Word(words)) = table.iter().find(|p| p.name == "act").map(|p| p.kind) else {
            panic!("{table:?}")
        };
        for word in words {
            // LKDTM is not to be had where tests run; that it is missed is known only of a word that is known.
            assert!(
                !matches!(Act::of(word), Err(CaseError::Broken(_))),
                "{word} is known"
            );
        }
        assert!(matches!(Act::of("no such act"), Err(CaseError::Broken(_))));
    }
}
