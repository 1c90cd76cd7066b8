//! The reference model (pure; never touches the kernel).

use serde::{Deserialize, Serialize};

/// A page that holds what it must not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {}
