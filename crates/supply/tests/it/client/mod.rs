//! The client of registries, against a registry that other people wrote and against one that lies.

mod hostile;
pub(crate) mod peers;
pub(crate) mod script;

use std::time::Duration;

use prograde_supply::client::{Client, ClientOptions, Credential, Credentials, Patience, Secret};

/// A client that does not wait for long.
pub(crate) fn impatient(credentials: Credentials) -> Client {
    let patience = Patience {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(700),
        answer: Duration::from_secs(5),
        busy: Duration::from_secs(3),
    };
    Client::new(ClientOptions { credentials, patience, piece_bytes: 64 << 10, ..ClientOptions::default() })
}

pub(crate) fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic { username: username.to_owned(), password: Secret::new(password) }
}
