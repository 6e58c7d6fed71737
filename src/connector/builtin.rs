//! The connectors that are built in.

use super::model::Model;
use crate::source::{Problem, SourceFile};
use std::sync::{Arc, LazyLock};

/// Name and text of each file of `policies/connectors/`.
const FILES: [(&str, &str); 20] = [
    ("policies/connectors/scim.toml", include_str!("../../policies/connectors/scim.toml")),
    ("policies/connectors/grafana.toml", include_str!("../../policies/connectors/grafana.toml")),
    ("policies/connectors/jupyterhub.toml", include_str!("../../policies/connectors/jupyterhub.toml")),
    ("policies/connectors/redmine.toml", include_str!("../../policies/connectors/redmine.toml")),
    ("policies/connectors/zabbix.toml", include_str!("../../policies/connectors/zabbix.toml")),
    ("policies/connectors/synapse.toml", include_str!("../../policies/connectors/synapse.toml")),
    ("policies/connectors/influxdb.toml", include_str!("../../policies/connectors/influxdb.toml")),
    ("policies/connectors/gitea.toml", include_str!("../../policies/connectors/gitea.toml")),
    ("policies/connectors/gitlab.toml", include_str!("../../policies/connectors/gitlab.toml")),
    ("policies/connectors/keycloak.toml", include_str!("../../policies/connectors/keycloak.toml")),
    ("policies/connectors/nexus3.toml", include_str!("../../policies/connectors/nexus3.toml")),
    ("policies/connectors/netbox.toml", include_str!("../../policies/connectors/netbox.toml")),
    ("policies/connectors/nextcloud.toml", include_str!("../../policies/connectors/nextcloud.toml")),
    ("policies/connectors/mattermost.toml", include_str!("../../policies/connectors/mattermost.toml")),
    ("policies/connectors/jenkins.toml", include_str!("../../policies/connectors/jenkins.toml")),
    ("policies/connectors/sonarqube.toml", include_str!("../../policies/connectors/sonarqube.toml")),
    ("policies/connectors/metabase.toml", include_str!("../../policies/connectors/metabase.toml")),
    ("policies/connectors/discourse.toml", include_str!("../../policies/connectors/discourse.toml")),
    ("policies/connectors/airflow.toml", include_str!("../../policies/connectors/airflow.toml")),
    ("policies/connectors/superset.toml", include_str!("../../policies/connectors/superset.toml")),
];

/// Apps whose admin API is another's: name, the connector that speaks it, and what people read.
const TWINS: [(&str, &str, &str); 1] = [("forgejo", "gitea", "Forgejo users and the teams of one organisation")];

static BUILTIN: LazyLock<Vec<Arc<Model>>> = LazyLock::new(|| {
    let parsed = parse_all().into_iter().filter_map(|(model, _)| model.map(Arc::new));
    let mut all: Vec<Arc<Model>> = std::iter::once(Arc::new(Model::rest())).chain(parsed).collect();
    for (name, like, summary) in TWINS {
        let twin = all.iter().find(|model| model.name == like).map(|model| Model {
            name: name.to_owned(),
            summary: summary.to_owned(),
            ..Model::clone(model)
        });
        all.extend(twin.map(Arc::new));
    }
    all
});

/// All of them, parsed once, `rest` (a policy's own steps) included.
pub fn builtin() -> &'static [Arc<Model>] {
    &BUILTIN
}

/// The one called `name`.
pub fn named(name: &str) -> Option<Arc<Model>> {
    builtin().iter().find(|model| model.name == name).cloned()
}

fn parse_all() -> Vec<(Option<Model>, Vec<Problem>)> {
    FILES.iter().map(|(name, text)| Model::parse(&SourceFile { name: (*name).into(), text: (*text).into() })).collect()
}

#[cfg(test)]
mod doors;

#[cfg(test)]
mod tests {
    use super::{FILES, TWINS, builtin, parse_all};

    #[test]
    fn every_built_in_connector_parses_without_a_problem() {
        let problems: Vec<String> = parse_all().iter().flat_map(|(_, problems)| problems.iter().map(crate::source::Problem::render)).collect();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        assert_eq!(FILES.len() + TWINS.len() + 1, builtin().len());
        // A name stands for one connector, and is that of its file.
        let mut names: Vec<&str> = builtin().iter().map(|model| model.name.as_str()).collect();
        for (file, _) in FILES {
            assert!(names.contains(&file.trim_start_matches("policies/connectors/").trim_end_matches(".toml")), "{file}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), builtin().len());
    }

    /// What an operator wants to know before trusting a connector stands in its file, or the reason why there is none.
    #[test]
    fn every_connector_says_what_it_demands_how_it_was_proven_and_what_to_switch_off() {
        let mut missing = Vec::new();
        for (file, text) in FILES {
            let name = file.trim_start_matches("policies/connectors/").trim_end_matches(".toml");
            let model = super::named(name).expect("it parses");
            let mut wants = |is_there: bool, what: &str| {
                if !is_there {
                    missing.push(format!("{name}: {what}"));
                }
            };
            let header: String = text.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n");
            let says = |reason: &str| header.contains(&format!("\n# {reason}: "));
            let is_live = !model.tested_with.is_empty();
            wants(!is_live || header.contains("Proven against"), "against which version it was proven, and how");
            wants(!is_live || header.contains("`connectors test --live`"), "that it was put through the kit with the running app");
            wants(
                is_live || header.contains("proven against a scripted") || header.contains("proven with a scripted"),
                "that it was proven against a scripted app",
            );
            let demands = model.attributes.iter().any(|attribute| attribute.required && attribute.locked);
            wants(demands || says("No required attributes"), "a required and locked attribute, or `# No required attributes: …`");
            let blocks = !model.sign_in.block_paths.is_empty() || text.contains("block_paths   = []                     # none: ");
            wants(blocks || says("No block_paths"), "block_paths, or `# No block_paths: …`");
            let signs_out = !model.sign_in.own_session || !model.sign_in.logout_paths.is_empty();
            wants(signs_out || says("No logout_paths"), "logout_paths, or `# No logout_paths: …`: the app has a session of its own");
            let shows_admins = model.shows_admins() || model.account.admin_optional;
            wants(shows_admins || says("Shows no administrators"), "[account] admin, or `# Shows no administrators: …`");
            wants(model.sign_in.native_jit.is_some(), "what to do about the app making accounts by itself");
            wants(!model.disable_by.is_empty(), "how an account is switched off");
            wants(text.contains("[[disable]]") || text.contains("disable_by"), "how an account is switched off, in the file");
            let kinds = model.verbs.keys().any(|verb| matches!(verb, crate::connector::model::Verb::Members(..)));
            wants(kinds || text.contains("No memberships: "), "memberships, or `No memberships: …`");
        }
        assert!(missing.is_empty(), "{}", missing.join("\n"));
    }
}
