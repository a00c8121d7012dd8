//! Any server with dynamic client registration (RFC 7591) and, where it has that, management (RFC 7592): it chooses ids and
//! secrets, and what it keeps of what is asked for is its choice too.

mod driver;
mod initial_token;
mod metadata;
mod open;
mod registrar;
#[cfg(test)]
mod tests;

pub(super) use open::open;
