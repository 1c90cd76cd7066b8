//! The guest agent: PID 1 of a test machine, or run by hand. All of it is in [`guest_tests::agent`].

fn main() -> std::process::ExitCode {
    guest_tests::agent::main()
}
