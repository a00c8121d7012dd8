//! WSO2, at its double: what its traps do to the driver, what wrong input gets, and what a call that is lost leaves.

mod bench; // a double and a client at it
mod traps; // W1 to W39, those that concern keys and applications
mod administrators; // those that come from what administrators set
mod secrets; // those that concern secrets
mod others; // those of key managers behind WSO2
mod refusals; // what wrong input gets, with WSO2's own numbers
mod lost; // each call of each verb lost, before and after its effect
mod stories; // what went wrong elsewhere
mod docs; // what its page tells people to do there
