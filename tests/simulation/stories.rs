//! What happened to other operators, and must not happen here.
