use super::*;
use proptest::collection::btree_map;
use proptest::prelude::*;
use serde_json::json;

fn members(names: &[&str]) -> Members {
    names.iter().map(|&name| (name.to_owned(), None)).collect()
}

fn wanting(kind: &str, wanted: Wanted) -> Desired {
    Desired { login: "ada".into(), attributes: BTreeMap::new(), memberships: BTreeMap::from([(kind.to_owned(), wanted)]) }
}

fn having(kind: &str, live: &[&str]) -> Account {
    Account { id: "1".into(), login: "ada".into(), memberships: BTreeMap::from([(kind.to_owned(), members(live))]), ..Account::default() }
}

fn granted(kind: &str, names: &[&str]) -> Applied {
    Applied { attributes: BTreeMap::new(), memberships: BTreeMap::from([(kind.to_owned(), members(names))]) }
}

#[test]
fn memberships_are_merged_three_ways() {
    let check = |applied: &[&str], wanted: &[&str], live: &[&str], expected: &[&str]| {
        let plan =
            diff(&granted("group", applied), &wanting("group", Wanted::Known(members(wanted))), Some(&having("group", live)), &DiffRules::default());
        let labels: Vec<String> = plan.steps.iter().map(Step::label).collect();
        assert_eq!(labels, expected, "applied {applied:?}, wanted {wanted:?}, live {live:?}");
    };
    // Granted by hand: stays, even when it is not wanted.
    check(&[], &[], &["wiki"], &[]);
    check(&[], &["devs"], &["wiki"], &["add group devs"]);
    // oauth2-proxy-nexus3 applied a loss only when something was gained too.
    check(&["devs"], &[], &["devs"], &["remove group devs"]);
    check(&["devs"], &["ops"], &["devs", "wiki"], &["remove group devs", "add group ops"]);
    // Taken away by hand: granted again while wanted, forgotten when not.
    check(&["devs"], &["devs"], &[], &["add group devs"]);
    check(&["devs"], &[], &[], &[]);
    check(&["devs"], &["devs"], &["devs"], &[]);
}

#[test]
fn what_somebody_granted_by_hand_does_not_become_ours_by_being_wanted() {
    let wanted = wanting("group", Wanted::Known(members(&["devs"])));
    let plan = diff(&Applied::default(), &wanted, Some(&having("group", &["devs"])), &DiffRules::default());
    assert!(plan.steps.is_empty() && plan.applied().memberships.is_empty(), "{plan:?}");
    // ... unless the account is one that we are just making: then it came with the create.
    let fresh = diff(&Applied::default(), &wanted, Some(&having("group", &["devs"])), &DiffRules { fresh: true, ..DiffRules::default() });
    assert_eq!(fresh.applied(), granted("group", &["devs"]));
}

#[test]
fn unknown_groups_change_nothing_and_forget_nothing() {
    let applied = granted("group", &["devs"]);
    let plan = diff(&applied, &wanting("group", Wanted::Unknown), Some(&having("group", &["devs", "wiki"])), &DiffRules::default());
    assert_eq!((plan.steps.clone(), plan.applied()), (vec![], applied));
    let made = diff(&Applied::default(), &wanting("group", Wanted::Unknown), None, &DiffRules::default());
    assert_eq!(made.steps.len(), 1, "{made:?}");
}

#[test]
fn a_kind_that_the_app_cannot_list_is_taken_to_be_as_applied() {
    let account = Account { id: "1".into(), login: "ada".into(), ..Account::default() };
    let plan =
        diff(&granted("group", &["devs", "ops"]), &wanting("group", Wanted::Known(members(&["ops", "web"]))), Some(&account), &DiffRules::default());
    assert_eq!(plan.steps.iter().map(Step::label).collect::<Vec<_>>(), ["remove group devs", "add group web"]);
    assert_eq!(plan.applied(), granted("group", &["ops", "web"]));
}

#[test]
fn a_disabled_account_needs_a_human_unless_the_gateway_disabled_it() {
    let account = Account { disabled: true, ..having("group", &[]) };
    let wanted = wanting("group", Wanted::Known(members(&["devs"])));
    let plan = diff(&Applied::default(), &wanted, Some(&account), &DiffRules::default());
    assert_eq!((plan.blocked, plan.steps.len()), (Some(Blocked::Disabled), 0));
    let plan = diff(&Applied::default(), &wanted, Some(&account), &DiffRules { enable: true, ..DiffRules::default() });
    assert_eq!(plan.steps.iter().map(Step::label).collect::<Vec<_>>(), ["enable", "add group devs"]);
}

#[test]
fn attributes_absent_from_a_sign_in_clear_nothing() {
    let mut account = having("group", &[]);
    account.attributes = BTreeMap::from([("phone".to_owned(), json!("1")), ("mail".to_owned(), json!("a@x")), ("level".to_owned(), json!("14"))]);
    let mut wanted = wanting("group", Wanted::Unknown);
    wanted.attributes = BTreeMap::from([("mail".to_owned(), json!("b@x")), ("level".to_owned(), json!(14))]);
    let applied = Applied { attributes: BTreeMap::from([("phone".to_owned(), json!("1"))]), ..Applied::default() };
    let plan = diff(&applied, &wanted, Some(&account), &DiffRules::default());
    assert_eq!(plan.steps, vec![Step::Update(BTreeMap::from([("mail".to_owned(), json!("b@x"))]))]);
}

#[test]
fn sync_says_when_memberships_are_applied() {
    let check = |sync: Sync, observed: bool, fresh: bool, expected: usize| {
        let rules = DiffRules { fresh, sync_memberships: BTreeMap::from([("role".to_owned(), sync)]), ..DiffRules::default() };
        let account = having("role", &[]);
        let plan = diff(&Applied::default(), &wanting("role", Wanted::Known(members(&["Editor"]))), observed.then_some(&account), &rules);
        assert_eq!(plan.steps.iter().filter(|step| matches!(step, Step::Add { .. })).count(), expected, "{sync:?} {observed} {fresh}");
    };
    check(Sync::Never, false, false, 0);
    check(Sync::Never, true, true, 0);
    check(Sync::Create, true, false, 0);
    check(Sync::Create, true, true, 1);
    check(Sync::Create, false, false, 1);
    check(Sync::Login, true, false, 1);
}

#[test]
fn a_role_inside_a_membership_is_set_to_what_is_wanted() {
    let role = |name: &str| Members::from([("7".to_owned(), Some(name.to_owned()))]);
    let account = Account { memberships: BTreeMap::from([("org".to_owned(), role("Viewer"))]), ..having("org", &[]) };
    let plan = diff(&Applied::default(), &wanting("org", Wanted::Known(role("Editor"))), Some(&account), &DiffRules::default());
    assert_eq!(plan.steps, vec![Step::Add { kind: "org".into(), member: "7".into(), role: Some("Editor".into()) }]);
}

/// Grafana #59282: what an administrator of the app gave by hand is not taken away by a sign-in.
#[test]
fn a_higher_role_that_somebody_gave_by_hand_is_not_lowered() {
    let role = |name: &str| Members::from([("7".to_owned(), Some(name.to_owned()))]);
    let check = |applied: Option<&str>, shown: &str, wanted: &str, fresh: bool, expected: usize| {
        let account = Account { memberships: BTreeMap::from([("org".to_owned(), role(shown))]), ..having("org", &[]) };
        let before = Applied { memberships: applied.map(|name| ("org".to_owned(), role(name))).into_iter().collect(), ..Applied::default() };
        let role_order = ["Viewer", "Editor", "Admin"].map(str::to_owned).to_vec();
        let rules = DiffRules { fresh, role_order, ..DiffRules::default() };
        let plan = diff(&before, &wanting("org", Wanted::Known(role(wanted))), Some(&account), &rules);
        assert_eq!((plan.steps.len(), plan.kept.len()), (expected, usize::from(expected == 0)), "{applied:?} {shown} {wanted} {fresh}");
    };
    check(None, "Admin", "Viewer", false, 0);
    check(None, "Viewer", "Editor", false, 1);
    // Ours: kept in step, whoever changed it meanwhile.
    check(Some("Viewer"), "Admin", "Viewer", false, 1);
    // Of an account that is just being made, everything came with the create.
    check(None, "Admin", "Viewer", true, 1);
}

#[test]
fn the_fingerprint_does_not_depend_on_the_order_in_which_things_were_asserted() {
    let one = Desired { login: "a".into(), attributes: BTreeMap::from([("x".to_owned(), json!({"b": 1, "a": [2]}))]), memberships: BTreeMap::new() };
    let two = Desired { attributes: BTreeMap::from([("x".to_owned(), json!({"a": [2], "b": 1}))]), ..one.clone() };
    assert_eq!(one.canonical("scim", "r1"), two.canonical("scim", "r1"));
    assert_ne!(one.canonical("scim", "r1"), one.canonical("scim", "r2"));
    assert_ne!(one.canonical("scim", "r1"), one.canonical("rest", "r1"));
}

/// An app that does what it is told. It shows the kinds of membership that it showed before; of a new account, all or (`lists`) none.
/// `carries` says whether its create takes memberships along.
fn app_does(step: &Step, account: Option<Account>, lists: bool, carries: bool) -> Account {
    let mut account = account.unwrap_or_default();
    match step {
        Step::Create(desired) => {
            account.login.clone_from(&desired.login);
            account.attributes.clone_from(&desired.attributes);
            for (kind, wanted) in desired.memberships.iter().filter(|_| lists) {
                let members = account.memberships.entry(kind.clone()).or_default();
                if let (Wanted::Known(wanted), true) = (wanted, carries) {
                    members.extend(wanted.clone());
                }
            }
        }
        Step::Update(attributes) => account.attributes.extend(attributes.clone()),
        Step::Enable => account.disabled = false,
        Step::Add { kind, member, role } => {
            if let Some(shown) = account.memberships.get_mut(kind) {
                shown.insert(member.clone(), role.clone());
            }
        }
        Step::Remove { kind, member } => {
            if let Some(shown) = account.memberships.get_mut(kind) {
                shown.remove(member);
            }
        }
    }
    account
}

fn some_members() -> impl Strategy<Value = Members> {
    btree_map("[a-d]", prop::option::of("[XY]"), 0..4)
}

fn some_wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![1 => Just(Wanted::Unknown), 4 => some_members().prop_map(Wanted::Known)]
}

fn some_attributes() -> impl Strategy<Value = BTreeMap<String, Value>> {
    btree_map("[m-o]", prop_oneof![any::<u8>().prop_map(Value::from), "[a-z]{0,2}".prop_map(Value::from)], 0..3)
}

prop_compose! {
    fn some_desired()(attributes in some_attributes(), memberships in btree_map("[k-l]", some_wanted(), 0..3)) -> Desired {
        Desired { login: "ada".into(), attributes, memberships }
    }
}

prop_compose! {
    fn some_account()(attributes in some_attributes(), memberships in btree_map("[k-l]", some_members(), 0..3), disabled in any::<bool>()) -> Account {
        Account { id: "1".into(), login: "ada".into(), attributes, memberships, disabled, ..Account::default() }
    }
}

prop_compose! {
    fn some_applied()(attributes in some_attributes(), memberships in btree_map("[k-l]", some_members(), 0..3)) -> Applied {
        Applied { attributes, memberships }
    }
}

prop_compose! {
    fn some_rules()(manage in prop::bool::weighted(0.9), fresh in any::<bool>(), enable in any::<bool>(), sync_attributes in any::<bool>(),
        sync_memberships in btree_map("[k-l]", prop_oneof![Just(Sync::Login), Just(Sync::Create), Just(Sync::Never)], 0..2)) -> DiffRules {
        DiffRules { manage, fresh, enable, sync_attributes, sync_memberships, drift: Drift::Correct, role_order: vec!["X".to_owned(), "Y".to_owned()] }
    }
}

proptest! {
    #[test]
    fn applying_a_plan_and_looking_again_gives_an_empty_plan(
        applied in some_applied(), desired in some_desired(), observed in prop::option::of(some_account()), rules in some_rules(),
        lists in any::<bool>(), carries in any::<bool>(),
    ) {
        let plan = diff(&applied, &desired, observed.as_ref(), &rules);
        let then = plan.steps.iter().fold(observed, |account, step| Some(app_does(step, account, lists, carries)));
        let again = diff(&plan.applied(), &desired, then.as_ref(), &rules);
        prop_assert_eq!(again.steps, vec![]);
    }

    #[test]
    fn nothing_outside_applied_is_ever_removed_and_nothing_outside_desired_granted(
        applied in some_applied(), desired in some_desired(), observed in prop::option::of(some_account()), rules in some_rules(),
    ) {
        let plan = diff(&applied, &desired, observed.as_ref(), &rules);
        for step in &plan.steps {
            match step {
                Step::Remove { kind, member } => {
                    prop_assert!(applied.memberships.get(kind).is_some_and(|ours| ours.contains_key(member)));
                    prop_assert!(matches!(desired.memberships.get(kind), Some(Wanted::Known(wanted)) if !wanted.contains_key(member)));
                }
                Step::Add { kind, member, role } => {
                    prop_assert!(matches!(desired.memberships.get(kind), Some(Wanted::Known(wanted)) if wanted.get(member) == Some(role)));
                }
                Step::Create(_) => prop_assert!(observed.is_none()),
                Step::Update(_) | Step::Enable => {}
            }
        }
    }

    #[test]
    fn what_is_lost_is_taken_back_whatever_else_happens(applied in some_members(), gained in some_members()) {
        let desired = wanting("group", Wanted::Known(gained.clone()));
        let before = Applied { memberships: BTreeMap::from([("group".to_owned(), applied.clone())]), ..Applied::default() };
        let account = Account { memberships: BTreeMap::from([("group".to_owned(), applied.clone())]), ..having("group", &[]) };
        let plan = diff(&before, &desired, Some(&account), &DiffRules::default());
        for lost in applied.keys().filter(|member| !gained.contains_key(*member)) {
            let removed = plan.steps.contains(&Step::Remove { kind: "group".into(), member: lost.clone() });
            prop_assert!(removed);
        }
    }
}
