//! Tests of the library over its public wire: one binary, since each links the whole stack again.

mod platform_vectors;
