//! Where Okta differs from its own OpenAPI files, and the double with it. A test uses each.

use crate::openapi::{Deviation, Message};

const STATUS: Deviation = Deviation {
    operation: "*",
    message: Message::Response,
    status: None,
    place: "status",
    rule: "undocumented",
    reason: "",
};

/// All of them.
pub const DEVIATIONS: [Deviation; 14] = [
    Deviation {
        operation: "*",
        status: Some(500),
        reason: "the files list no server errors; the error catalogues have E0000009 and `server_error`",
        ..STATUS
    },
    Deviation {
        operation: "*",
        status: Some(503),
        reason: "the files list no server errors; the error catalogue has E0000010, read-only mode",
        ..STATUS
    },
    Deviation {
        operation: "*",
        status: Some(401),
        reason: "operations on apps list no 401; the error catalogue has E0000011 for a token that is not valid",
        ..STATUS
    },
    Deviation {
        operation: "GET /api/v1/apps",
        status: Some(400),
        reason: "the list has no 400; the error catalogue has E0000001 and E0000031 for parameters that are not valid",
        ..STATUS
    },
    Deviation {
        operation: "GET /api/v1/apps/{appId}",
        status: Some(400),
        reason: "no 400 is listed; the OAuth error catalogue has it for requests whose DPoP proof is missing or wrong",
        ..STATUS
    },
    Deviation {
        operation: "POST /api/v1/apps/{appId}/lifecycle/activate",
        status: Some(400),
        reason: "no 400 is listed; a label is unique among active apps, so it can be taken when an app is activated",
        ..STATUS
    },
    Deviation {
        operation: "POST /api/v1/apps",
        status: Some(404),
        reason: "the error catalogue has 404 for E0000012, unsupported media type",
        ..STATUS
    },
    Deviation {
        operation: "POST /api/v1/apps/{appId}/credentials/secrets",
        status: Some(404),
        reason: "no 404 is listed for a new secret, though the app may not exist",
        ..STATUS
    },
    Deviation {
        operation: "POST /api/v1/apps/{appId}/credentials/jwks",
        status: Some(404),
        reason: "no 404 is listed for a new key, though the app may not exist",
        ..STATUS
    },
    Deviation {
        operation: "POST /oauth2/{authorizationServerId}/v1/token",
        status: Some(404),
        reason: "no 404 is listed, though the authorization server may not exist",
        ..STATUS
    },
    Deviation {
        operation: "GET /api/v1/apps/{appId}/credentials/jwks",
        message: Message::Response,
        status: Some(200),
        place: "",
        rule: "type",
        reason: "the schema is an array, the file's own example an object with `jwks.keys`, and Okta's own client reads an object with `keys`",
    },
    Deviation {
        operation: "POST /oauth2/{authorizationServerId}/v1/token",
        message: Message::Request,
        status: None,
        place: "/scope",
        rule: "required",
        reason: "`scope` is not required: without it a client gets the default scopes (guide on authorization servers)",
    },
    Deviation {
        operation: "POST /oauth2/v1/token",
        message: Message::Response,
        status: Some(200),
        place: "/token_type",
        rule: "enum",
        reason: "the file names Bearer and N_A only; the guide on DPoP has answers with DPoP",
    },
    Deviation {
        operation: "GET /.well-known/oauth-authorization-server/oauth2/*",
        message: Message::Request,
        status: None,
        place: "path",
        rule: "undocumented",
        reason: "the form of RFC 8414, which Okta's page on authorization servers tells of",
    },
];
