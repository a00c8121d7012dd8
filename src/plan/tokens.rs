//! The named access tokens of a key: which are due, and when their Secret is written.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    hints::{TokenHint, TokenHints},
    identity,
    observed::{Observed, Target},
    rotation,
    secret::{self, Entries},
    step::Step,
    whole_second,
};
use crate::{
    api::{AccessTokenSpec, conditions::Say},
    key_manager::Token,
};

/// A life under which renewal leaves workloads too little time.
const SHORT_LIFE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// The next token to ask for, where tokens are published together with the credential.
pub fn before_publication(
    o: &Observed,
    target: &Target,
    client_id: &str,
    client_secret: &SecretString,
    now: Timestamp,
) -> Option<Step> {
    if secret::same_secret(o.spec()) {
        fetch(o, target, client_id, client_secret, now)
    } else {
        None
    }
}

/// The next step for tokens in a Secret of their own: ask for those that are due, then write them all at once.
pub fn next(o: &Observed, target: &Target, now: Timestamp) -> Option<Step> {
    let published = o.secret.ours()?;
    if secret::same_secret(o.spec()) || o.spec().access_tokens.is_empty() {
        return o
            .tokens
            .ours()
            .map(|tokens| Step::DeleteSecret(Box::new(tokens.clone())));
    }
    let client_secret = published.client_secret()?;
    fetch(o, target, &published.hints.client_id, &client_secret, now).or_else(|| publish(o))
}

/// The tokens' entries as they should be: those in hand, else those in `kept`. `hints` follows.
pub fn entries(o: &Observed, kept: Option<&Entries>, hints: &mut TokenHints) -> Entries {
    let mut entries = Entries::default();
    hints.retain(|name, _| o.spec().access_tokens.iter().any(|token| token.name == *name));
    for token in &o.spec().access_tokens {
        if let Some(fresh) = o.hand.tokens.get(&token.name) {
            secret::put_token(&mut entries, &token.name, fresh);
            hints.insert(token.name.clone(), hint(o, token, fresh));
            continue;
        }
        for entry in [
            secret::access_token_entry(&token.name),
            secret::expires_at_entry(&token.name),
        ] {
            if let Some(value) = kept.and_then(|kept| kept.0.get(&entry)) {
                entries.0.insert(entry, value.clone());
            }
        }
    }
    entries
}

/// What people should know of the tokens.
pub fn says(o: &Observed, target: &Target) -> Vec<Say> {
    let mut says = vec![];
    if let Some((name, word)) = o.hand.refused_tokens.first_key_value() {
        let mend = target.capabilities.reason(word);
        let mend = mend.map(|mend| format!(": {mend}")).unwrap_or_default();
        let text = format!("the credential works, but the key manager refuses access token {name} ({word}){mend}");
        says.push(Say::no("TokensIssued", "TokenRefused", text));
    } else if let Some(say) = scopes_missing(o) {
        says.push(say);
    }
    let life = |token: &TokenHint| token.expires_at.duration_since(token.issued_at);
    let short = o.token_hints().iter().find(|(_, token)| life(token) < SHORT_LIFE);
    if let Some((name, token)) = short {
        let text = format!(
            "access token {name} lives {} seconds: too short to rely on its renewal",
            life(token).as_secs()
        );
        says.push(Say::yes("ShortTokens", "ShortLife", text));
    }
    says
}

/// A token with fewer scopes than were asked for: some servers drop them without a word (RFC 6749 section 3.3 allows it).
fn scopes_missing(o: &Observed) -> Option<Say> {
    let hints = o.token_hints();
    o.spec().access_tokens.iter().find_map(|token| {
        let has = &hints.get(&token.name)?.scopes;
        let missing: Vec<_> = token
            .scopes
            .iter()
            .filter(|scope| !has.contains(scope))
            .cloned()
            .collect();
        let text = format!(
            "the key manager issues access token {} without {}: look whether the client may have that there",
            token.name,
            missing.join(", ")
        );
        (!missing.is_empty()).then(|| Say::no("TokensIssued", "ScopesMissing", text))
    })
}

fn fetch(o: &Observed, target: &Target, client_id: &str, secret: &SecretString, now: Timestamp) -> Option<Step> {
    if !target.grants.selected {
        return None;
    }
    let token = o
        .spec()
        .access_tokens
        .iter()
        .find(|token| is_due(o, token, client_id, now))?;
    Some(Step::FetchToken {
        client_id: client_id.to_owned(),
        secret: secret.clone(),
        token: token.clone(),
    })
}

fn is_due(o: &Observed, token: &AccessTokenSpec, client_id: &str, now: Timestamp) -> bool {
    if o.hand.tokens.contains_key(&token.name) || o.hand.refused_tokens.contains_key(&token.name) {
        return false;
    }
    o.token_hints().get(&token.name).is_none_or(|hint| {
        hint.renew_at <= now || hint.request != request(client_id, token) || !has_entry(o, &token.name)
    })
}

fn has_entry(o: &Observed, name: &str) -> bool {
    let view = if secret::same_secret(o.spec()) {
        &o.secret
    } else {
        &o.tokens
    };
    view.ours()
        .is_some_and(|published| published.entries.0.contains_key(&secret::access_token_entry(name)))
}

/// Hash of what a token is asked for; another client's token is another token.
fn request(client_id: &str, token: &AccessTokenSpec) -> String {
    identity::short_hash(&[
        "token",
        client_id,
        &token.scopes.join(" "),
        token.resource.as_deref().unwrap_or_default(),
        &token.renew_before.map(|d| d.to_string()).unwrap_or_default(),
    ])
}

fn hint(o: &Observed, token: &AccessTokenSpec, fresh: &Token) -> TokenHint {
    let client_id = o.hand.credential.as_ref().map(|c| c.client_id.as_str());
    let client_id = client_id
        .or(o.secret.ours().map(|p| p.hints.client_id.as_str()))
        .unwrap_or_default();
    TokenHint {
        issued_at: whole_second(fresh.issued_at),
        expires_at: whole_second(fresh.expires_at),
        renew_at: rotation::renew_at(&o.key, token, fresh.issued_at, fresh.expires_at),
        scopes: fresh.scopes.clone(),
        request: request(client_id, token),
    }
}

fn publish(o: &Observed) -> Option<Step> {
    let published = o.tokens.ours();
    let mut hints = published
        .map(|published| published.hints.tokens.clone())
        .unwrap_or_default();
    let entries = entries(o, published.map(|published| &published.entries), &mut hints);
    if entries.0.is_empty() && published.is_none() {
        return None;
    }
    let rendered = secret::render_tokens(&o.key, &o.cluster_id, &hints, entries);
    let same = published.is_some_and(|p| p.entries == rendered.entries && p.hints.tokens == hints);
    (!same).then(|| Step::Publish {
        rendered: Box::new(rendered),
        replaces: published.cloned().map(Box::new),
        tokens: true,
    })
}
