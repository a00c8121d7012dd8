//! The one test binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support; // what several tests need: a cluster, the operator as a process, a workload

mod leaks; // what was issued, looked for in all that the operator says

mod simulation; // the reconciler against servers in memory, with faults

mod crds; // the custom resource definitions

mod validation; // what the API server itself accepts and refuses
mod validation_key_managers; // the same, of key managers elsewhere
mod validation_wso2; // the same, of WSO2 and what only it has
mod validation_secrets; // the same, of presets and templates of the Secret
mod validation_clients; // the same, of clients that need one: for logins, with private keys, adopted

mod bad_input; // a condition for each kind of wrong input, and all is well once the cause is gone

mod consumers; // those who read Secrets, each with its own loader
mod examples; // what people copy works: examples and the README's commands
mod examples_doubles; // those for key managers that nobody can run here
mod docs; // what docs say is so

mod observability; // what people and their tools see: metrics, health, logs
mod traces; // the same, of a pass over an object, from the watch event to the calls that it makes
mod release; // the image and the workflow that publishes it agree with the chart
mod chart; // the Helm chart, and the operator as people install it
mod operator; // the operator as a process against a real API server, from kubectl apply to a token that works
mod counts; // what a key costs: writes, reads and calls
mod resident; // the resident key manager over the wire
mod key_managers; // every key manager for real
mod crash; // nothing is lost: kill -9, a key that comes back, a cluster that is restored
