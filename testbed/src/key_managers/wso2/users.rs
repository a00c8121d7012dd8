//! Users, their roles, and the scopes that roles open (the server's default configuration).

/// The tenant of users who name none.
pub const SUPER_TENANT: &str = "carbon.super";

/// A user. The name carries the tenant, unless it is the first one: `alice`, `bob@team.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The password.
    pub password: String,
    /// Roles, as `admin` or `Internal/subscriber`.
    pub roles: Vec<String>,
    /// Whether the account is locked.
    pub locked: bool,
    /// Groups, with which applications can be shared.
    pub groups: Vec<String>,
}

impl User {
    /// A user with these roles.
    pub fn new(password: &str, roles: &[&str]) -> Self {
        Self {
            password: password.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            locked: false,
            groups: vec![],
        }
    }

    /// Whether this logs the user in.
    pub(super) fn logs_in(&self, password: &str) -> bool {
        !self.locked && self.password == password
    }

    /// Whether the user may have a scope. One that no role is configured for is granted as asked.
    pub(super) fn may_have(&self, scope: &str) -> bool {
        let roles: &[&str] = match scope {
            "apim:subscribe" | "apim:app_manage" | "apim:sub_manage" => {
                &["admin", "Internal/subscriber", "Internal/devops"]
            }
            "apim:api_key" | "apim:store_settings" => &["admin", "Internal/subscriber"],
            "apim:app_import_export" => &["admin", "Internal/devops"],
            _ if scope.starts_with("apim:") => &["admin"],
            _ => return true,
        };
        self.roles.iter().any(|role| roles.contains(&role.as_str()))
    }

    /// The scopes that are left of those asked for: the others are dropped without a word.
    pub(super) fn left_of(&self, asked: &str) -> String {
        let left: Vec<_> = asked
            .split(' ')
            .filter(|scope| !scope.is_empty() && self.may_have(scope))
            .collect();
        if left.is_empty() {
            "default".to_owned()
        } else {
            left.join(" ")
        }
    }
}

/// The tenant of a user.
pub(super) fn tenant(user: &str) -> &str {
    user.rsplit_once('@').map_or(SUPER_TENANT, |(_, tenant)| tenant)
}

/// A user's name without the tenant.
pub(super) fn local(user: &str) -> &str {
    user.rsplit_once('@').map_or(user, |(local, _)| local)
}
