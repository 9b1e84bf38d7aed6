//! `prograde serve`: the server in the foreground.

/// Run the server in the foreground
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {}
