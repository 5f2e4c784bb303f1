//! The scripted registry of the tests, for the program under load to ask.

#[path = "../../tests/it/support/certificates.rs"]
pub(crate) mod certificates;
#[path = "../../tests/it/support/registry.rs"]
pub(crate) mod registry;
#[path = "../../tests/it/support/site.rs"]
pub(crate) mod site;
