//! The `patchproof` binary.

fn main() -> std::process::ExitCode {
    // Must come first: a re-executed keeper may not have started any thread.
    if let Some(code) = harness::host::reexec() {
        return code;
    }
    harness::cli::main()
}
