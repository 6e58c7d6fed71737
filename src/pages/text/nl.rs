//! Dutch.

use super::{Said, Words};
use crate::fault::{DenyReason as R, PublicMessage as M};

pub(in crate::pages) static NL: Words = Words {
    tag: "nl",
    direction: "ltr",
    message,
    reason,
    attribute,
    this_app: "deze toepassing",
    somebody: "account zonder naam",
    list: ", ",
    signed_in_as: "U bent aangemeld als {person}.",
    ask: "Vragen? Neem contact op met {contact}.",
    help: "Zo krijgt u toegang",
    code: "Incidentcode",
    form_again: "Wat u hebt ingevuld, is niet verloren: laad deze pagina zo dadelijk opnieuw, dan vraagt de browser of het formulier nogmaals moet worden verzonden.",
    try_again: "Opnieuw proberen",
    start_again: "Opnieuw beginnen",
    sign_in: "Aanmelden",
    sign_in_new_tab: "Aanmelden (opent een nieuw tabblad)",
    other_account: "Een ander account gebruiken",
    sign_out: "Afmelden",
    go_to_app: "{app} openen",
    still_waiting: "We zijn nog bezig. U kunt deze pagina verlaten; we ronden het hoe dan ook af.",
    progress: "Bezig met instellen",
    continue_if_nothing: "{continue} als er niets gebeurt.",
    continue_link: "Ga verder",
    session_ended_step_sign_in: "{sign_in}.",
    session_ended_step_reload: "Kom hier terug en laad de pagina opnieuw. De browser vraagt of het formulier nogmaals moet worden verzonden.",
    recorded: "De details zijn vastgelegd voor het team. U kunt het opnieuw proberen; er wordt niets dubbel aangemaakt.",
    recorded_contact: "De details zijn vastgelegd voor het team ({contact}). U kunt het opnieuw proberen; er wordt niets dubbel aangemaakt.",
    made_by: "Nieuwe accounts worden aangemaakt door {contact}.",
    made_by_others: "Nieuwe accounts worden aangemaakt door de beheerders van {app}.",
    approval_by: "Uw account wacht op goedkeuring door {contact}.",
    approval_by_others: "Uw account wacht op goedkeuring door de beheerders van {app}.",
    not_sent: "De aanmelding van uw organisatie heeft niet doorgegeven: {missing}.",
    not_sent_unknown: "De aanmelding van uw organisatie heeft niet alles doorgegeven wat {app} nodig heeft.",
    unusable: "De aanmelding van uw organisatie heeft iets doorgegeven dat niet bruikbaar is voor een account: {attribute}.",
    unusable_unknown: "De aanmelding van uw organisatie heeft iets doorgegeven dat niet bruikbaar is voor een account.",
    picker_title: "Aanmelden bij {app}",
    picker_title_here: "Aanmelden",
    picker_text: "Kies het account dat u wilt gebruiken.",
    last_used: "laatst gebruikt",
    launcher_title: "Uw toepassingen",
    launcher_none: "Er is nog geen toepassing opengesteld voor uw account.",
    whoami_title: "Wat {app} over u weet",
    whoami_text: "Dit wordt doorgegeven bij elke pagina die u opent.",
    whoami_name: "Naam",
    whoami_email: "E-mail",
    whoami_login: "Gebruikersnaam",
    whoami_roles: "Rollen",
    whoami_no_roles: "geen",
    whoami_provider: "Aangemeld bij",
    whoami_since: "Aangemeld sinds",
    whoami_headers: "Verzonden als",
    whoami_not_sent: "niet doorgegeven door uw aanmelding",
    logout_title: "Afmelden?",
    logout_text: "Hiermee meldt u zich af bij {app} en bij alle andere toepassingen die u met dezelfde aanmelding hebt geopend.",
    stay: "Aangemeld blijven",
    onward_title: "Een ogenblik",
    onward_text: "U wordt doorgestuurd.",
    signed_out_of: "U bent afgemeld bij {apps}.",
    signed_out_of_more: "U bent afgemeld bij {apps} en {count} andere toepassingen.",
    and: "en",
    still_at_provider: "Mogelijk bent u nog aangemeld bij {provider}.",
    provider_sign_out: "Ook daar afmelden",
};

#[rustfmt::skip] // one line a message
fn message(message: M) -> Said {
    let (heading, text): (_, &[_]) = match message {
        M::BadRequest => ("Dit verzoek was niet te begrijpen", &["Het adres of het verzoek is onjuist opgebouwd. Controleer de link die u hebt gevolgd."]),
        M::BodyTooLarge => ("Dit is te groot om te verzenden", &["{app} accepteert alleen kleinere uploads. Er is niets opgeslagen."]),
        M::HeadersTooLarge => ("Dit verzoek bevat te veel gegevens", &["Uw browser heeft meer headergegevens verzonden dan wordt geaccepteerd. Meestal helpt het om de cookies van deze site te verwijderen."]),
        M::MethodRefused => ("Dit soort verzoek wordt niet geaccepteerd", &["Zulke verzoeken worden nooit doorgegeven aan toepassingen."]),
        M::NoSuchHost => ("Op dit adres is niets te vinden", &["Onder deze naam is geen toepassing ingesteld. Controleer het adres op typefouten."]),
        M::Misdirected => ("Deze verbinding is voor een ander adres", &["Open het adres opnieuw in een nieuw tabblad."]),
        M::NoSuchPage => ("Deze pagina bestaat niet", &["Het adres is misschien verkeerd getypt of verouderd."]),
        M::SignInRequired => ("Meld u aan", &["{app} vraagt u zich eerst aan te melden."]),
        M::SignInOrTokenRequired => ("Meld u aan", &["{app} vraagt u zich aan te melden, of een toegangstoken te sturen dat daarvoor is uitgegeven."]),
        M::TokenRequired => ("Er is een toegangstoken nodig", &["Dit deel is voor scripts: {app} accepteert hier alleen toegangstokens."]),
        M::TokenInvalid => ("Dit toegangstoken wordt niet geaccepteerd", &["Het is verlopen, niet uitgegeven voor {app}, of geen toegangstoken. Vraag een nieuw token aan."]),
        M::TokenScope => ("Dit toegangstoken is niet voldoende", &["Het heeft niet alle bevoegdheden (scopes) die {app} vraagt."]),
        M::TokenTooOld => ("Er is een recente aanmelding nodig", &["{app} vraagt hier een recente aanmelding, en die blijkt niet uit dit toegangstoken."]),
        M::TokenWithoutAccount => ("U hebt nog geen account voor {app}", &["Toegangstokens maken geen accounts aan. Meld u één keer aan in een browser; daarna werkt dit token."]),
        M::SessionEnded => ("Uw sessie is beëindigd", &["Uw tekst is niet verloren:"]),
        M::FreshSignInRequired => ("Meld u opnieuw aan", &["{app} vraagt hier een recente aanmelding."]),
        M::Denied(R::Required) | M::IncompleteSignIn => ("Uw aanmelding is onvolledig", &[]),
        M::UnusableSignIn => ("Uw aanmelding is hier niet bruikbaar", &[]),
        M::Denied(R::LocalSignIn) => ("Aanmelden gebeurt bij de gateway", &[]),
        M::Denied(R::MaxAge) => ("Meld u opnieuw aan", &[]),
        M::Denied(R::Groups | R::DenyGroups | R::Domains | R::EmailUnverified | R::Networks | R::When | R::Methods | R::Idp | R::Origin) => {
            ("U hebt geen toegang tot {app}", &[])
        }
        M::LinkExpired => ("Deze aanmeldlink is verlopen", &["De link is al gebruikt of te oud. Opnieuw beginnen duurt maar even."]),
        M::SignInFailed => ("De aanmelding kon niet worden voltooid", &["Het antwoord van de aanmelddienst doorstond onze controles niet en is daarom niet gebruikt."]),
        M::SignInDeclined => ("U bent niet aangemeld", &["De aanmelding is geannuleerd, of uw account mag zich hier niet aanmelden."]),
        M::ProviderDown => ("Aanmelden is op dit moment niet mogelijk", &["Toepassingen die u al geopend hebt, blijven werken."]),
        M::StoreDown => ("Aanmelden is op dit moment niet mogelijk", &["Op dit moment kan niet worden gecontroleerd wie u bent, daarom wordt niemand toegelaten. Meestal is dit snel voorbij."]),
        M::Waiting => ("Uw account voor {app} wordt ingesteld", &["Dit gebeurt één keer en duurt meestal enkele seconden."]),
        M::AccountFailed => ("Uw account voor {app} kon niet worden ingesteld", &[]),
        M::AccountUnavailable => ("Uw account voor {app} kon niet worden ingesteld", &["{app} neemt op dit moment geen nieuwe accounts aan."]),
        M::AccountExists => ("Er bestaat al een account met dit adres", &["{app} heeft een account dat van u lijkt te zijn, maar niemand heeft dat bevestigd. Het kan voor u worden gekoppeld."]),
        M::AccountsOff => ("U hebt nog geen account voor {app}", &[]),
        M::AccountsFull => ("U hebt nog geen account voor {app}", &["{app} heeft het toegestane aantal accounts bereikt, daarom is er voor u geen aangemaakt."]),
        M::AwaitingApproval => ("Uw account voor {app} is nog niet gereed", &[]),
        M::OpenInBrowser => ("U hebt nog geen account voor {app}", &["Open {app} één keer in de browser: dan wordt uw account aangemaakt, en daarna werkt dit ook."]),
        M::AppClosed => ("{app} is op dit moment gesloten", &["Niemand wordt toegelaten. Uw account blijft ongewijzigd."]),
        M::AppUnreachable => ("{app} antwoordt niet", &["Uw aanmelding werkt; de toepassing erachter is niet bereikbaar."]),
        M::AppTimeout => ("{app} antwoordt niet", &["Uw aanmelding werkt; de toepassing erachter doet er te lang over."]),
        M::TooManyConnections => ("Te veel verbindingen", &["Er staan er vanaf uw locatie, of in totaal, meer open dan is toegestaan. Probeer het zo meteen opnieuw."]),
        M::AppRejected => ("{app} heeft uw aanmelding niet geaccepteerd", &["Uw aanmelding en uw account zijn in orde; de toepassing erachter herkent u niet. Probeer het over een minuut opnieuw."]),
        M::AppUnavailable => ("{app} is niet beschikbaar", &["De inrichting is nog niet voltooid."]),
        M::SignedOut => ("U bent afgemeld", &["Sluit dit venster als anderen deze computer gebruiken."]),
        M::SignedIn => ("U bent aangemeld", &["U kunt dit tabblad sluiten en teruggaan naar waar u was."]),
        M::Internal => ("Er is hier iets misgegaan", &["Dat is onze fout, niet de uwe."]),
    };
    Said { heading, text }
}

const fn reason(reason: R) -> &'static str {
    match reason {
        R::Groups => "Uw account zit niet in een groep die toegang heeft.",
        R::DenyGroups => "De toegang is voor uw account opgeschort.",
        R::Domains => "E-mailadressen van uw organisatie worden hier niet geaccepteerd.",
        R::EmailUnverified => "Uw e-mailadres is bij de aanmelding niet geverifieerd.",
        R::Networks => "Dit is niet beschikbaar vanaf het netwerk waarop u zit.",
        R::When => "Op dit moment is niet voldaan aan een voorwaarde voor toegang.",
        R::MaxAge => "{app} vraagt hier een recentere aanmelding dan de uwe.",
        R::Required => "",
        R::Methods => "Dit soort handeling is hier niet toegestaan.",
        R::Idp => "{app} accepteert de aanmelding die u hebt gebruikt niet.",
        R::Origin => "De pagina waar het verzoek vandaan kwam, hoort bij een andere site.",
        R::LocalSignIn => {
            "Deze pagina is voor eigen wachtwoorden van de toepassing. Hier meldt iedereen zich aan met het account van de eigen organisatie, vóór {app} in beeld komt."
        }
    }
}

fn attribute(name: &str) -> Option<&'static str> {
    Some(match name {
        "email" => "e-mailadres",
        "name" | "display" => "naam",
        "given_name" => "voornaam",
        "family_name" => "achternaam",
        "username" => "gebruikersnaam",
        "groups" => "groepen",
        _ => return None,
    })
}
