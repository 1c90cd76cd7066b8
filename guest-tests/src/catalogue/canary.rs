//! Parameters, floors and needs of the workload `canary`.

use super::{Counter, Floor, Info, params};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What a canary can do on purpose.
const ACTS: &[&str] = &[
    "healthy", "corrupt", "tear", "warn", "oops", "panic", "taint", "stall", "stuck", "lockup", "oom",
    "exit", "mute", "lie", "idle",
];

params! {
    /// A fault on purpose, to show that it would be noticed: a small arena is verified and rewritten, and
    /// in the middle of it one thing goes wrong. Nothing of what is reported says that it was a canary.
    Canary {
        act: word = "healthy", 0, 0, ACTS, "what goes wrong: nothing (healthy), a bit of a page behind the ledger's back (corrupt), half a page (tear), a kernel warning, oops or panic (LKDTM), a new taint, a worker that stops beating (stall), one that sleeps in the kernel for good (stuck), every CPU spinning with interrupts off (lockup), all memory taken (oom), an early exit with status 3 (exit), an agent that says nothing more (mute), a frame with a lying length (lie), success without any work (idle)";
        arena: bytes = MIB, 64 * KIB, 64 * MIB, &[], "memory whose pages are verified and rewritten";
    }
}

impl Canary {
    /// Name, as in YAML.
    pub const NAME: &'static str = "canary";

    /// What the catalogue says of it.
    #[must_use]
    pub fn info() -> Info {
        Info {
            name: Self::NAME,
            doc: "a fault on purpose, to show that it would be noticed",
            params: Self::table(),
            needs: &["LKDTM", "DEBUG_FS"],
            // It is about the suite and the harness, not about any code of the kernel.
            files: &[],
            symbols: &[],
        }
    }

    /// Any value goes with any other.
    ///
    /// # Errors
    /// Never.
    pub fn consistent(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// Least rates under software emulation.
    #[must_use]
    pub fn floors(&self) -> Vec<Floor> {
        vec![
            Floor {
                counter: Counter::PagesVerified,
                per_s: 500,
            },
            Floor {
                counter: Counter::PagesWritten,
                per_s: 500,
            },
        ]
    }
}
