//! A pipeline of GitLab: jobs are made by the first one, and run as a child pipeline.

use super::Pipeline;
use crate::plan::Split;

pub(super) fn pipeline(pipeline: &Pipeline) -> String {
    PARENT
        .replace("@MADE_BY@", &pipeline.made_by("gitlab"))
        .replace("@VARIABLES@\n", &pipeline.variables("  "))
        .replace("@ARGUMENTS@", &pipeline.arguments())
        .replace("@SHARDS@", &pipeline.shards.to_string())
}

pub(super) fn jobs(pipeline: &Pipeline, split: &Split) -> String {
    let mut text = CHILD
        .replace("@VARIABLES@\n", &pipeline.variables("  "))
        .replace("@ARGUMENTS@", &pipeline.arguments());
    let count = split.shards.len();
    for (index, shard) in (1..).zip(&split.shards) {
        text.push_str(&format!(
            "\n# {} cells, about {} min\nshard-{index}:\n  extends: .shard\n  variables:\n    SHARD: \"{index}/{count}\"\n    INDEX: \"{index}\"\n",
            shard.cells.len(),
            shard.ms.div_ceil(60_000)
        ));
    }
    text
}

const PARENT: &str = r##"# Made by: @MADE_BY@
#
# Set the CI/CD variable PATCHPROOF_URL to the URL of a git repository with Patchproof's sources (and
# PATCHPROOF_REF to a tag or commit of it). See docs/ci-gitlab.md there.
stages: [plan, run]
variables:
@VARIABLES@
  PATCHPROOF: $CI_PROJECT_DIR/.patchproof/sources
  PATCHPROOF_STATE_DIR: $CI_PROJECT_DIR/.patchproof/state
  PATCHPROOF_REF: HEAD
patchproof-plan:
  stage: plan
  image: rust:bookworm
  cache:
    key: patchproof-history
    paths: [.patchproof/state/history.sqlite]
    policy: pull
  script:
    - git init --quiet "$PATCHPROOF"
    - git -C "$PATCHPROOF" fetch --quiet --depth 1 "$PATCHPROOF_URL" "$PATCHPROOF_REF"
    - git -C "$PATCHPROOF" checkout --quiet FETCH_HEAD
    - cargo build --release --locked --manifest-path "$PATCHPROOF/Cargo.toml" -p harness
    - cp "$PATCHPROOF/target/release/patchproof" .patchproof/patchproof
    - rm -rf "$PATCHPROOF/target"
    # All shards take these durations, so that all make the same split.
    - .patchproof/patchproof history --durations > .patchproof/durations.json
    - .patchproof/patchproof ci gitlab @ARGUMENTS@ --shards @SHARDS@ --durations .patchproof/durations.json --jobs -o .patchproof/shards.yml
  artifacts:
    paths:
      - .patchproof/patchproof
      - .patchproof/durations.json
      - .patchproof/shards.yml
      - .patchproof/sources
patchproof:
  stage: run
  needs: [patchproof-plan]
  variables:
    PLAN_PIPELINE: $CI_PIPELINE_ID
  trigger:
    include:
      - artifact: .patchproof/shards.yml
        job: patchproof-plan
    strategy: depend
"##;

const CHILD: &str = r##"# Made by the job patchproof-plan; its artifacts are those of the pipeline above.
stages: [run, report]
variables:
@VARIABLES@
  PATCHPROOF: $CI_PROJECT_DIR/.patchproof/sources
  PATCHPROOF_CACHE_DIR: $CI_PROJECT_DIR/.patchproof/cache
  PATCHPROOF_STATE_DIR: $CI_PROJECT_DIR/.patchproof/state

.shard:
  stage: run
  image: debian:bookworm
  needs:
    - pipeline: $PLAN_PIPELINE
      job: patchproof-plan
  cache:
    key: patchproof-kernels-$INDEX
    paths: [.patchproof/cache]
    when: always
  before_script:
    - apt-get update
    - apt-get install -y --no-install-recommends qemu-system-x86 bubblewrap ccache gcc libc6-dev make flex bison bc libelf-dev libssl-dev lz4 xz-utils git linux-source-6.12
  script:
    - .patchproof/patchproof run @ARGUMENTS@ --shard "$SHARD" --durations .patchproof/durations.json
  artifacts:
    when: always
    # The program too: what joins the runs gets the artifacts of the shards only.
    paths: [.patchproof/state/runs, .patchproof/patchproof]

report:
  stage: report
  image: debian:bookworm
  when: always
  cache:
    key: patchproof-history
    paths: [.patchproof/state/history.sqlite]
    when: always
  script:
    - .patchproof/patchproof merge .patchproof/state/runs/* --out .patchproof/merged --report html=patchproof.html --report junit=patchproof.xml && code=0 || code=$?
    # Takes the shards' runs into the history: the next split is balanced by them.
    - .patchproof/patchproof history > /dev/null
    - exit "$code"
  artifacts:
    when: always
    paths: [patchproof.html]
    reports:
      junit: patchproof.xml
"##;
