//! The demo app's accounts and groups, as both admin APIs see them.

use super::app::Flavour;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One account.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) id: u32,
    pub(super) login: String,
    /// What the gateway wrote, so that it finds the account again (SCIM `externalId`).
    pub(super) external_id: Option<String>,
    pub(super) given: String,
    pub(super) family: String,
    pub(super) display: String,
    pub(super) email: String,
    /// Something only the app knows: nobody may overwrite it.
    pub(super) phone: String,
    pub(super) active: bool,
    pub(super) origin: &'static str,
}

/// A group with its members' ids.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) members: BTreeSet<u32>,
}

/// Accounts and groups.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) accounts: Vec<Account>,
    pub(super) groups: Vec<Group>,
    next_id: u32,
}

/// A login or address that somebody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Login,
    Email,
    ExternalId,
}

impl Table {
    /// The table on the first day: an administrator, and in the Wiki Bob, who was here before single sign-on.
    pub(super) fn of(flavour: Flavour) -> Self {
        let group = |(id, name): (u32, &str)| Group { id, name: name.to_owned(), members: BTreeSet::new() };
        let admin = Account {
            id: 1,
            login: "admin".to_owned(),
            given: "Local".to_owned(),
            family: "Administrator".to_owned(),
            display: "Local Administrator".to_owned(),
            email: "root@example.com".to_owned(),
            active: true,
            origin: "made when the app was installed",
            ..Account::default()
        };
        let bob = Account {
            id: 7,
            login: "bobby".to_owned(),
            given: "Bob".to_owned(),
            family: "Old".to_owned(),
            display: "Bobby".to_owned(),
            email: "bob@example.com".to_owned(),
            phone: "+44 20 7946 0000".to_owned(),
            active: true,
            origin: "made by hand years ago",
            ..Account::default()
        };
        match flavour {
            Flavour::Scim => Self { accounts: vec![admin, bob], groups: [(1, "readers"), (2, "editors")].map(group).to_vec(), next_id: 100 },
            Flavour::Redmine => {
                Self { accounts: vec![admin], groups: [(12, "Managers"), (14, "Developers"), (15, "Reporters")].map(group).to_vec(), next_id: 100 }
            }
        }
    }

    /// Adds `account` under a new id.
    pub(super) fn add(&mut self, mut account: Account) -> Result<Account, Taken> {
        self.free(&account, None)?;
        account.id = self.next_id;
        self.next_id += 1;
        self.accounts.push(account.clone());
        Ok(account)
    }

    /// Puts `account` in place of the one with its id.
    pub(super) fn put(&mut self, account: Account) -> Result<(), Taken> {
        self.free(&account, Some(account.id))?;
        if let Some(old) = self.accounts.iter_mut().find(|old| old.id == account.id) {
            *old = account;
        }
        Ok(())
    }

    fn free(&self, account: &Account, but: Option<u32>) -> Result<(), Taken> {
        for other in self.accounts.iter().filter(|other| Some(other.id) != but) {
            if other.login.eq_ignore_ascii_case(&account.login) {
                return Err(Taken::Login);
            }
            if !account.email.is_empty() && other.email.eq_ignore_ascii_case(&account.email) {
                return Err(Taken::Email);
            }
            if account.external_id.is_some() && other.external_id == account.external_id {
                return Err(Taken::ExternalId);
            }
        }
        Ok(())
    }

    pub(super) fn account(&self, id: u32) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == id)
    }

    pub(super) fn group(&mut self, id: u32) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.id == id)
    }

    pub(super) fn remove(&mut self, id: u32) -> bool {
        self.groups.iter_mut().for_each(|group| {
            group.members.remove(&id);
        });
        let before = self.accounts.len();
        self.accounts.retain(|account| account.id != id);
        self.accounts.len() < before
    }

    /// Groups of an account: id and name.
    pub(super) fn groups_of(&self, id: u32) -> Vec<(u32, &str)> {
        self.groups.iter().filter(|group| group.members.contains(&id)).map(|group| (group.id, group.name.as_str())).collect()
    }

    /// The table as JSON: `id login display email phone groups active origin`.
    pub(super) fn rows(&self) -> Vec<Value> {
        let row = |account: &Account| {
            let groups: Vec<&str> = self.groups_of(account.id).into_iter().map(|(_, name)| name).collect();
            json!({
                "id": account.id, "login": account.login, "display": account.display, "email": account.email, "phone": account.phone,
                "groups": groups, "active": account.active, "origin": account.origin,
            })
        };
        self.accounts.iter().map(row).collect()
    }
}
