//! The validator itself, on a small document with every trap of the dialect.

use serde_json::{Value, json};

use super::{Audit, Deviation, Exchange, Message, OpenApi, contracts, cut};

const DOCUMENT: &str = r##"
openapi: 3.0.3
info: {title: Shop, version: "1"}
servers: [{url: "https://shop.example/api/v1/"}]
paths:
  /orders:
    post:
      parameters:
        - {name: count, in: query, schema: {type: integer, maximum: 9}}
        - {name: dry, in: query, required: true, schema: {type: boolean}}
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}
      responses:
        "201": {description: made, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
        4XX: {$ref: "#/components/responses/Refused"}
  /orders/{id}:
    delete: {responses: {"204": {description: gone}}}
  /orders/latest:
    get: {responses: {"200": {description: text, content: {text/plain: {schema: {type: string}}}}}}
  /token:
    post:
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema:
              type: object
              properties: {grant: {type: string, enum: [a, b, a]}, life: {type: integer}}
      responses: {"200": {description: "", content: {application/json: {schema: {type: object}}}}}
  /animals:
    post:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Animal"}}}}
      responses: {"204": {description: ""}}
components:
  responses:
    Refused:
      description: no
      content: {application/json: {schema: {type: object, required: [code], properties: {code: {type: string}}}}}
  schemas:
    Order:
      oneOf: [{$ref: "#/components/schemas/Book"}, {$ref: "#/components/schemas/Shoe"}]
      discriminator: {propertyName: kind, mapping: {book: "#/components/schemas/Book"}}
    Book:
      type: object
      required: [id, kind, title]
      properties:
        id: {type: string, readOnly: true}
        kind: {type: string}
        title: {type: string, example: {x-thing: 5}}
        note: {type: string, enum: [short, short], nullable: true}
        nullable: {type: string}
        pages: {type: integer, minimum: 0, exclusiveMinimum: true}
        parts: {nullable: true, allOf: [{$ref: "#/components/schemas/Parts"}]}
        x-made: {type: string, format: date-time}
    Shoe: {type: object, required: [size], properties: {kind: {type: string}, size: {type: integer}}}
    Parts: {type: array, items: {type: string}}
    Animal:
      type: object
      properties: {kind: {type: string}, name: {type: string}}
      discriminator: {propertyName: kind, mapping: {cat: "#/components/schemas/Cat", dog: "#/components/schemas/Dog"}}
    Cat: {allOf: [{$ref: "#/components/schemas/Animal"}, {type: object, required: [mood]}]}
    Dog: {allOf: [{$ref: "#/components/schemas/Animal"}]}
"##;

fn api() -> OpenApi {
    OpenApi::read(DOCUMENT).unwrap()
}

/// Places and rules of what is wrong with an order that is asked for.
fn wrong(order: &Value) -> Vec<(String, String)> {
    let found = api().check_request(
        "POST",
        "/api/v1/orders?dry=true",
        Some("application/json; charset=utf-8"),
        &serde_json::to_vec(order).unwrap(),
    );
    found
        .into_iter()
        .map(|violation| (violation.place, violation.rule))
        .collect()
}

#[track_caller]
fn assert_wrong(order: &Value, place: &str, rule: &str) {
    assert_eq!(wrong(order), [(place.to_owned(), rule.to_owned())]);
}

#[test]
fn good_bodies_pass() {
    let book = json!({"kind": "book", "title": "T", "note": null, "parts": null, "pages": 1, "unknown": 1});
    assert_eq!(wrong(&book), []);
    let shoe = json!({"kind": "Shoe", "size": 5, "title": 5});
    assert_eq!(wrong(&shoe), [], "the alternative that is not named asks for nothing");
}

#[test]
fn each_rule_of_a_schema_is_enforced() {
    let book = |member: &str, value: Value| {
        let mut book = json!({"kind": "book", "title": "T"});
        book[member] = value;
        book
    };
    assert_wrong(&book("title", json!(5)), "/title", "type");
    assert_wrong(&json!({"kind": "book"}), "/title", "required");
    assert_wrong(&json!({"title": "T"}), "/kind", "required");
    assert_wrong(&book("kind", json!("sock")), "/kind", "enum");
    assert_wrong(&json!({"kind": "Shoe"}), "/size", "required");
    assert_wrong(&book("note", json!("long")), "/note", "enum");
    assert_wrong(&book("nullable", json!(null)), "/nullable", "type");
    assert_wrong(&book("pages", json!(0)), "/pages", "exclusiveMinimum");
    assert_wrong(&book("parts", json!([5])), "/parts", "anyOf");
    assert_wrong(&book("x-made", json!("yesterday")), "/x-made", "format");
}

#[test]
fn an_answer_is_held_to_more_than_a_request() {
    let check = |status, kind, body: &str| {
        let found = api().check_response("POST", "/api/v1/orders", status, kind, body.as_bytes());
        found
            .iter()
            .map(|found| format!("{}:{}", found.place, found.rule))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let json = Some("application/json");
    assert_eq!(check(201, json, r#"{"kind":"book","title":"T","id":"1"}"#), "");
    assert_eq!(
        check(201, json, r#"{"kind":"book","title":"T"}"#),
        "/id:required",
        "read-only is the server's duty"
    );
    assert_eq!(check(200, json, "{}"), "status:undocumented");
    assert_eq!(check(409, json, r#"{"code":"taken"}"#), "");
    assert_eq!(check(409, json, "{}"), "/code:required");
    assert_eq!(check(201, Some("text/html"), "<p>"), "content-type:undocumented");
    assert_eq!(check(201, None, ""), ":missing");
    assert_eq!(check(201, json, "{"), ":unreadable");
    let gone = api().check_response("DELETE", "/api/v1/orders/5", 204, None, b"x");
    assert_eq!(
        gone[0].to_string(),
        "DELETE /orders/{id} 204, Response at \"\" (undocumented): the document has no body here"
    );
}

#[test]
fn what_the_document_does_not_have_is_told() {
    let check = |method, path, kind, body: &str| {
        let found = api().check_request(method, path, kind, body.as_bytes());
        found
            .iter()
            .map(|found| format!("{}:{}", found.place, found.rule))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let order = r#"{"kind":"Shoe","size":5}"#;
    let json = Some("application/json");
    assert_eq!(check("POST", "/api/v1/basket", json, order), "path:undocumented");
    assert_eq!(
        check("POST", "/orders?dry=true", json, order),
        "path:undocumented",
        "the base path belongs to it"
    );
    assert_eq!(check("PUT", "/api/v1/orders", json, order), "path:undocumented");
    assert_eq!(check("POST", "/api/v1/orders", json, order), "query/dry:missing");
    assert_eq!(
        check("POST", "/api/v1/orders?dry=true&fast=1", json, order),
        "query/fast:undocumented"
    );
    assert_eq!(check("POST", "/api/v1/orders?dry=yes", json, order), "query/dry:type");
    assert_eq!(
        check("POST", "/api/v1/orders?dry=true&count=10", json, order),
        "query/count:maximum"
    );
    assert_eq!(check("POST", "/api/v1/orders?dry=true", json, ""), ":missing");
    assert_eq!(
        check("POST", "/api/v1/orders?dry=true", Some("text/plain"), order),
        "content-type:undocumented"
    );
    assert_eq!(
        check("GET", "/api/v1/orders/latest", None, ""),
        "",
        "not taken for an id"
    );
    let form = Some("application/x-www-form-urlencoded");
    assert_eq!(check("POST", "/api/v1/token", form, "grant=b&life=5"), "");
    assert_eq!(
        check("POST", "/api/v1/token", form, "grant=c&life=long"),
        "/grant:enum /life:type"
    );
    let moved = api().with_base("/v2/");
    assert_eq!(moved.check_request("GET", "/v2/orders/latest", None, b""), []);
}

#[test]
fn a_base_type_stands_for_the_derived_one_that_is_named() {
    let check = |body: Value| {
        let body = serde_json::to_vec(&body).unwrap();
        let found = api().check_request("POST", "/api/v1/animals", Some("application/json"), &body);
        let found = found.iter().map(|found| format!("{}:{}", found.place, found.rule));
        found.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(check(json!({"kind": "dog"})), "");
    assert_eq!(check(json!({"kind": "cat"})), "/mood:required");
    assert_eq!(
        check(json!({"kind": "dog", "name": 5})),
        "/name:type",
        "what the base says holds too"
    );
    assert_eq!(check(json!({"kind": "cow"})), "/kind:enum");
}

#[test]
fn a_schema_that_cannot_be_compiled_is_seen() {
    let broken = DOCUMENT.replace("#/components/schemas/Parts", "#/components/schemas/Nowhere");
    let api = OpenApi::read(&broken).unwrap();
    let found = api.check_request("POST", "/api/v1/orders?dry=true", Some("application/json"), b"{}");
    assert_eq!(found[0].rule, "unreadable");
    assert!(
        found[0].text.contains("compile the schema of POST /orders"),
        "{}",
        found[0].text
    );
}

#[test]
fn deviations_are_declared_and_seen() {
    let status = Deviation {
        operation: "DELETE /orders/*",
        message: Message::Response,
        status: Some(200),
        place: "status",
        rule: "undocumented",
        reason: "the server was seen to answer so",
    };
    let place = Deviation {
        operation: "POST /orders",
        status: None,
        place: "/*/title",
        rule: "type",
        ..status
    };
    let audit = Audit::new(vec![api()], vec![status, place]);
    let exchange = |method: &str, path: &str, status| Exchange {
        method: method.to_owned(),
        path: path.to_owned(),
        request_type: None,
        request: vec![],
        status,
        response_type: None,
        response: vec![],
    };
    audit.hear(exchange("DELETE", "/api/v1/orders/1", 200));
    audit.assert_clean();
    assert_eq!(audit.unseen(), [place]);
    audit.hear(exchange("DELETE", "/api/v1/orders/1", 202));
    audit.hear(exchange("POST", "/api/v1/orders", 400));
    let found: Vec<_> = audit
        .violations()
        .iter()
        .map(|found| format!("{:?} {}", found.status, found.rule))
        .collect();
    let refused = "a refused request may be wrong, its answer may not";
    assert_eq!(found, ["Some(202) undocumented", "Some(400) missing"], "{refused}");
    assert_eq!(audit.exchanges().len(), 3);
}

#[test]
fn a_cut_document_has_what_its_paths_need() {
    let cut = cut(DOCUMENT, &["/orders".to_owned()]).unwrap();
    let small = OpenApi::read(&cut).unwrap();
    assert!(small.template("/api/v1/token").is_none() && !cut.contains("x-thing") && cut.contains("x-made"));
    let found = small.check_request(
        "POST",
        "/api/v1/orders?dry=true",
        Some("application/json"),
        br#"{"kind":"book","title":5}"#,
    );
    assert_eq!(found.len(), 1);
    assert!(super::cut(DOCUMENT, &["/nothing*".to_owned()]).is_err());
}

/// A schema that cannot be compiled checks nothing, so each of the vendors' must be.
#[test]
fn every_schema_of_every_vendor_compiles() {
    let files = [
        (contracts::OKTA_MANAGEMENT, 40),
        (contracts::OKTA_OAUTH, 20),
        (contracts::WSO2_DEVPORTAL, 100),
        (contracts::WSO2_DCR, 3),
    ];
    for (file, least) in files {
        let api = OpenApi::read(file).unwrap();
        let mut schemas = vec![];
        contents(&api.document["paths"], "", &mut schemas);
        contents(&api.document["components"]["responses"], "", &mut schemas);
        assert!(
            schemas.len() >= least,
            "{} of {}",
            schemas.len(),
            api.document["info"]["title"]
        );
        for (place, schema) in schemas {
            for message in [Message::Request, Message::Response] {
                api.validator(&place, &schema, message).unwrap();
            }
        }
    }
}

/// All schemas of bodies, and where they are.
fn contents(value: &Value, place: &str, found: &mut Vec<(String, Value)>) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        let place = format!("{place}/{name}");
        match value.get("schema") {
            Some(schema) => found.push((place, schema.clone())),
            None => contents(value, &place, found),
        }
    }
}
