//! Values of bodies and queries.
/// A value as a tree.
#[derive(Debug, Clone)]
pub struct Tree(());
