//! Every key manager for real: one contract for all drivers, and the operator's promises at each server.

pub(crate) mod beds; // the servers, and how each is opened
mod team; // a namespace with a key manager of its own
mod recorded; // what the simulation takes for granted of each server
mod contract; // what every driver does, save where a capability says otherwise
mod prober; // a workload that logs in all the time
mod life; // a key from its making to its end at each server
mod moves; // from one server to another and back
mod kills; // kill -9 with real servers
mod outage; // a server that is away for a minute
mod kinds; // clients of every kind: private keys, public clients, apps with logins
mod departure; // a namespace goes with its own key manager
mod neighbours; // one that hangs delays no key of another
mod stories; // what went wrong elsewhere
mod keycloak; // what Keycloak does that nobody expects, and what only it can do
mod okta; // the same of Okta's double
mod wso2; // WSO2's traps by their numbers, at its double
mod silence; // nothing of it is said
mod refusals; // what wrong input gets, and what a server that answers oddly
mod adoption; // clients that somebody made by hand
