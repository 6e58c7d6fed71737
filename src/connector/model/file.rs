//! The connector file.
use super::*;
pub(super) fn parse(_: &SourceFile) -> (Option<Model>, Vec<Problem>) {
    (None, Vec::new())
}
pub(super) fn rest() -> Model {
    unimplemented!()
}
pub(super) fn settings(_: &Model, _: &SourceFile, _: Option<&Table>) -> (Map<String, Value>, Vec<Problem>) {
    (Map::new(), Vec::new())
}
