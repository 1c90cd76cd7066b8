//! The orchestrator of Patchproof: builds patched kernels, boots them, judges what the guest saw.
//!
//! Data flows one way: `spec` → `plan` → `source` → `kernel` → `machine` → evidence (`console`,
//! frames) → `verdict` → `report`. `run` drives it and alone owns concurrency; `store` keeps it.

pub mod bisect;
pub mod ci;
pub mod cli;
pub mod console;
pub mod host;
pub mod hunt;
pub mod judge;
pub mod kernel;
pub mod machine;
pub mod plan;
pub mod report;
pub mod run;
pub mod series;
pub mod source;
pub mod spec;
pub mod store;
pub mod verdict;
