//! Single kernels and cells, one call each, for whoever decides from the outcome what comes next. Nothing is
//! recorded beyond a cell's own folder, and nothing is kept apart: a caller must not build beside a boot.

use super::cells::{self, CellContext};
use super::dispatch::{Config, RunError};
use super::kernels::{self, Made};
use super::{CellRecord, Event};
use crate::kernel::{self, Built};
use crate::plan::Cell;
use crate::source::{SeriesError, Source};
use crate::spec::{KernelSpec, SourceSpec};
use std::path::Path;
use tokio::sync::{mpsc, watch};

/// Makes kernels and runs cells, one at a time each call.
pub struct Single {
    config: Config,
    context: CellContext,
}

impl Single {
    /// Of a configuration whose plan has the kernels that are asked for by name; cells leave their evidence
    /// below `dir`.
    ///
    /// # Errors
    /// [`RunError`] where the guest's root cannot be made.
    pub fn new(config: Config, dir: &Path) -> Result<Self, RunError> {
        let context = CellContext::new(&config, dir)?;
        Ok(Self { config, context })
    }

    /// What it was made of.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What a kernel of a matrix is made of.
    ///
    /// # Errors
    /// [`SeriesError`] where one of its series cannot be read.
    pub fn request_of(config: &Config, kernel: &KernelSpec) -> Result<kernel::Request, SeriesError> {
        kernels::request(config, kernel)
    }

    /// A matrix's word for a source, as something that can be had.
    #[must_use]
    pub fn source(spec: &SourceSpec) -> Source {
        kernels::source(spec)
    }

    /// Finds or makes a kernel; events call it `name`.
    pub async fn kernel(
        &self,
        name: &str,
        request: kernel::Request,
        events: mpsc::Sender<Event>,
        cancel: watch::Receiver<bool>,
    ) -> Made {
        kernels::make_requested(&self.config, name, request, events, cancel).await
    }

    /// Boots a cell on a kernel and judges it; `None` where it was stopped before it had a verdict.
    pub async fn boot(
        &self,
        cell: &Cell,
        kernel: &Built,
        events: &mpsc::Sender<Event>,
        cancel: watch::Receiver<bool>,
    ) -> Option<CellRecord> {
        let run = cells::Run {
            context: &self.context,
            cell,
            kernel,
            build_s: kernel.build_s,
        };
        run.run(events, cancel).await
    }
}
