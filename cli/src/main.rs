//! The command `bindwright`. Everything is in the library, which the packages of other languages call too.

use std::process::ExitCode;

fn main() -> ExitCode {
    let code = bindwright_cli::run(std::env::args_os().skip(1));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
