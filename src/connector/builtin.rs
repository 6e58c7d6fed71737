//! The connectors that are built in.

use super::model::Model;
use crate::source::{Problem, SourceFile};
use std::sync::{Arc, LazyLock};

/// Name and text of each file of `policies/connectors/`.
const FILES: [(&str, &str); 7] = [
    ("policies/connectors/scim.toml", include_str!("../../policies/connectors/scim.toml")),
    ("policies/connectors/grafana.toml", include_str!("../../policies/connectors/grafana.toml")),
    ("policies/connectors/jupyterhub.toml", include_str!("../../policies/connectors/jupyterhub.toml")),
    ("policies/connectors/redmine.toml", include_str!("../../policies/connectors/redmine.toml")),
    ("policies/connectors/zabbix.toml", include_str!("../../policies/connectors/zabbix.toml")),
    ("policies/connectors/synapse.toml", include_str!("../../policies/connectors/synapse.toml")),
    ("policies/connectors/influxdb.toml", include_str!("../../policies/connectors/influxdb.toml")),
];

static BUILTIN: LazyLock<Vec<Arc<Model>>> = LazyLock::new(|| {
    let parsed = parse_all().into_iter().filter_map(|(model, _)| model.map(Arc::new));
    std::iter::once(Arc::new(Model::rest())).chain(parsed).collect()
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
mod tests {
    use super::{FILES, builtin, parse_all};

    #[test]
    fn every_built_in_connector_parses_without_a_problem() {
        let problems: Vec<String> = parse_all().iter().flat_map(|(_, problems)| problems.iter().map(crate::source::Problem::render)).collect();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        let names: Vec<&str> = builtin().iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["rest", "scim", "grafana", "jupyterhub", "redmine", "zabbix", "synapse", "influxdb"]);
        assert_eq!(FILES.len() + 1, names.len());
    }
}
