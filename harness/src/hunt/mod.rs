//! The hunt for a culprit, for real: what `patchproof bisect` does beside searching.
//!
//! [`range`] makes candidates of a git range, of the patches of a series or of a list of sources; [`bug`] says
//! which finding is the one that is looked for; [`trials`] executes what the search (`bisect`, pure) chooses, on
//! the [`bench`], which builds and boots; [`check`] verifies the named commit; [`folder`] keeps all of it, so that
//! a hunt that was stopped goes on where it was; [`report`] tells what is kept. [`go`] puts them together. [`step`]
//! is one step of somebody else's search.
//!
//! Not here: which trial comes next, and what is believed (that is `bisect`).

mod bench;
pub mod bug;
pub mod check;
mod event;
pub mod folder;
mod go;
pub mod range;
pub mod report;
pub mod step;
mod trials;

pub use event::{Belief, Event, Told};
pub use folder::{Folder, Header};
pub use go::{Ended, Hunt, HuntError, go};
pub use range::{Candidate, Range, RangeError};
