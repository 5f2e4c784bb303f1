//! What several tests need: a scripted registry and certificates for it.

pub(crate) mod certificates;
pub(crate) mod program;
pub(crate) mod registry;
pub(crate) mod site;
