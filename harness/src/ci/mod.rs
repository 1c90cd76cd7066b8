//! What other CI systems need to run a matrix on several hosts: pipelines as text (pure).
//!
//! A pipeline has three steps. The first one lists the matrix and writes down durations, and says which shards
//! there are; the jobs of the shards run one each, all with the same durations, so that all make the same split;
//! the last one joins their runs and reports. Nothing of what a user names is ever evaluated by a shell: it is
//! passed through variables, and may hold plain characters only.

mod github;
mod gitlab;

use crate::plan::Split;
use serde_json::{Value, json};

/// A matrix that a pipeline runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    matrix: String,
    filter: Vec<String>,
    shards: u32,
}

/// A name that can't stand in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("{text:?} can't stand in a pipeline: only letters, digits and `{ALLOWED}` can")]
#[diagnostic(help("rename the file, or filter by another part of the ids"))]
pub struct Unfit {
    /// What was named.
    pub text: String,
}

/// What may stand in a pipeline beside letters and digits: nothing that a shell or a CI system expands.
const ALLOWED: &str = "_-./@#+*?";

impl Pipeline {
    /// A pipeline for a matrix, named as in the tree whose CI it is.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn new(matrix: &str, filter: &[String], shards: u32) -> Result<Self, Unfit> {
        for text in filter.iter().map(String::as_str).chain([matrix]) {
            let fit = |c: char| c.is_ascii_alphanumeric() || ALLOWED.contains(c);
            if text.is_empty() || text.starts_with('-') || !text.chars().all(fit) {
                return Err(Unfit {
                    text: text.to_owned(),
                });
            }
        }
        Ok(Self {
            matrix: matrix.to_owned(),
            filter: filter.to_vec(),
            shards,
        })
    }

    /// A workflow of GitHub Actions.
    #[must_use]
    pub fn github(&self) -> String {
        github::workflow(self)
    }

    /// The strategy's matrix of that workflow's second job: one line of JSON.
    #[must_use]
    pub fn github_jobs(&self, split: &Split) -> String {
        let shard = |(index, shard): (usize, &crate::plan::Shard)| {
            json!({
                "shard": format!("{index}/{}", split.shards.len()), "index": index,
                "cells": shard.cells.len(), "minutes": shard.ms.div_ceil(60_000),
            })
        };
        let include: Vec<Value> = (1..).zip(&split.shards).map(shard).collect();
        json!({ "include": include }).to_string()
    }

    /// A pipeline of GitLab.
    #[must_use]
    pub fn gitlab(&self) -> String {
        gitlab::pipeline(self)
    }

    /// The child pipeline that runs the shards, for GitLab.
    #[must_use]
    pub fn gitlab_jobs(&self, split: &Split) -> String {
        gitlab::jobs(self, split)
    }

    /// How the pipeline was made.
    fn made_by(&self, system: &str) -> String {
        let filter: String = self.filter.iter().map(|f| format!(" --filter '{f}'")).collect();
        format!(
            "patchproof ci {system} {} --shards {}{filter}",
            self.matrix, self.shards
        )
    }

    /// The filters as variables, one a line, as `NAME: "…"`.
    fn variables(&self, indent: &str) -> String {
        let filters = (1..).zip(&self.filter).map(|(n, f)| (format!("FILTER_{n}"), f));
        std::iter::once(("MATRIX".to_owned(), &self.matrix))
            .chain(filters)
            .map(|(name, value)| format!("{indent}{name}: \"{value}\"\n"))
            .collect()
    }

    /// The arguments that pick cells, as a shell takes them from the variables.
    fn arguments(&self) -> String {
        let filters = (1..=self.filter.len()).map(|n| format!(" --filter \"$FILTER_{n}\""));
        std::iter::once("\"$MATRIX\" --root \"$PATCHPROOF\"".to_owned())
            .chain(filters)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_anybody_expands_comes_in() {
        for bad in [
            "a b.yaml",
            "$(id).yaml",
            "${{ secrets.X }}",
            "a\nb",
            "a\"b",
            "a'b",
            "-x",
            "",
            "a;b",
            "a`b`",
        ] {
            assert!(Pipeline::new(bad, &[], 2).is_err(), "{bad:?}");
            assert!(Pipeline::new("m.yaml", &[bad.to_owned()], 2).is_err(), "{bad:?}");
        }
        assert!(Pipeline::new("workflows/nightly.yaml", &["fixed.*@qemu.a+b#1".to_owned()], 2).is_ok());
    }

    #[test]
    fn the_jobs_are_the_shards() {
        let pipeline = Pipeline::new("m.yaml", &[], 2).expect("plain names");
        let shard = |cells: &[usize], ms| crate::plan::Shard {
            cells: cells.to_vec(),
            ms,
        };
        let split = Split {
            digest: "d".to_owned(),
            shards: vec![shard(&[0, 1], 61_000), shard(&[2], 59_000)],
        };
        insta::assert_snapshot!(pipeline.github_jobs(&split), @r#"{"include":[{"shard":"1/2","index":1,"cells":2,"minutes":2},{"shard":"2/2","index":2,"cells":1,"minutes":1}]}"#);
        let jobs = pipeline.gitlab_jobs(&split);
        assert!(
            jobs.contains("SHARD: \"1/2\"") && jobs.contains("SHARD: \"2/2\""),
            "{jobs}"
        );
    }
}
