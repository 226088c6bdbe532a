//! The `wardroom` program.

fn main() -> std::process::ExitCode {
    wardroom::cli::main()
}
