//! Parts of the schema that several fields share.

use schemars::Schema;

/// The name of an object (RFC 1123 subdomain): what Kubernetes would refuse later must not be asked for.
pub(super) const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A scope (RFC 6749 section 3.3): visible characters without `"` and `\`.
pub(super) const SCOPE: &str = r"^[!#-\[\]-~]+$";

/// A resource (RFC 8707 section 2): an absolute URI without fragment.
pub(super) const RESOURCE: &str = r"^[a-zA-Z][-+.a-zA-Z0-9]*:[^\s#]+$";

/// A pattern of redirect URIs: an absolute URI without fragment and without `*` before its path.
pub(super) const REDIRECT_PATTERN: &str =
    r"^[a-zA-Z][-+.a-zA-Z0-9]*:(//[^\s/?#*]*([/?][^\s#]*)?|/([^\s/#][^\s#]*)?|[?][^\s#]*|[^\s/?#*][^\s#]*)?$";

/// Bounds a map and its values: without bounds the API server cannot tell what a rule over them costs.
pub(super) fn bounded<const MAX: u32>(schema: &mut Schema) {
    schema.insert("maxProperties".to_owned(), 32.into());
    schema.insert(
        "additionalProperties".to_owned(),
        serde_json::json!({ "type": "string", "maxLength": MAX }),
    );
}

/// The API server writes no default: an object stays as somebody wrote it.
pub(super) fn without_default(schema: &mut Schema) {
    schema.remove("default");
}

/// An optional enum's own words would take the place of those of the field, which say what it is where it is absent.
pub(super) fn without_description(schema: &mut Schema) {
    schema.remove("description");
}
