//! Every connector that is built in, through the kit; and a kit that can fail.

use super::{Dialect, ORDER, Row, Verdict, dialects, run, scripted, show};
use crate::connector::builtin::{builtin, named};
use crate::connector::model::Model;
use crate::source::SourceFile;
use std::sync::Arc;

fn conforms(name: &str) {
    let model = named(name).expect("built in");
    let dialect = scripted(name).expect("scripted").expect("a dialect that reads");
    let rows = run(&model, &dialect).expect("a policy that compiles");
    assert!(show::is_good(&rows), "{}", show::table(name, &rows));
    let order: Vec<&str> = rows.iter().map(|row| row.scenario).collect();
    assert_eq!(order, ORDER);
    // A scripted app for which nothing applies would prove nothing.
    let held = rows.iter().filter(|row| matches!(row.verdict, Verdict::Held(_))).count();
    assert!(held >= 12, "{}", show::table(name, &rows));
}

macro_rules! connectors {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            conforms(stringify!($name));
        })*

        #[test]
        fn every_connector_that_is_built_in_is_tested_here_or_proven_live() {
            let tested = [$(stringify!($name)),*];
            // `rest` has no app; whoever names what it was proven with, was proven with it.
            let is_untested = |model: &&Arc<Model>| model.name != "rest" && model.tested_with.is_empty() && !tested.contains(&model.name.as_str());
            let missing: Vec<&str> = builtin().iter().filter(is_untested).map(|model| model.name.as_str()).collect();
            assert!(missing.is_empty(), "{missing:?}");
            assert_eq!(dialects().len(), tested.len());
        }
    };
}

connectors! { scim grafana jupyterhub forgejo gitea gitlab keycloak nexus3 netbox nextcloud mattermost jenkins sonarqube metabase discourse airflow redmine zabbix synapse influxdb }

/// The verdict of one scenario with a connector that was changed for the worse.
fn spoiled(name: &str, good: &str, bad: &str, scenario: &str) -> Verdict {
    let text = std::fs::read_to_string(format!("policies/connectors/{name}.toml")).expect("a connector file");
    assert!(text.contains(good), "{good}");
    let (model, problems) = Model::parse(&SourceFile::new("spoiled.toml", text.replace(good, bad)));
    let model = Arc::new(model.unwrap_or_else(|| panic!("{problems:?}")));
    let rows = run(&model, &scripted(name).expect("scripted").expect("reads")).expect("compiles");
    rows.into_iter().find(|row: &Row| row.scenario == scenario).expect("the scenario").verdict
}

#[test]
fn a_connector_that_is_wrong_fails() {
    let check = |good: &str, bad: &str, scenario: &str| {
        let verdict = spoiled("jupyterhub", good, bad, scenario);
        assert!(matches!(verdict, Verdict::Failed(_)), "{bad} in `{scenario}`: {verdict:?}");
    };
    check(
        "{ status = 409, outcome = \"exists\" },\n  { status = 400, outcome = \"invalid\" },",
        "{ status = 409, outcome = \"created\" },",
        "create, exists",
    );
    check("delete   = \"/groups/{member.id}/users\"", "delete   = \"/groups/{member.id}/nobody\"", "membership, taken back twice");
    check("get      = \"/users?limit=1\"", "get      = \"/nothing\"", "probe");
}

#[test]
fn a_dialect_that_does_not_read_is_refused_in_words() {
    let check = |text: &str, expected: &str| {
        let said = Dialect::parse(&SourceFile::new("mine.toml", text)).expect_err("refused");
        assert!(said.contains(expected), "{said}");
    };
    check("user = 1", "missing field `route`");
    check("user = {}\nroute = []\nrout = []", "unknown field `rout`");
    check("user = {}\n[[route]]\non = \"GET /x\"\ndo = \"dance\"", "unknown variant `dance`");
    check("user = {", "mine.toml");
}
