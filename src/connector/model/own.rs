//! A policy's own steps.
use super::*;
pub(super) fn parse(_: &SourceFile, _: Option<&Node>, _: &[Node], _: &Env) -> (Option<Steps>, Vec<Problem>) {
    (None, Vec::new())
}
