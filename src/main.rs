//! The binary: picks the crypto provider and hands over to the command line. Everything else is in the library.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    platform_gate::cli::main()
}
