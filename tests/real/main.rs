//! Real parts that nobody here wrote: panva's oidc-provider, JupyterHub, Redmine, scim2-server, SimpleSAMLphp, OctoPrint, InfluxDB, Zabbix, Synapse, Radicale,
//! Superset, Tombi (the TOML language server of editors), Debian's Chromium.
//!
//! One file a part. Each test starts what it needs, the gateway's own binary among it, and takes it down again. `make setup-lab` installs
//! the parts; one that is missing or does not start fails its tests, nothing is skipped.
#![cfg(test)]

mod apps;
mod browser;
mod conformance;
mod editor;
mod harness;
mod influxdb;
mod jupyterhub;
mod newcomer;
mod oidc_provider;
mod redmine;
mod scim2_server;
mod simplesamlphp;
mod synapse;
