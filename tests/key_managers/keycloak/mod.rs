//! What Keycloak does that nobody expects, each trap by its number, and what only it can do.

mod trap; // a client at a realm, and the realm's administrator
mod clients; // K1 to K9
mod secrets; // K10 to K12
mod only; // what only Keycloak has; K13 to K15
