//! Where the server is known to differ from its OpenAPI files, and so do the double and its clients.

use crate::openapi::{Deviation, Message};

/// An answer with a status that the file does not have.
const fn status(operation: &'static str, status: u16, reason: &'static str) -> Deviation {
    Deviation {
        operation,
        message: Message::Response,
        status: Some(status),
        place: "status",
        rule: "undocumented",
        reason,
    }
}

/// An answer without the body that the file has.
const fn empty(operation: &'static str, status: u16, reason: &'static str) -> Deviation {
    Deviation {
        operation,
        message: Message::Response,
        status: Some(status),
        place: "",
        rule: "missing",
        reason,
    }
}

/// A value of another type than the file has.
const fn typed(message: Message, operation: &'static str, place: &'static str, reason: &'static str) -> Deviation {
    Deviation {
        operation,
        message,
        status: None,
        place,
        rule: "type",
        reason,
    }
}

const NULL: &str = "what is not set is a null; the file knows no nulls";
const PARTIAL: &str = "a key that waits, leaked or was refused has nulls for what it does not have";
const SECRET: &str = "a secret that cannot be shown is a null";
const VALUES: &str = "the file types the values as objects; strings and numbers are sent";

/// All of them.
pub(super) const DEVIATIONS: &[Deviation] = &[
    // Statuses.
    status(
        "*",
        401,
        "old tokens and missing scopes; the file has it for the calls of 4.7 only",
    ),
    status(
        "*",
        403,
        "somebody else's application, and a restricted key manager; the file has it for few calls",
    ),
    status(
        "*",
        409,
        "names and keys that are taken, and work flows that are open; the file has it for one call",
    ),
    status(
        "*",
        500,
        "every failure without a code of its own; the file has it for the calls of 4.7 only",
    ),
    status(
        "DELETE /applications/{applicationId}",
        201,
        "waits for approval; the file says 202",
    ),
    status(
        "DELETE /applications/{applicationId}",
        400,
        "waits for approval already",
    ),
    status(
        "DELETE /applications/{applicationId}/oauth-keys/{keyMappingId}",
        405,
        "not there before 4.3",
    ),
    status(
        "POST /applications/{applicationId}/oauth-keys/{keyMappingId}/generate-secret",
        404,
        "not there before 4.7, unless an update brought it",
    ),
    status(
        "POST /applications/{applicationId}/oauth-keys/{keyMappingId}/regenerate-secret",
        204,
        "the key manager cannot be reached",
    ),
    status("POST /register", 400, "no owner, or another one than the user"),
    // An empty answer.
    empty(
        "GET /applications/{applicationId}/oauth-keys/{keyMappingId}",
        200,
        "swallowed failures of the key manager",
    ),
    // Registration: the file types every field as a string.
    typed(Message::Request, "POST /register", "/saasApp", "a boolean on the wire"),
    typed(
        Message::Response,
        "POST /register",
        "/isSaasApplication",
        "a boolean on the wire",
    ),
    // Applications.
    typed(Message::Response, "*", "/description", NULL),
    typed(Message::Response, "GET /applications", "/list/*/description", NULL),
    // Keys.
    typed(
        Message::Request,
        "POST /applications/{applicationId}/generate-keys",
        "/validityTime",
        "the vendor's own client sends a number; servers take both",
    ),
    typed(Message::Response, "*", "/groupId", NULL),
    typed(Message::Response, "*", "/list/*/groupId", NULL),
    typed(Message::Response, "*", "/callbackUrl", NULL),
    typed(Message::Response, "*", "/list/*/callbackUrl", NULL),
    typed(Message::Response, "*", "/consumerKey", PARTIAL),
    typed(Message::Response, "*", "/list/*/consumerKey", PARTIAL),
    typed(Message::Response, "*", "/supportedGrantTypes", PARTIAL),
    typed(Message::Response, "*", "/list/*/supportedGrantTypes", PARTIAL),
    typed(Message::Response, "*", "/consumerSecret", SECRET),
    typed(Message::Response, "*", "/list/*/consumerSecret", SECRET),
    typed(
        Message::Response,
        "PUT /applications/{applicationId}/oauth-keys/{keyMappingId}",
        "/keyMappingId",
        "the body's is echoed, a null where it had none",
    ),
    typed(
        Message::Response,
        "PUT /applications/{applicationId}/oauth-keys/{keyMappingId}",
        "/keyManager",
        "the body's is echoed, a null where it had none",
    ),
    // Secrets.
    typed(Message::Request, "*", "/additionalProperties/description", VALUES),
    typed(Message::Request, "*", "/additionalProperties/expiresIn", VALUES),
    typed(Message::Response, "*", "/additionalProperties/description", VALUES),
    typed(Message::Response, "*", "/additionalProperties/expiresAt", VALUES),
    typed(
        Message::Response,
        "*",
        "/list/*/additionalProperties/description",
        VALUES,
    ),
    typed(Message::Response, "*", "/list/*/additionalProperties/expiresAt", VALUES),
    // Key managers, policies, API keys.
    typed(Message::Response, "GET /key-managers", "/list/*/alias", NULL),
    typed(
        Message::Response,
        "GET /key-managers",
        "/list/*/applicationConfiguration/*/default",
        VALUES,
    ),
    typed(
        Message::Response,
        "GET /throttling-policies/{policyLevel}",
        "/list/*/dataUnit",
        NULL,
    ),
    typed(
        Message::Response,
        "GET /throttling-policies/{policyLevel}",
        "/list/*/rateLimitTimeUnit",
        NULL,
    ),
    typed(
        Message::Response,
        "GET /applications/{applicationId}/api-keys/{keyType}",
        "",
        "a bare array; the file says an object with a list",
    ),
];
