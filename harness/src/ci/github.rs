//! A workflow of GitHub Actions.

use super::Pipeline;

pub(super) fn workflow(pipeline: &Pipeline) -> String {
    TEMPLATE
        .replace("@CHECKOUT@\n", CHECKOUT)
        .replace("@HISTORY@\n", HISTORY)
        .replace("@MADE_BY@", &pipeline.made_by("github"))
        .replace("@VARIABLES@\n", &pipeline.variables("  "))
        .replace("@ARGUMENTS@", &pipeline.arguments())
        .replace("@SHARDS@", &pipeline.shards.to_string())
}

/// Steps: the repository, and beside it Patchproof's sources.
const CHECKOUT: &str = "      - uses: actions/checkout@v4
      - uses: actions/checkout@v4
        with:
          repository: ${{ vars.PATCHPROOF_REPO }}
          ref: ${{ vars.PATCHPROOF_REF }}
          path: .patchproof/sources
";

/// A step: how long cells took before, where that is known.
const HISTORY: &str = "      - name: Fetch the history of earlier runs
        uses: actions/cache/restore@v4
        with:
          path: .patchproof/state/history.sqlite
          key: patchproof-history-${{ github.run_id }}
          restore-keys: patchproof-history-
";

/// Three jobs: one builds patchproof and splits the matrix, one runs a shard each, one joins what they found.
const TEMPLATE: &str = r##"# Made by: @MADE_BY@
#
# Set the repository variable PATCHPROOF_REPO to OWNER/NAME of the repository that has Patchproof's sources
# (and PATCHPROOF_REF to a tag or commit of it). See docs/ci-github.md there.
name: patchproof
on:
  pull_request:
  workflow_dispatch:
permissions:
  contents: read
concurrency:
  group: patchproof-${{ github.ref }}
  cancel-in-progress: true
env:
@VARIABLES@
  PATCHPROOF: ${{ github.workspace }}/.patchproof/sources
  PATCHPROOF_CACHE_DIR: ${{ github.workspace }}/.patchproof/cache
  PATCHPROOF_STATE_DIR: ${{ github.workspace }}/.patchproof/state
jobs:
  plan:
    runs-on: ubuntu-24.04
    outputs:
      shards: ${{ steps.list.outputs.shards }}
    steps:
@CHECKOUT@
      - name: Build patchproof
        run: |
          cargo build --release --locked --manifest-path "$PATCHPROOF/Cargo.toml" -p harness
          cp "$PATCHPROOF/target/release/patchproof" .patchproof/patchproof
@HISTORY@
      - name: List the shards
        id: list
        run: |
          # All shards take these durations, so that all make the same split.
          .patchproof/patchproof history --durations > .patchproof/durations.json
          shards=$(.patchproof/patchproof ci github @ARGUMENTS@ --shards @SHARDS@ --durations .patchproof/durations.json --jobs)
          echo "shards=$shards" >> "$GITHUB_OUTPUT"
      - uses: actions/upload-artifact@v4
        with:
          name: patchproof
          path: |
            .patchproof/patchproof
            .patchproof/durations.json
          include-hidden-files: true
  shard:
    needs: plan
    runs-on: ubuntu-24.04
    timeout-minutes: 350
    strategy:
      fail-fast: false
      matrix: ${{ fromJSON(needs.plan.outputs.shards) }}
    steps:
@CHECKOUT@
      - uses: actions/download-artifact@v4
        with:
          name: patchproof
          path: .patchproof
      - name: Install what builds and boots kernels
        run: |
          sudo apt-get update
          sudo apt-get install -y --no-install-recommends qemu-system-x86 bubblewrap ccache gcc libc6-dev make flex bison bc libelf-dev libssl-dev lz4 xz-utils git
          # Ubuntu forbids the sandbox what it is made of; /dev/kvm is there, but not for everybody.
          sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0
          sudo chmod 666 /dev/kvm || true
          chmod +x .patchproof/patchproof
      - name: Fetch kernels that are built
        uses: actions/cache@v4
        with:
          path: .patchproof/cache
          key: patchproof-kernels-${{ matrix.index }}-${{ github.run_id }}
          restore-keys: |
            patchproof-kernels-${{ matrix.index }}-
            patchproof-kernels-
      - name: Run shard ${{ matrix.shard }}
        env:
          SHARD: ${{ matrix.shard }}
        run: |
          .patchproof/patchproof run @ARGUMENTS@ --shard "$SHARD" --durations .patchproof/durations.json --time-budget 330min
      - name: Pack the run
        if: always()
        run: |
          tar -C .patchproof/state/runs -czf .patchproof/run.tar.gz .
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: run-${{ matrix.index }}
          path: .patchproof/run.tar.gz
          include-hidden-files: true
  report:
    needs: [plan, shard]
    if: always() && needs.plan.result == 'success'
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/download-artifact@v4
        with:
          path: .patchproof/artifacts
@HISTORY@
      - name: Join the runs
        run: |
          mv .patchproof/artifacts/patchproof/patchproof .patchproof/patchproof
          chmod +x .patchproof/patchproof
          mkdir -p .patchproof/state/runs
          for packed in .patchproof/artifacts/run-*/run.tar.gz; do
            tar -C .patchproof/state/runs -xzf "$packed"
          done
          # Exit 3 where a shard is missing; the reports are written all the same.
          .patchproof/patchproof merge .patchproof/state/runs/* --out .patchproof/merged --report html=patchproof.html --report junit=patchproof.xml && code=0 || code=$?
          .patchproof/patchproof report .patchproof/merged --format github >> "$GITHUB_STEP_SUMMARY"
          .patchproof/patchproof report .patchproof/merged --format annotations
          # Takes the shards' runs into the history: the next split is balanced by them.
          .patchproof/patchproof history > /dev/null
          exit "$code"
      - uses: actions/cache/save@v4
        if: always()
        with:
          path: .patchproof/state/history.sqlite
          key: patchproof-history-${{ github.run_id }}
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: report
          path: |
            patchproof.html
            patchproof.xml
"##;
