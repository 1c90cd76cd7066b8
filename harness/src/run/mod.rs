//! Dispatcher and executors: the only owner of concurrency (tokio).
//!
//! The dispatcher ([`run`]) owns the order of what users see ([`Event`]): kernels first, each by
//! itself since a build uses every core, then cells (`boots`), the longest first and as many at once as
//! there are cores for their virtual CPUs and memory for all of it (`queue`). A guest that is starved of
//! CPU proves nothing, so builds never run beside boots.
//! Executors make kernels ([`kernels`]) and run cells ([`cells`]); they share nothing but what they send.

mod boots;
mod cells;
mod dispatch;
mod event;
mod evidence;
mod kernels;
mod lab;
mod limits;
mod lines;
mod queue;
mod shell;
mod single;
mod stop;

pub use dispatch::{Config, RunError, Until, run};
pub use event::{CellRecord, Event, FindingLine, KernelRecord, Summary, Versioned};
pub(crate) use evidence::with_causes;
pub use kernels::Made;
pub(crate) use kernels::note_words;
pub use lab::Lab;
pub use limits::Limits;
pub use lines::{Sources, put_apart};
pub use shell::{Boots, Guest, ShellError, shell};
pub use single::Single;
pub use stop::StopWhy;
