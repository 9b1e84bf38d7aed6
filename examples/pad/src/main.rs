//! The `pad` program. Exit status: 0 stopped in order, 1 failed or cut requests off, 2 a bad setting.

use std::process::ExitCode;

use pad::log::{self, Level};
use pad::serve::{self, Ended};
use pad::settings::Settings;
use serde_json::json;

fn main() -> ExitCode {
    log::start();
    let settings = match Settings::from_variables(std::env::vars_os()) {
        Ok(settings) => settings,
        Err(error) => {
            log::line(Level::Error, "bad setting", json!({ "error": error.to_string() }));
            return ExitCode::from(2);
        }
    };
    assert!(!settings.faults.crash_at_start, "crashing at start, as src/faults.rs or PAD_CRASH_AT_START asks");
    match tokio::runtime::Runtime::new().and_then(|runtime| runtime.block_on(serve::run(&settings))) {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::CutOff) => ExitCode::FAILURE,
        Err(error) => {
            let address = settings.address.to_string();
            log::line(Level::Error, "can't serve", json!({ "address": address, "error": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}
