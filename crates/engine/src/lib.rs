//! placeholder: the lead joins the modules; owners add `pub mod` lines for theirs.
