//! A morning at the office, through the whole gateway: the admin API is down, people lose groups, people leave. What counts is what is at the app afterwards.

use crate::fake_admin::{FakeAdmin, Flavour};
use crate::whole::{ADMIN_TOKEN, APP, Person, Whole, policy_with, within};
use serde_json::json;
use std::collections::BTreeSet;

const SECTIONS: &str = "[user]\nname = \"{username}\"\n[roles]\nmap = { g-devs = \"devs\", g-ops = \"ops\" }\npick = \"all\"\n";

struct Office {
    whole: Whole,
    admin: FakeAdmin,
}

impl Office {
    async fn open() -> Self {
        let admin = FakeAdmin::start(Flavour::Scim).await;
        admin.require(&format!("Bearer {ADMIN_TOKEN}"));
        admin.add_group("g1", "devs");
        admin.add_group("g2", "ops");
        let sections = format!(
            "{SECTIONS}[provision]\nconnector = \"scim\"\nurl = \"{}\"\ntoken = {{ secret = \"env:ADMIN_TOKEN\" }}\nretries = 0\n\
             [provision.leavers]\naccount = \"disable\"\n",
            admin.url
        );
        let staff = |at| policy_with(APP, at, "", &sections).replace("everyone = true", "groups = [\"staff\"]");
        Self { whole: Whole::with(|at| vec![("app", staff(at))], |_| {}).await, admin }
    }

    /// Signs in with a new browser, and opens the front page.
    async fn enters(&self, name: &str, groups: &[&str]) -> (Person, u16) {
        self.whole.advance_s(5);
        self.whole.op.set(|script| {
            script.subject = json!(format!("s-{name}"));
            script.person = json!({ "preferred_username": name, "name": name, "email": format!("{name}@example.com"), "groups": groups });
        });
        let (mut person, mut url) = (Person::default(), "/".to_owned());
        for _ in 0..12 {
            let at = format!("https://{APP}/").parse::<url::Url>().unwrap().join(&url).unwrap();
            if at.as_str().starts_with(&self.whole.op.issuer) {
                url = format!("https://{}/.vestibule/callback?{}", crate::whole::AUTH, self.whole.op.sign_in(&at));
                continue;
            }
            let answer = self.whole.street().visit(&mut person, &at).await;
            match answer.get("location") {
                Some(location) => url = at.join(&location).unwrap().into(),
                None => return (person, answer.status()),
            }
        }
        panic!("round and round: {url}");
    }

    async fn works(&self, person: &mut Person) -> u16 {
        self.whole.street().visit(person, &format!("https://{APP}/work").parse().unwrap()).await.status()
    }

    fn members(&self, group: &str) -> BTreeSet<String> {
        let users = self.admin.users();
        let login = |id: &String| users.iter().find(|user| user.id == *id).map_or_else(|| id.clone(), |user| user.login.clone());
        self.admin.groups().iter().filter(|known| known.name == group).flat_map(|group| group.members.iter().map(login)).collect()
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j12_while_the_admin_api_is_down_for_a_whole_morning_known_people_work_on_and_nobody_gets_more_than_they_may() {
    let office = Office::open().await;
    let mut people = Vec::new();
    for name in ["ada", "bea", "cleo", "dora"] {
        let (person, status) = office.enters(name, &["staff", "g-devs"]).await;
        assert_eq!(status, 200, "{name}");
        people.push((name, person));
    }
    office.admin.set_down(true);
    let before = format!("{:?}{:?}", office.admin.users(), office.admin.groups());
    office.admin.take_seen();
    // Eight to twelve, a page every twenty minutes.
    for round in 0..12 {
        office.whole.advance_s(20 * 60);
        for (name, person) in &mut people {
            office.whole.app.take();
            assert_eq!(office.works(person).await, 200, "{name} in round {round}");
            assert_eq!(office.whole.app.one().get("x-remote-user").as_deref(), Some(*name));
        }
        match round {
            // Somebody new: a page that says so, and nothing of theirs reaches the app.
            1 | 7 => {
                assert_eq!(office.enters("eve", &["staff"]).await.1, 503);
                assert!(office.whole.app.take().is_empty());
            }
            // More than before: they go on with what they have.
            3 => assert_eq!(office.enters("cleo", &["staff", "g-devs", "g-ops"]).await.1, 200),
            // Less than before, and it cannot be taken back: nobody passes with rights that they should not have.
            5 => assert_eq!(office.enters("dora", &["staff"]).await.1, 503),
            // Not at all any more: the gateway's door is enough.
            9 => assert_eq!(office.enters("bea", &[]).await.1, 403),
            _ => {}
        }
        // That was another browser of hers, which counts from now on.
        people.retain(|(name, _)| !(round == 5 && *name == "dora" || round == 9 && *name == "bea"));
    }
    let calls = office.admin.take_seen().len();
    assert!(calls < 60, "{calls} calls at an admin API that is down");
    assert_eq!(before, format!("{:?}{:?}", office.admin.users(), office.admin.groups()), "nothing has changed at the app");
    // Noon.
    office.admin.set_down(false);
    office.whole.advance_s(10 * 60);
    for (name, groups) in [("ada", &["staff", "g-devs"][..]), ("cleo", &["staff", "g-devs", "g-ops"]), ("dora", &["staff"]), ("eve", &["staff"])] {
        assert_eq!(office.enters(name, groups).await.1, 200, "{name}");
    }
    let logins: Vec<String> = office.admin.users().into_iter().map(|user| user.login).collect();
    assert_eq!(logins, ["ada", "bea", "cleo", "dora", "eve"]);
    assert_eq!((office.members("ops"), office.members("devs")), (names(&["cleo"]), names(&["ada", "bea", "cleo"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j14_what_is_taken_away_is_gone_before_the_first_page_and_who_may_not_come_is_switched_off_within_the_hour() {
    let office = Office::open().await;
    let (mut before, status) = office.enters("ada", &["staff", "g-devs", "g-ops"]).await;
    assert_eq!((status, office.members("devs"), office.members("ops")), (200, names(&["ada"]), names(&["ada"])));
    assert_eq!(office.enters("ada", &["staff", "g-ops"]).await.1, 200);
    assert_eq!((office.members("devs"), office.members("ops")), (names(&[]), names(&["ada"])), "at the sign-in, not after it");
    // Not at all any more.
    office.whole.app.take();
    assert_eq!(office.enters("ada", &[]).await.1, 403);
    assert!(office.whole.app.take().is_empty(), "the app is told nothing");
    within("being switched off", office.admin.until(|admin| admin.users().iter().all(|user| user.disabled))).await;
    // A browser that was let in before: its pass ends within the hour, give or take a fifth, and no other one is to be had by a sign-in that is out of date.
    for _ in 0..4 {
        office.whole.advance_s(20 * 60);
        office.works(&mut before).await;
    }
    office.whole.app.take();
    assert_ne!(office.works(&mut before).await, 200);
    assert!(office.whole.app.take().is_empty());
    assert!(office.admin.users().iter().all(|user| user.disabled), "and nothing is switched on by it");
    assert_eq!(office.admin.users().len(), 1);
}
