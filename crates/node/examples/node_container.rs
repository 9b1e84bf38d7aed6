//! What `prograde __container` is, alone: for the tests, whose own binary has threads.

fn main() -> std::process::ExitCode {
    prograde_confine::helper::main()
}
