//! French.

use super::{Said, Words};
use crate::fault::{DenyReason as R, PublicMessage as M};

pub(in crate::pages) static FR: Words = Words {
    tag: "fr",
    direction: "ltr",
    message,
    reason,
    attribute,
    this_app: "cette application",
    somebody: "compte sans nom",
    list: ", ",
    signed_in_as: "Vous êtes connecté en tant que {person}.",
    ask: "Des questions ? Écrivez à {contact}.",
    help: "Comment obtenir l’accès",
    code: "Code d’incident",
    form_again: "Votre saisie n’est pas perdue : actualisez cette page dans un instant, et le navigateur proposera de renvoyer le formulaire.",
    try_again: "Réessayer",
    start_again: "Recommencer",
    sign_in: "Se connecter",
    sign_in_new_tab: "Se connecter (ouvre un nouvel onglet)",
    other_account: "Utiliser un autre compte",
    sign_out: "Se déconnecter",
    go_to_app: "Ouvrir {app}",
    still_waiting: "Encore un instant. Vous pouvez quitter cette page ; nous terminerons de toute façon.",
    progress: "Préparation en cours",
    continue_if_nothing: "{continue} si rien ne se passe.",
    continue_link: "Continuer",
    session_ended_step_sign_in: "{sign_in}.",
    session_ended_step_reload: "Revenez ici et actualisez la page. Le navigateur proposera de renvoyer le formulaire.",
    recorded: "Les détails ont été enregistrés pour l’équipe. Vous pouvez réessayer ; rien ne sera créé en double.",
    recorded_contact: "Les détails ont été enregistrés pour l’équipe ({contact}). Vous pouvez réessayer ; rien ne sera créé en double.",
    made_by: "Les nouveaux comptes sont créés par {contact}.",
    made_by_others: "Les nouveaux comptes sont créés par les personnes qui gèrent {app}.",
    approval_by: "Votre compte attend d’être approuvé par {contact}.",
    approval_by_others: "Votre compte attend d’être approuvé par les personnes qui gèrent {app}.",
    not_sent: "La connexion de votre organisation n’a pas transmis : {missing}.",
    not_sent_unknown: "La connexion de votre organisation n’a pas transmis tout ce qu’il faut pour {app}.",
    unusable: "La connexion de votre organisation a transmis une donnée inutilisable pour un compte : {attribute}.",
    unusable_unknown: "La connexion de votre organisation a transmis une donnée inutilisable pour un compte.",
    picker_title: "Se connecter à {app}",
    picker_title_here: "Se connecter",
    picker_text: "Choisissez le compte que vous souhaitez utiliser.",
    last_used: "utilisé en dernier",
    launcher_title: "Vos applications",
    launcher_none: "Aucune application n’est encore ouverte à votre compte.",
    whoami_title: "Ce que {app} sait de vous",
    whoami_text: "Voici ce qui est transmis avec chaque page que vous ouvrez.",
    whoami_name: "Nom",
    whoami_email: "Adresse e-mail",
    whoami_login: "Identifiant",
    whoami_roles: "Rôles",
    whoami_no_roles: "aucun",
    whoami_provider: "Connecté chez",
    whoami_since: "Connecté depuis",
    whoami_headers: "Transmis sous",
    whoami_not_sent: "non transmis par votre connexion",
    logout_title: "Se déconnecter ?",
    logout_text: "Cela vous déconnecte : {app}, ainsi que toutes les autres applications ouvertes avec la même connexion.",
    stay: "Rester connecté",
    onward_title: "Un instant",
    onward_text: "Nous vous redirigeons.",
    signed_out_of: "Vous êtes déconnecté : {apps}.",
    signed_out_of_more: "Vous êtes déconnecté : {apps} et {count} autres applications.",
    and: "et",
    still_at_provider: "Vous êtes peut-être encore connecté ici : {provider}.",
    provider_sign_out: "S’y déconnecter aussi",
};

#[rustfmt::skip] // one line a message
fn message(message: M) -> Said {
    let (heading, text): (_, &[_]) = match message {
        M::BadRequest => ("Cette requête n’a pas été comprise", &["L’adresse ou la requête est mal formée. Vérifiez le lien que vous avez suivi."]),
        M::BodyTooLarge => ("L’envoi est trop volumineux", &["{app} n’accepte que des envois plus petits. Rien n’a été enregistré."]),
        M::HeadersTooLarge => ("Cette requête en contient trop", &["Votre navigateur a envoyé plus d’en-têtes que ce qui est accepté. Supprimer les cookies de ce site suffit généralement."]),
        M::MethodRefused => ("Ce type de requête n’est pas accepté", &["Les requêtes de ce type ne sont jamais transmises aux applications."]),
        M::NoSuchHost => ("Il n’y a rien à cette adresse", &["Aucune application n’est configurée sous ce nom. Vérifiez qu’il n’y a pas de faute de frappe dans l’adresse."]),
        M::Misdirected => ("Cette connexion est destinée à une autre adresse", &["Ouvrez de nouveau l’adresse dans un nouvel onglet."]),
        M::NoSuchPage => ("Cette page n’existe pas", &["L’adresse est peut-être mal saisie ou obsolète."]),
        M::SignInRequired => ("Veuillez vous connecter", &["{app} vous demande d’abord de vous connecter."]),
        M::SignInOrTokenRequired => ("Veuillez vous connecter", &["{app} vous demande de vous connecter, ou d’envoyer un jeton d’accès émis pour cet usage."]),
        M::TokenRequired => ("Un jeton d’accès est nécessaire", &["Cette partie est réservée aux scripts : {app} n’y accepte que des jetons d’accès."]),
        M::TokenInvalid => ("Ce jeton d’accès n’est pas accepté", &["Il a expiré, n’a pas été émis pour {app} ou n’est pas un jeton d’accès. Procurez-vous-en un nouveau."]),
        M::TokenScope => ("Ce jeton d’accès ne suffit pas", &["Il n’a pas toutes les autorisations (scopes) demandées par {app}."]),
        M::TokenTooOld => ("Une connexion récente est nécessaire", &["{app} demande ici une connexion récente, et ce jeton d’accès n’en atteste pas."]),
        M::TokenWithoutAccount => ("Vous n’avez pas encore de compte pour {app}", &["Les jetons d’accès ne créent pas de compte. Connectez-vous une fois dans un navigateur ; ce jeton fonctionnera ensuite."]),
        M::SessionEnded => ("Votre session est terminée", &["Votre texte n’est pas perdu :"]),
        M::FreshSignInRequired => ("Veuillez vous reconnecter", &["{app} demande ici une connexion récente."]),
        M::Denied(R::Required) | M::IncompleteSignIn => ("Votre connexion est incomplète", &[]),
        M::UnusableSignIn => ("Votre connexion ne peut pas être utilisée ici", &[]),
        M::Denied(R::LocalSignIn) => ("La connexion se fait sur la passerelle", &[]),
        M::Denied(R::MaxAge) => ("Veuillez vous reconnecter", &[]),
        M::Denied(R::Groups | R::DenyGroups | R::Domains | R::EmailUnverified | R::Networks | R::When | R::Methods | R::Idp | R::Origin) => {
            ("Vous n’avez pas accès à {app}", &[])
        }
        M::LinkExpired => ("Ce lien de connexion a expiré", &["Il a déjà servi ou il est trop ancien. Recommencer ne prend qu’un instant."]),
        M::SignInFailed => ("La connexion n’a pas pu aboutir", &["La réponse du service de connexion n’a pas passé nos vérifications ; elle n’a donc pas été utilisée."]),
        M::SignInDeclined => ("Vous n’êtes pas connecté", &["La connexion a été annulée, ou votre compte n’est pas autorisé à se connecter ici."]),
        M::ProviderDown => ("La connexion n’est pas disponible pour le moment", &["Les applications que vous avez déjà ouvertes continuent de fonctionner."]),
        M::StoreDown => ("La connexion n’est pas disponible pour le moment", &["Votre identité ne peut pas être vérifiée actuellement ; personne n’est donc admis. Cela passe généralement vite."]),
        M::Waiting => ("Préparation de votre compte pour {app}", &["Cela n’arrive qu’une fois et prend généralement quelques secondes."]),
        M::AccountFailed => ("Votre compte pour {app} n’a pas pu être préparé", &[]),
        M::AccountUnavailable => ("Votre compte pour {app} n’a pas pu être préparé", &["{app} n’accepte pas de nouveaux comptes pour le moment."]),
        M::AccountExists => ("Un compte existe déjà avec cette adresse", &["{app} possède un compte qui semble être le vôtre, mais personne ne l’a confirmé. Il peut être associé pour vous."]),
        M::AccountsOff => ("Vous n’avez pas encore de compte pour {app}", &[]),
        M::AccountsFull => ("Vous n’avez pas encore de compte pour {app}", &["{app} a atteint le nombre de comptes autorisé ; aucun n’a donc été créé pour vous."]),
        M::AwaitingApproval => ("Votre compte pour {app} n’est pas encore prêt", &[]),
        M::OpenInBrowser => ("Vous n’avez pas encore de compte pour {app}", &["Ouvrez {app} une fois dans le navigateur : votre compte sera alors créé, et ceci fonctionnera ensuite."]),
        M::AppClosed => ("{app} est actuellement hors service", &["Personne n’est admis. Votre compte n’est pas concerné."]),
        M::AppUnreachable => ("{app} ne répond pas", &["Votre connexion fonctionne ; c’est l’application qui se trouve derrière qui est injoignable."]),
        M::AppTimeout => ("{app} ne répond pas", &["Votre connexion fonctionne ; c’est l’application qui se trouve derrière qui met trop de temps."]),
        M::TooManyConnections => ("Trop de connexions", &["Il y en a plus d’ouvertes, de chez vous ou au total, que ce qui est permis. Réessayez dans un instant."]),
        M::AppRejected => ("{app} n’a pas accepté votre connexion", &["Votre connexion et votre compte sont en ordre ; c’est l’application qui se trouve derrière qui ne vous reconnaît pas. Réessayez dans une minute."]),
        M::AppUnavailable => ("{app} n’est pas disponible", &["La configuration n’est pas encore terminée."]),
        M::SignedOut => ("Vous êtes déconnecté", &["Fermez cette fenêtre si d’autres personnes utilisent cet ordinateur."]),
        M::SignedIn => ("Vous êtes connecté", &["Vous pouvez fermer cet onglet et revenir là où vous étiez."]),
        M::Internal => ("Une erreur s’est produite ici", &["C’est notre faute, pas la vôtre."]),
    };
    Said { heading, text }
}

const fn reason(reason: R) -> &'static str {
    match reason {
        R::Groups => "Votre compte n’appartient à aucun groupe autorisé.",
        R::DenyGroups => "L’accès est suspendu pour votre compte.",
        R::Domains => "Les adresses e-mail de votre organisation ne sont pas acceptées ici.",
        R::EmailUnverified => "Votre adresse e-mail n’a pas été vérifiée par votre connexion.",
        R::Networks => "Ce contenu n’est pas accessible depuis votre réseau.",
        R::When => "Une condition d’accès n’est pas remplie pour le moment.",
        R::MaxAge => "{app} demande ici une connexion plus récente que la vôtre.",
        R::Required => "",
        R::Methods => "Ce type d’action n’est pas autorisé ici.",
        R::Idp => "{app} n’accepte pas la connexion que vous avez utilisée.",
        R::Origin => "La page à l’origine de la demande appartient à un autre site.",
        R::LocalSignIn => {
            "Cette page est prévue pour des mots de passe propres à l’application. Ici, on se connecte avec le compte de son organisation avant d’atteindre {app}."
        }
    }
}

fn attribute(name: &str) -> Option<&'static str> {
    Some(match name {
        "email" => "adresse e-mail",
        "name" | "display" => "nom",
        "given_name" => "prénom",
        "family_name" => "nom de famille",
        "username" => "nom d’utilisateur",
        "groups" => "groupes",
        _ => return None,
    })
}
