//! German.

use super::{Said, Words};
use crate::fault::{DenyReason as R, PublicMessage as M};

pub(in crate::pages) static DE: Words = Words {
    tag: "de",
    direction: "ltr",
    message,
    reason,
    attribute,
    this_app: "diese Anwendung",
    somebody: "Konto ohne Namen",
    list: ", ",
    signed_in_as: "Sie sind als {person} angemeldet.",
    ask: "Fragen? Wenden Sie sich an {contact}.",
    help: "So erhalten Sie Zugang",
    code: "Vorgangscode",
    form_again: "Ihre Eingaben sind nicht verloren: Laden Sie diese Seite gleich noch einmal; der Browser fragt dann, ob das Formular erneut gesendet werden soll.",
    try_again: "Erneut versuchen",
    start_again: "Neu beginnen",
    sign_in: "Anmelden",
    sign_in_new_tab: "Anmelden (öffnet einen neuen Tab)",
    other_account: "Anderes Konto verwenden",
    sign_out: "Abmelden",
    go_to_app: "{app} öffnen",
    still_waiting: "Es dauert noch einen Moment. Sie können diese Seite verlassen; wir bringen es trotzdem zu Ende.",
    progress: "Einrichtung läuft",
    continue_if_nothing: "{continue}, falls nichts geschieht.",
    continue_link: "Weiter",
    session_ended_step_sign_in: "{sign_in}.",
    session_ended_step_reload: "Kommen Sie hierher zurück und laden Sie die Seite neu. Der Browser fragt, ob das Formular erneut gesendet werden soll.",
    recorded: "Die Einzelheiten wurden für das zuständige Team festgehalten. Sie können es erneut versuchen; es wird nichts doppelt angelegt.",
    recorded_contact: "Die Einzelheiten wurden für das zuständige Team ({contact}) festgehalten. Sie können es erneut versuchen; es wird nichts doppelt angelegt.",
    made_by: "Neue Konten legt {contact} an.",
    made_by_others: "Neue Konten legen diejenigen an, die {app} betreiben.",
    approval_by: "Ihr Konto muss noch freigegeben werden: durch {contact}.",
    approval_by_others: "Ihr Konto muss noch von denen freigegeben werden, die {app} betreiben.",
    not_sent: "Die Anmeldung Ihrer Organisation hat nicht übermittelt: {missing}.",
    not_sent_unknown: "Die Anmeldung Ihrer Organisation hat nicht alles übermittelt, was {app} braucht.",
    unusable: "Die Anmeldung Ihrer Organisation hat etwas übermittelt, das für ein Konto nicht verwendbar ist: {attribute}.",
    unusable_unknown: "Die Anmeldung Ihrer Organisation hat etwas übermittelt, das für ein Konto nicht verwendbar ist.",
    picker_title: "Anmelden: {app}",
    picker_title_here: "Anmelden",
    picker_text: "Wählen Sie das Konto, das Sie verwenden möchten.",
    last_used: "zuletzt verwendet",
    launcher_title: "Ihre Anwendungen",
    launcher_none: "Für Ihr Konto ist noch keine Anwendung freigegeben.",
    whoami_title: "Was {app} über Sie weiß",
    whoami_text: "Das wird mit jeder Seite weitergegeben, die Sie öffnen.",
    whoami_name: "Name",
    whoami_email: "E-Mail",
    whoami_login: "Benutzername",
    whoami_roles: "Rollen",
    whoami_no_roles: "keine",
    whoami_provider: "Angemeldet bei",
    whoami_since: "Angemeldet seit",
    whoami_headers: "Gesendet als",
    whoami_not_sent: "von Ihrer Anmeldung nicht übermittelt",
    logout_title: "Abmelden?",
    logout_text: "Damit werden Sie abgemeldet: von {app} und von allen anderen Anwendungen, die Sie mit derselben Anmeldung geöffnet haben.",
    stay: "Angemeldet bleiben",
    onward_title: "Einen Moment",
    onward_text: "Sie werden weitergeleitet.",
    signed_out_of: "Sie sind abgemeldet: {apps}.",
    signed_out_of_more: "Sie sind abgemeldet: {apps} und {count} weitere Anwendungen.",
    and: "und",
    still_at_provider: "Möglicherweise sind Sie hier noch angemeldet: {provider}.",
    provider_sign_out: "Auch dort abmelden",
};

#[rustfmt::skip] // one line a message
fn message(message: M) -> Said {
    let (heading, text): (_, &[_]) = match message {
        M::BadRequest => ("Diese Anfrage war nicht verständlich", &["Die Adresse oder die Anfrage ist fehlerhaft. Bitte prüfen Sie den Link, dem Sie gefolgt sind."]),
        M::BodyTooLarge => ("Das ist zu groß zum Senden", &["{app} nimmt nur kleinere Uploads an. Es wurde nichts gespeichert."]),
        M::HeadersTooLarge => ("Diese Anfrage enthält zu viel", &["Ihr Browser hat mehr Kopfdaten gesendet, als angenommen werden. Meist hilft es, die Cookies dieser Website zu löschen."]),
        M::MethodRefused => ("Diese Art von Anfrage wird nicht angenommen", &["Solche Anfragen werden nie an Anwendungen weitergegeben."]),
        M::NoSuchHost => ("Unter dieser Adresse gibt es nichts", &["Unter diesem Namen ist keine Anwendung eingerichtet. Bitte prüfen Sie die Adresse auf Tippfehler."]),
        M::Misdirected => ("Diese Verbindung gehört zu einer anderen Adresse", &["Öffnen Sie die Adresse noch einmal in einem neuen Tab."]),
        M::NoSuchPage => ("Diese Seite gibt es nicht", &["Die Adresse ist vielleicht vertippt oder veraltet."]),
        M::SignInRequired => ("Bitte melden Sie sich an", &["{app} verlangt, dass Sie sich zuerst anmelden."]),
        M::SignInOrTokenRequired => ("Bitte melden Sie sich an", &["{app} verlangt eine Anmeldung oder ein Zugriffstoken, das dafür ausgestellt wurde."]),
        M::TokenRequired => ("Ein Zugriffstoken ist nötig", &["Dieser Teil ist für Skripte: {app} nimmt hier nur Zugriffstoken an."]),
        M::TokenInvalid => ("Dieses Zugriffstoken wird nicht angenommen", &["Es ist abgelaufen, nicht für {app} ausgestellt oder kein Zugriffstoken. Bitte holen Sie ein neues."]),
        M::TokenScope => ("Dieses Zugriffstoken reicht nicht aus", &["Es hat nicht alle Berechtigungen (Scopes), die {app} verlangt."]),
        M::TokenTooOld => ("Eine neuere Anmeldung ist nötig", &["{app} verlangt hier eine frische Anmeldung, und dieses Zugriffstoken belegt keine."]),
        M::TokenWithoutAccount => ("Sie haben noch kein Konto für {app}", &["Zugriffstoken legen keine Konten an. Melden Sie sich einmal im Browser an; danach funktioniert dieses Token."]),
        M::SessionEnded => ("Ihre Sitzung ist beendet", &["Ihr Text ist nicht verloren:"]),
        M::FreshSignInRequired => ("Bitte melden Sie sich erneut an", &["{app} verlangt hier eine frische Anmeldung."]),
        M::Denied(R::Required) | M::IncompleteSignIn => ("Ihre Anmeldung ist unvollständig", &[]),
        M::UnusableSignIn => ("Ihre Anmeldung ist hier nicht verwendbar", &[]),
        M::Denied(R::LocalSignIn) => ("Angemeldet wird am Gateway", &[]),
        M::Denied(R::MaxAge) => ("Bitte melden Sie sich erneut an", &[]),
        M::Denied(R::Groups | R::DenyGroups | R::Domains | R::EmailUnverified | R::Networks | R::When | R::Methods | R::Idp | R::Origin) => {
            ("Sie haben keinen Zugriff auf {app}", &[])
        }
        M::LinkExpired => ("Dieser Anmeldelink ist abgelaufen", &["Er wurde schon benutzt oder ist zu alt. Neu beginnen dauert nur einen Moment."]),
        M::SignInFailed => ("Die Anmeldung konnte nicht abgeschlossen werden", &["Die Antwort des Anmeldedienstes hat unsere Prüfungen nicht bestanden und wurde deshalb nicht verwendet."]),
        M::SignInDeclined => ("Sie sind nicht angemeldet", &["Die Anmeldung wurde abgebrochen, oder Ihr Konto darf sich hier nicht anmelden."]),
        M::ProviderDown => ("Die Anmeldung ist gerade nicht verfügbar", &["Anwendungen, die Sie schon geöffnet haben, funktionieren weiter."]),
        M::StoreDown => ("Die Anmeldung ist gerade nicht verfügbar", &["Im Moment lässt sich nicht prüfen, wer Sie sind, deshalb wird niemand eingelassen. Das geht meist schnell vorüber."]),
        M::Waiting => ("Ihr Konto für {app} wird eingerichtet", &["Das geschieht nur einmal und dauert meist wenige Sekunden."]),
        M::AccountFailed => ("Ihr Konto für {app} konnte nicht eingerichtet werden", &[]),
        M::AccountUnavailable => ("Ihr Konto für {app} konnte nicht eingerichtet werden", &["{app} nimmt im Moment keine neuen Konten an."]),
        M::AccountExists => ("Es gibt bereits ein Konto mit dieser Adresse", &["{app} hat ein Konto, das Ihres zu sein scheint, aber niemand hat das bestätigt. Es kann für Sie verknüpft werden."]),
        M::AccountsOff => ("Sie haben noch kein Konto für {app}", &[]),
        M::AccountsFull => ("Sie haben noch kein Konto für {app}", &["{app} hat so viele Konten wie erlaubt, deshalb wurde für Sie keines angelegt."]),
        M::AwaitingApproval => ("Ihr Konto für {app} ist noch nicht bereit", &[]),
        M::OpenInBrowser => ("Sie haben noch kein Konto für {app}", &["Öffnen Sie {app} einmal im Browser: Dabei wird Ihr Konto angelegt, und danach funktioniert auch das hier."]),
        M::AppClosed => ("{app} ist zurzeit geschlossen", &["Niemand wird eingelassen. Ihr Konto ist davon nicht betroffen."]),
        M::AppUnreachable => ("{app} antwortet nicht", &["Ihre Anmeldung funktioniert; die Anwendung dahinter ist nicht erreichbar."]),
        M::AppTimeout => ("{app} antwortet nicht", &["Ihre Anmeldung funktioniert; die Anwendung dahinter braucht zu lange."]),
        M::TooManyConnections => ("Zu viele Verbindungen", &["Von Ihrem Standort oder insgesamt sind mehr offen als zulässig. Versuchen Sie es gleich noch einmal."]),
        M::AppRejected => ("{app} hat Ihre Anmeldung nicht angenommen", &["Ihre Anmeldung und Ihr Konto sind in Ordnung; die Anwendung dahinter kennt Sie nicht. Versuchen Sie es in einer Minute noch einmal."]),
        M::AppUnavailable => ("{app} ist nicht verfügbar", &["Die Einrichtung ist noch nicht abgeschlossen."]),
        M::SignedOut => ("Sie sind abgemeldet", &["Schließen Sie dieses Fenster, wenn andere diesen Computer benutzen."]),
        M::SignedIn => ("Sie sind angemeldet", &["Sie können diesen Tab schließen und dorthin zurückkehren, wo Sie waren."]),
        M::Internal => ("Hier ist etwas schiefgegangen", &["Das ist unser Fehler, nicht Ihrer."]),
    };
    Said { heading, text }
}

const fn reason(reason: R) -> &'static str {
    match reason {
        R::Groups => "Ihr Konto gehört zu keiner Gruppe, die Zugriff hat.",
        R::DenyGroups => "Der Zugriff ist für Ihr Konto gesperrt.",
        R::Domains => "E-Mail-Adressen Ihrer Organisation werden hier nicht angenommen.",
        R::EmailUnverified => "Ihre E-Mail-Adresse wurde bei der Anmeldung nicht als bestätigt gemeldet.",
        R::Networks => "Aus dem Netz, in dem Sie sich befinden, ist das nicht erreichbar.",
        R::When => "Eine Bedingung für den Zugriff ist im Moment nicht erfüllt.",
        R::MaxAge => "{app} verlangt hier eine frischere Anmeldung als Ihre.",
        R::Required => "",
        R::Methods => "Diese Art von Aktion ist hier nicht erlaubt.",
        R::Idp => "{app} nimmt die Anmeldung nicht an, die Sie verwendet haben.",
        R::Origin => "Die Seite, von der die Anfrage kam, gehört zu einer anderen Website.",
        R::LocalSignIn => {
            "Diese Seite ist für eigene Passwörter gedacht. Angemeldet wird hier mit dem Konto der eigenen Organisation, bevor man {app} erreicht."
        }
    }
}

fn attribute(name: &str) -> Option<&'static str> {
    Some(match name {
        "email" => "E-Mail-Adresse",
        "name" | "display" => "Name",
        "given_name" => "Vorname",
        "family_name" => "Nachname",
        "username" => "Benutzername",
        "groups" => "Gruppen",
        _ => return None,
    })
}
