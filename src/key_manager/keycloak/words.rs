//! What Keycloak's token endpoint means by its words.

/// Whether it says that a client's credential is wrong, or the client unknown. `unauthorized_client` is that too, unless its
/// description is about the grant: then the secret was not even looked at, or is right. A text of another version is taken for a
/// wrong secret.
pub(super) fn refuse_credential(error: &str, description: &str) -> bool {
    let grant_is_off = ["Client not enabled", "Public client not allowed"];
    match error {
        "invalid_client" => true,
        "unauthorized_client" => !grant_is_off.iter().any(|text| description.starts_with(text)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_secret_is_told_from_a_grant_that_is_off() {
        for (error, description, refused) in [
            ("invalid_client", "", true),
            (
                "unauthorized_client",
                "Invalid client or Invalid client credentials",
                true,
            ),
            (
                "unauthorized_client",
                "Client not enabled to retrieve service account",
                false,
            ),
            ("unauthorized_client", "Public client not allowed to", false),
            ("invalid_scope", "", false),
        ] {
            assert_eq!(refuse_credential(error, description), refused, "{error} {description}");
        }
    }
}
