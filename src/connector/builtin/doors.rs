//! The doors of the apps themselves, as connectors know them: which requests sign people in or up or set a password, and are shut; which sign people out; and
//! which are neither, though they look like it.

use super::named;
use crate::policy::{CanonicalPath, RequestPattern};

/// Whether one of a connector's patterns fits a request, `POST /session`.
fn fits(patterns: &[String], request: &str) -> bool {
    let (method, path) = request.split_once(' ').unwrap();
    let path = CanonicalPath::parse(path).unwrap();
    patterns.iter().any(|pattern| RequestPattern::parse(pattern).unwrap().restricts(method, &path))
}

#[test]
fn the_pages_of_an_apps_own_sign_in_are_shut_with_what_they_call() {
    let check = |name: &str, shut: &str, open: &str| {
        let known = named(name).unwrap();
        for (requests, expected) in [(shut, true), (open, false)] {
            for request in requests.split(", ") {
                assert_eq!(fits(&known.sign_in.block_paths, request), expected, "{name}: {request}");
            }
        }
    };
    check(
        "grafana",
        "POST /api/user/password/send-reset-email, POST /api/user/password/reset, PUT /api/user/password, POST /login, GET /login/github, GET /invite/x, \
         POST /api/user/invite/complete, POST /api/user/signup/step2",
        "GET /api/user, PUT /api/user/preferences, GET /logout",
    );
    check(
        "airflow",
        "POST /auth/token, POST /auth/token/cli, GET /auth/register/form, GET /register/form, POST /auth/resetmypassword/form, POST /resetmypassword/form",
        "GET /auth/login/, GET /login/, GET /auth/logout, GET /auth/fab/v1/users",
    );
    check(
        "discourse",
        "POST /session, POST /session.json, POST /session/forgot_password.json, POST /session/email-login/x, POST /u, POST /users.json, POST /u/email-login, \
         PUT /users/password-reset/x.json, PUT /users/admin-login, PUT /invites/show/x, POST /invites/show/x",
        "GET /session/sso, GET /session/csrf, DELETE /session/ada, GET /u/ada.json, PUT /u/ada, PUT /invites/7",
    );
    check("gitea", "POST /user/login, POST /user/login/openid, POST /user/webauthn/passkey/login", "GET /user/settings, GET /user/logout");
    check("gitlab", "POST /users, POST /users.json, PUT /users/password, POST /users/password.json", "GET /users/sign_in, GET /users/ada/calendar");
    check("jenkins", "POST /j_spring_security_check, POST /j_acegi_security_check", "POST /securityRealm/createAccountByAdmin, GET /loginx");
    check(
        "mattermost",
        "POST /api/v4/users/login, POST /api/v4/users/password/reset, POST /api/v4/users/password/reset/send, POST /api/v4/users",
        "GET /login, GET /api/v4/users, GET /api/v4/users/me, POST /api/v4/users/logout, POST /api/v4/users/ids, POST /api/v4/users/login/desktop_token",
    );
    check("metabase", "POST /api/session, POST /api/session/reset_password, GET /auth/login/password", "DELETE /api/session, GET /auth/login");
    check("netbox", "POST /login/, POST /api/users/tokens/provision/", "GET /api/users/tokens/, GET /user/profile/");
    check("nextcloud", "POST /login, POST /login/webauthn/finish, POST /index.php/lostpassword/email", "GET /login/v2/grant, GET /logout");
    check("nexus3", "POST /service/rapture/session", "DELETE /service/rapture/session, GET /service/rest/v1/status");
    check("redmine", "POST /login, POST /login.html, POST /account/register.xml, GET /account/lost_password", "GET /logins, POST /logout");
    check("sonarqube", "POST /api/authentication/login", "POST /api/authentication/logout, GET /api/authentication/validate");
    check(
        "synapse",
        "POST /_matrix/client/v3/register, POST /_matrix/client/v3/register/email/requestToken, POST /_matrix/client/v3/account/password",
        "POST /_matrix/client/v3/login, GET /_matrix/client/v3/account/whoami",
    );
}

#[test]
fn a_sign_out_is_what_the_app_itself_sends() {
    let check = |name: &str, out: &[&str], not: &[&str]| {
        let known = named(name).unwrap();
        for (requests, expected) in [(out, true), (not, false)] {
            for request in requests {
                assert_eq!(fits(&known.sign_in.logout_paths, request), expected, "{name}: {request}");
                assert!(!expected || !fits(&known.sign_in.block_paths, request), "{name}: {request} would never get there");
            }
        }
    };
    check("discourse", &["DELETE /session/ada"], &["POST /session", "GET /session/sso", "GET /session/current.json"]);
    check("metabase", &["DELETE /api/session", "GET /auth/logout"], &["POST /api/session", "GET /api/session/properties"]);
    check("nexus3", &["DELETE /service/rapture/session"], &["POST /service/rapture/session", "GET /service/rapture/session"]);
    check("airflow", &["GET /auth/logout", "GET /auth/logout/", "POST /logout/"], &["GET /auth/login/"]);
    check("mattermost", &["POST /api/v4/users/logout"], &["POST /api/v4/users/login"]);
}

#[test]
fn airflow_reads_who_it_is_where_its_version_does() {
    let airflow = named("airflow").unwrap();
    let check = |version: &str, expected: &str| {
        let settings = serde_json::Map::from_iter([("version".to_owned(), version.into())]);
        assert_eq!(airflow.sign_in.login_url(&settings).as_deref(), Some(expected), "{version}");
    };
    check("2", "/login/");
    check("3", "/auth/login/");
}
