//! Who is calling the Developer Portal: bearer tokens and Basic, scopes, tenants.

use super::{
    Call, State, Switch,
    request::Credentials,
    users::{SUPER_TENANT, tenant},
};
use crate::key_managers::double::{Answer, Ask};

/// An access token that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issued {
    /// The user it is for.
    pub(super) user: String,
    /// The client that got it.
    pub(super) client: String,
    pub(super) scopes: String,
    pub(super) expires: i64,
}

/// Who is calling, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) user: String,
    /// The tenant whose key managers and APIs are meant.
    pub(super) tenant: String,
    scopes: Vec<String>,
}

impl State {
    /// Who is calling.
    ///
    /// # Errors
    /// 401 without a difference between old, unknown and malformed tokens and a missing scope; 400 for a tenant that
    /// does not exist.
    pub(super) fn caller(&mut self, call: Call, ask: &Ask) -> Result<Caller, Answer> {
        let wanted = call.scopes();
        let (user, scopes) = match ask.credentials() {
            Credentials::Bearer(token) => self.bearer(&token)?,
            Credentials::Basic(user, password) => self.basic(&user, &password, wanted)?,
            Credentials::None if wanted.is_empty() => ("wso2.anonymous.user".to_owned(), vec![]),
            Credentials::None => return Err(Answer::unauthenticated()),
        };
        if !wanted.is_empty() && !wanted.iter().any(|one| scopes.iter().any(|scope| scope == one)) {
            return Err(Answer::unauthenticated());
        }
        let home = tenant(&user).to_owned();
        let tenant = match ask.header("x-wso2-tenant") {
            Some(named) if !self.tenants.contains(named) => {
                return Err(Answer::error(400, 901_300, "Tenant Not Found"));
            }
            Some(named) if call.crosses_tenants() => named.to_owned(),
            _ => home,
        };
        let caller = Caller { user, tenant, scopes };
        self.first_call(&caller);
        Ok(caller)
    }

    fn bearer(&self, token: &str) -> Result<(String, Vec<String>), Answer> {
        let dots = token.matches('.').count();
        match self.tokens.get(token) {
            Some(issued) if issued.expires > self.now() && (dots == 0 || dots == 2) => Ok((
                issued.user.clone(),
                issued.scopes.split(' ').map(str::to_owned).collect(),
            )),
            _ => Err(Answer::unauthenticated()),
        }
    }

    fn basic(&self, name: &str, password: &str, wanted: &[&str]) -> Result<(String, Vec<String>), Answer> {
        let name = canonical(name);
        match self.users.get(name) {
            Some(user) if user.logs_in(password) && !self.settings.has(Switch::BasicOff) => {
                let scopes = wanted
                    .iter()
                    .filter(|scope| user.may_have(scope))
                    .map(|scope| (*scope).to_owned());
                Ok((name.to_owned(), scopes.collect()))
            }
            _ => Err(Answer::unauthenticated()),
        }
    }

    /// The first call of a user makes its row, if the token may subscribe.
    fn first_call(&mut self, caller: &Caller) {
        if !caller.scopes.iter().any(|scope| scope == "apim:subscribe") {
            return;
        }
        let new = self.subscribers.insert(caller.user.clone());
        if new && self.settings.has(Switch::DefaultApplication) {
            self.add_default_application(&caller.user);
        }
    }
}

/// A user's name without the first tenant.
pub(super) fn canonical(name: &str) -> &str {
    name.strip_suffix(SUPER_TENANT)
        .and_then(|name| name.strip_suffix('@'))
        .unwrap_or(name)
}
