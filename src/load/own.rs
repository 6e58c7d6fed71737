//! Connector files of one's own: `connector = "./my-app.toml"`.
//!
//! Lives here: which file a policy names, and reading it; it may stand among the policies. Apart because the compiler of policies reads no files: it gets the models that are found here beside the
//! built-in ones. A file that several policies name is read, and complained about, once.

use super::Look;
use crate::connector::model::Model;
use crate::policy::{connector_file, revision};
use crate::source::{Problem, SourceFile, Table};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

/// Files that were read; `None`: of no use.
pub(super) type Connectors = HashMap<PathBuf, Option<Arc<Model>>>;

/// The connector file that a policy names, if it names one. What is served changes when this file does.
pub(super) fn connector_in(policy: &SourceFile, tree: &Table) -> Option<PathBuf> {
    connector_file(&policy.name, tree.table("provision")?.text("connector")?)
}

impl Look {
    /// The connector of a policy that brings its own; its problems go into the report.
    pub(super) fn own_connector(&mut self, policy: &SourceFile, tree: &Table) -> Option<Arc<Model>> {
        let path = connector_in(policy, tree)?;
        if let Some(known) = self.own_connectors.get(&path) {
            return known.clone();
        }
        self.files();
        let model = match fs::read_to_string(&path) {
            Ok(text) => self.parse_connector(&SourceFile::new(path.display().to_string(), text)),
            Err(error) => {
                self.unread_connectors.insert(path.clone(), error.kind());
                None
            }
        };
        self.own_connectors.insert(path, model.clone());
        model
    }

    /// Why the connector file that a policy names cannot be read.
    pub(super) fn unread_connector(&self, policy: &SourceFile, tree: &Table) -> Option<String> {
        let path = connector_in(policy, tree)?;
        let kind = *self.unread_connectors.get(&path)?;
        let missing = kind == io::ErrorKind::NotFound;
        Some(if missing { format!("there is no {}", path.display()) } else { format!("{} cannot be read: {kind}", path.display()) })
    }

    /// Whether a file among the policies is a connector's; then its problems go into the report, unless a policy that names it was here before.
    pub(super) fn is_connector(&mut self, file: &SourceFile, tree: &Table) -> bool {
        if tree.text("connector").is_none() || tree.get("host").is_some() {
            return false;
        }
        let path = PathBuf::from(&*file.name);
        if !self.own_connectors.contains_key(&path) {
            let model = self.parse_connector(file);
            self.own_connectors.insert(path, model);
        }
        true
    }

    fn parse_connector(&mut self, file: &SourceFile) -> Option<Arc<Model>> {
        let (model, problems) = Model::parse(file);
        self.report.problems.extend(problems);
        model.map(|model| Arc::new(Model { file: Some(Arc::clone(&file.name)), revision: revision(&file.text), ..model }))
    }
}

/// Says at the policy's own line that its connector cannot be read: there is no other file where that could be said.
pub(super) fn at_its_line(why: &str, problems: &mut [Problem]) {
    for problem in problems.iter_mut().filter(|problem| problem.code == "connector-file") {
        why.clone_into(&mut problem.message);
        problem.helps = vec!["a relative path begins beside this policy".to_owned()];
    }
}
