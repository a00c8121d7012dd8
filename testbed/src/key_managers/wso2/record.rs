//! What passed: every request, and what became of it. And what is to go wrong on the way.

use std::fmt;

use serde_json::Value;

use super::Call;
use crate::key_managers::double::Ask;

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never arrives; the client sees a broken connection.
    LoseRequest,
    /// It has its effect; the client sees a broken connection.
    LoseAnswer,
    /// It gets this status, and has no effect: 500 with code 900967, or another one with its own number as code.
    Refuse(u16),
    /// It never arrives, and the client waits.
    Hang,
    /// generate-keys only: the server dies when the client is made and not recorded.
    DieBeforeRecording,
}

/// A request, and its answer.
#[derive(Clone, PartialEq)]
pub struct Record {
    /// What it was; none is a path that this server does not have.
    pub call: Option<Call>,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query.
    pub query: Vec<(String, String)>,
    /// Who asked, where the credentials were good.
    pub user: Option<String>,
    /// The JSON body.
    pub request: Option<Value>,
    /// The body of a form.
    pub form: Vec<(String, String)>,
    /// The status; none if nothing was answered.
    pub status: Option<u16>,
    /// The body of the answer.
    pub answer: Option<Value>,
    /// What went wrong on the way.
    pub fault: Option<Fault>,
}

/// Without the bodies, which hold secrets.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            path,
            status,
            fault,
            ..
        } = self;
        write!(f, "{method} {path}: {status:?} {fault:?}")
    }
}

impl Record {
    /// A request without an answer yet.
    pub(super) fn new(call: Option<Call>, ask: &Ask, fault: Option<Fault>) -> Self {
        let request = serde_json::from_slice(&ask.body).ok();
        let form = if request.is_none() { ask.form() } else { vec![] };
        Self {
            call,
            method: ask.method.clone(),
            path: ask.path.clone(),
            query: ask.query.clone(),
            user: None,
            request,
            form,
            status: None,
            answer: None,
            fault,
        }
    }
}
