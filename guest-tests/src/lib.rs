//! The guest side of Patchproof.
//!
//! The default features are what the host needs too, defined once: the wire [`protocol`], the
//! [`catalogue`] of workloads and the reference [`model`] with its words for a mismatch. The
//! feature `agent` adds everything that talks to a kernel. The model never touches the kernel.

pub mod catalogue;
pub mod model;
pub mod protocol;

#[cfg(feature = "agent")]
pub mod agent;
#[cfg(feature = "agent")]
pub mod sys;
#[cfg(feature = "agent")]
pub mod workload;
