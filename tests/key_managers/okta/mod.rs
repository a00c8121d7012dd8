//! What Okta does that nobody expects: each trap of its double by its number, as the driver meets it.
//!
//! The double lives in a test's own runtime: a test that waits for kubectl needs threads beside its own.

mod trap; // a client at an org, and what the org has of it
mod apps; // O1 to O8, O21, O24, O25
mod credentials; // O9 to O11, O22, O23, O26 to O28
mod login; // O12 to O20
mod team; // keys of a namespace with an org of its own
mod by_hand; // what somebody does in the Admin Console, and what keys say of it
mod stories; // what went wrong elsewhere
