//! Appkeys.
