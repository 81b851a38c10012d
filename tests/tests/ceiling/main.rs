//! The ceiling against a real API server, with the subscriber's own token. Nothing of the subscriber
//! takes part, except where a test says so: what is refused here is refused to whoever has the token.

mod agreement;
mod attacks;
mod cost;
mod guard;
mod kubectl;
mod rights;
