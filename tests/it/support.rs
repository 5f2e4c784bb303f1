//! What several tests need: the program, a scripted registry, certificates and load.

pub(crate) mod certificates;
pub(crate) mod load;
pub(crate) mod program;
pub(crate) mod registry;
pub(crate) mod site;
