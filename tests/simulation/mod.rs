//! The real reconciler against servers in memory, with a process that dies, answers that get lost and writes that come late.
//!
//! Each run has a paused clock, so an hour passes in microseconds, and random choices from a seed that a failure prints.

pub(crate) mod recorded; // what was found out about a real server
pub(crate) mod profile; // kinds of key manager, most of them recorded
mod client; // a client as a simulated server has it
mod server; // key managers of every profile
mod applications; // in which some of them keep clients
mod servers; // those of one run
mod driver; // a process's way to them
mod schedule; // what happens to requests and calls on their way
mod bench; // servers, clock and process of one run
mod process; // the operator's process in a run
mod kinds; // keys whose clients hold secrets, private keys, or nothing
mod runs; // runs side by side
mod record; // what processes ask of the servers, and rules over it
mod invariants; // what must hold after each write, whatever happened

mod crashes; // one fault at every single write of every story
mod late; // a publication that comes late while what follows is slow
mod shutdown; // a process that is told to stop
mod tombstones; // a key that goes although its key manager gives no answer
mod seeds; // many faults at random
mod stories; // ways in which operators of this kind have failed
