//! Whom a client believes: known servers, first contact, and those in the middle.

mod contact;
mod store;
