//! What can happen to a request on its way.

use std::time::Duration;

use super::RequestInfo;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// The server answers with this status and does nothing.
    Refuse(u16),
    /// It never arrives; the client sees a broken connection.
    LoseRequest,
    /// It has its effect; the client sees a broken connection.
    LoseAnswer,
    /// It has its effect this much later, whoever is still alive then; the client sees a broken connection.
    Late(Duration),
    /// It has its effect after this time.
    Delay(Duration),
    /// It never arrives, and the client waits for ever: the process is about to die.
    Hang,
    /// It has its effect, and the client waits for ever: the process is about to die.
    ApplyAndHang,
}

/// Decides over the requests of one process, in their order.
pub trait Faults: Send + Sync {
    /// What happens to this one.
    fn decide(&self, request: &RequestInfo) -> Fault;

    /// This one arrives now, and its sender still waits for the answer.
    fn arrives(&self, _request: &RequestInfo) {}
}

/// Nothing ever happens.
#[derive(Clone, Copy, Debug)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn decide(&self, _: &RequestInfo) -> Fault {
        Fault::Pass
    }
}
