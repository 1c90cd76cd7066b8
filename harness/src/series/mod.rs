//! CI for a patch series: base against patched.
//!
//! [`intake`] reads what was handed in; it must apply, build patch by patch, boot, and show nothing under the
//! workloads that its files call for that base does not show as well ([`ci`]). What base shows is told apart.
//! Pure: [`touched`], [`compare`], [`culprit`], [`matrix`], [`report`], [`reply`]; what builds and boots is
//! behind the trait [`ci::Works`], and [`check`] puts real kernels there.
//!
//! Not here: how patches are applied and kernels built (`source`, `kernel`), and how a cell is judged.

mod advice;
mod applying;
mod base;
pub mod ci;
pub mod compare;
pub mod culprit;
pub mod intake;
mod mail;
pub mod matrix;
pub mod real;
pub mod reply;
pub mod report;
mod sight;
pub mod step;
pub mod touched;
mod works;

pub use base::BaseError;
pub use intake::{IntakeError, Submission};
pub use real::{CheckError, Wishes, check};
pub use report::{Report, Word};
pub use step::Step;
