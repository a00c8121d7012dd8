//! The one test binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support; // what several tests need: a cluster, the operator as a process, a workload

mod simulation; // the reconciler against servers in memory, with faults

mod operator; // the operator as a process against a real API server, from kubectl apply to a token that works
