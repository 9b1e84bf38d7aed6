//! What `prograde __container` is, alone: for the tests, which start containers by it.

fn main() -> std::process::ExitCode {
    prograde_confine::helper::main()
}
