//! Hears all that passes between a double and its clients.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Message, OpenApi, Violation};

/// A place where the vendor's server is known to differ from the vendor's file, and a double with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// Method and path template, as in [`Violation::operation`]. `*` at the end stands for any end.
    pub operation: &'static str,
    /// Whose message it is.
    pub message: Message,
    /// The answer's status; none: any, and a request's.
    pub status: Option<u16>,
    /// As in [`Violation::place`]; a segment `*` stands for any one.
    pub place: &'static str,
    /// As in [`Violation::rule`].
    pub rule: &'static str,
    /// How it is known.
    pub reason: &'static str,
}

impl Deviation {
    fn covers(&self, violation: &Violation) -> bool {
        let operation = match self.operation.strip_suffix('*') {
            Some(start) => violation.operation.starts_with(start),
            None => violation.operation == self.operation,
        };
        let (wanted, given) = (self.place.split('/'), violation.place.split('/'));
        let place = wanted.clone().count() == given.clone().count()
            && wanted
                .zip(given)
                .all(|(wanted, given)| wanted == "*" || wanted == given);
        operation
            && place
            && self.message == violation.message
            && self.status.is_none_or(|status| violation.status == Some(status))
            && self.rule == violation.rule
    }
}

/// A request and its answer.
#[derive(Clone)]
pub struct Exchange {
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub path: String,
    /// The request's content type.
    pub request_type: Option<String>,
    /// The request's body.
    pub request: Vec<u8>,
    /// The answer's status.
    pub status: u16,
    /// The answer's content type.
    pub response_type: Option<String>,
    /// The answer's body.
    pub response: Vec<u8>,
}

/// Without the bodies, which hold secrets.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.method, self.path, self.status)
    }
}

/// All exchanges so far, and what in them was not as the documents say.
#[derive(Debug)]
pub struct Audit {
    documents: Vec<OpenApi>,
    deviations: Vec<Deviation>,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    exchanges: Vec<Exchange>,
    violations: Vec<Violation>,
    used: BTreeSet<usize>,
}

impl Audit {
    /// Holds exchanges to the first of the documents that has a path for them.
    pub fn new(documents: Vec<OpenApi>, deviations: Vec<Deviation>) -> Self {
        Self {
            documents,
            deviations,
            heard: Mutex::default(),
        }
    }

    /// Checks an exchange and keeps it.
    pub fn hear(&self, exchange: Exchange) {
        let document = self
            .documents
            .iter()
            .find(|document| document.template(&exchange.path).is_some());
        let mut found = vec![];
        if let Some(document) = document.or(self.documents.first()) {
            let Exchange {
                method,
                path,
                request_type,
                response_type,
                ..
            } = &exchange;
            found = document.check_request(method, path, request_type.as_deref(), &exchange.request);
            // A request that the server refuses may be wrong: it is told of that.
            if matches!(exchange.status, 400..=499) {
                found.retain(|violation| violation.place == "path");
            }
            let (status, answer) = (exchange.status, &exchange.response);
            found.extend(document.check_response(method, path, status, response_type.as_deref(), answer));
        }
        let mut heard = self.heard();
        heard.exchanges.push(exchange);
        for violation in found {
            match self
                .deviations
                .iter()
                .position(|deviation| deviation.covers(&violation))
            {
                Some(known) => drop(heard.used.insert(known)),
                None => heard.violations.push(violation),
            }
        }
    }

    /// All exchanges so far, in the order in which they ended.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.heard().exchanges.clone()
    }

    /// Violations that no deviation covers.
    pub fn violations(&self) -> Vec<Violation> {
        self.heard().violations.clone()
    }

    /// Deviations that did not occur so far.
    pub fn unseen(&self) -> Vec<Deviation> {
        let heard = self.heard();
        let all = self.deviations.iter().enumerate();
        all.filter(|(number, _)| !heard.used.contains(number))
            .map(|(_, deviation)| *deviation)
            .collect()
    }

    /// Method and path template of a request, where a document has one.
    pub fn operation(&self, method: &str, path: &str) -> Option<String> {
        let mut documents = self.documents.iter();
        documents
            .find_map(|document| document.template(path))
            .map(|template| format!("{method} {template}"))
    }

    /// For the end of a test: something passed, and all of it was as the documents say.
    ///
    /// # Panics
    /// It was not; the text has every violation.
    pub fn assert_clean(&self) {
        let heard = self.heard();
        assert!(!heard.exchanges.is_empty(), "nothing passed");
        let lines: Vec<_> = heard.violations.iter().map(Violation::to_string).collect();
        assert!(
            lines.is_empty(),
            "not as the vendor's OpenAPI file says:\n{}",
            lines.join("\n")
        );
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
