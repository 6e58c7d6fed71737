//! Spanish.

use super::{Said, Words};
use crate::fault::{DenyReason as R, PublicMessage as M};

pub(in crate::pages) static ES: Words = Words {
    tag: "es",
    direction: "ltr",
    message,
    reason,
    attribute,
    this_app: "esta aplicación",
    somebody: "cuenta sin nombre",
    list: ", ",
    signed_in_as: "Ha iniciado sesión como {person}.",
    ask: "¿Tiene preguntas? Consulte a {contact}.",
    help: "Cómo obtener acceso",
    code: "Código de incidencia",
    form_again: "Lo que ha escrito no se ha perdido: vuelva a cargar esta página en un momento y el navegador le preguntará si desea reenviar el formulario.",
    try_again: "Volver a intentarlo",
    start_again: "Empezar de nuevo",
    sign_in: "Iniciar sesión",
    sign_in_new_tab: "Iniciar sesión (se abre en una pestaña nueva)",
    other_account: "Usar otra cuenta",
    sign_out: "Cerrar sesión",
    go_to_app: "Abrir {app}",
    still_waiting: "Seguimos trabajando. Puede salir de esta página; terminaremos de todos modos.",
    progress: "Preparando la cuenta",
    continue_if_nothing: "{continue} si no ocurre nada.",
    continue_link: "Continúe",
    session_ended_step_sign_in: "{sign_in}.",
    session_ended_step_reload: "Vuelva aquí y recargue la página. El navegador le preguntará si desea reenviar el formulario.",
    recorded: "Los detalles se han registrado para el equipo. Puede volver a intentarlo; nada se creará dos veces.",
    recorded_contact: "Los detalles se han registrado para el equipo ({contact}). Puede volver a intentarlo; nada se creará dos veces.",
    made_by: "Las cuentas nuevas las crea {contact}.",
    made_by_others: "Las cuentas nuevas las crean quienes gestionan {app}.",
    approval_by: "Su cuenta está pendiente de aprobación por parte de {contact}.",
    approval_by_others: "Su cuenta está pendiente de aprobación por parte de quienes gestionan {app}.",
    not_sent: "El inicio de sesión de su organización no ha enviado: {missing}.",
    not_sent_unknown: "El inicio de sesión de su organización no ha enviado todo lo que {app} necesita.",
    unusable: "El inicio de sesión de su organización ha enviado un dato que no sirve para una cuenta: {attribute}.",
    unusable_unknown: "El inicio de sesión de su organización ha enviado un dato que no sirve para una cuenta.",
    picker_title: "Iniciar sesión en {app}",
    picker_title_here: "Iniciar sesión",
    picker_text: "Elija la cuenta que desea usar.",
    last_used: "la última usada",
    launcher_title: "Sus aplicaciones",
    launcher_none: "Su cuenta todavía no tiene acceso a ninguna aplicación.",
    whoami_title: "Lo que {app} sabe de usted",
    whoami_text: "Esto es lo que se transmite con cada página que abre.",
    whoami_name: "Nombre",
    whoami_email: "Correo electrónico",
    whoami_login: "Usuario",
    whoami_roles: "Roles",
    whoami_no_roles: "ninguno",
    whoami_provider: "Sesión iniciada en",
    whoami_since: "Sesión iniciada desde",
    whoami_headers: "Se envía como",
    whoami_not_sent: "su inicio de sesión no lo envía",
    logout_title: "¿Cerrar sesión?",
    logout_text: "Se cerrará su sesión en {app} y en todas las demás aplicaciones que abrió con el mismo inicio de sesión.",
    stay: "Mantener la sesión",
    onward_title: "Un momento",
    onward_text: "Le estamos redirigiendo.",
    signed_out_of: "Se ha cerrado su sesión en {apps}.",
    signed_out_of_more: "Se ha cerrado su sesión en {apps} y en otras {count} aplicaciones.",
    and: "y",
    still_at_provider: "Es posible que su sesión siga abierta en {provider}.",
    provider_sign_out: "Cerrarla también allí",
};

#[rustfmt::skip] // one line a message
fn message(message: M) -> Said {
    let (heading, text): (_, &[_]) = match message {
        M::BadRequest => ("No se ha podido entender esta solicitud", &["La dirección o la solicitud tiene un formato incorrecto. Compruebe el enlace que ha seguido."]),
        M::BodyTooLarge => ("El envío es demasiado grande", &["{app} solo acepta envíos más pequeños. No se ha guardado nada."]),
        M::HeadersTooLarge => ("Esta solicitud contiene demasiados datos", &["Su navegador ha enviado más datos de cabecera de los que se aceptan. Borrar las cookies de este sitio suele ayudar."]),
        M::MethodRefused => ("Este tipo de solicitud no se acepta", &["Las solicitudes de este tipo nunca se transmiten a las aplicaciones."]),
        M::NoSuchHost => ("No hay nada en esta dirección", &["No hay ninguna aplicación configurada con este nombre. Compruebe si hay errores en la dirección."]),
        M::Misdirected => ("Esta conexión es para otra dirección", &["Abra la dirección de nuevo en una pestaña nueva."]),
        M::NoSuchPage => ("Esta página no existe", &["Es posible que la dirección esté mal escrita o ya no sea válida."]),
        M::SignInRequired => ("Inicie sesión", &["{app} le pide que inicie sesión primero."]),
        M::SignInOrTokenRequired => ("Inicie sesión", &["{app} le pide que inicie sesión o que envíe un token de acceso emitido para ese fin."]),
        M::TokenRequired => ("Se necesita un token de acceso", &["Esta parte es para scripts: {app} solo acepta aquí tokens de acceso."]),
        M::TokenInvalid => ("Este token de acceso no se acepta", &["Ha caducado, no se emitió para {app} o no es un token de acceso. Obtenga uno nuevo."]),
        M::TokenScope => ("Este token de acceso no es suficiente", &["No tiene todos los permisos (scopes) que pide {app}."]),
        M::TokenTooOld => ("Se necesita un inicio de sesión reciente", &["{app} pide aquí un inicio de sesión reciente, y este token de acceso no lo acredita."]),
        M::TokenWithoutAccount => ("Todavía no tiene una cuenta en {app}", &["Los tokens de acceso no crean cuentas. Inicie sesión una vez en un navegador; después, este token funcionará."]),
        M::SessionEnded => ("Su sesión ha terminado", &["Su texto no se ha perdido:"]),
        M::FreshSignInRequired => ("Inicie sesión de nuevo", &["{app} pide aquí un inicio de sesión reciente."]),
        M::Denied(R::Required) | M::IncompleteSignIn => ("Su inicio de sesión está incompleto", &[]),
        M::UnusableSignIn => ("Su inicio de sesión no se puede usar aquí", &[]),
        M::Denied(R::LocalSignIn) => ("La sesión se inicia en la pasarela", &[]),
        M::Denied(R::MaxAge) => ("Inicie sesión de nuevo", &[]),
        M::Denied(R::Groups | R::DenyGroups | R::Domains | R::EmailUnverified | R::Networks | R::When | R::Methods | R::Idp | R::Origin) => {
            ("No tiene acceso a {app}", &[])
        }
        M::LinkExpired => ("Este enlace de inicio de sesión ha caducado", &["Ya se ha usado o es demasiado antiguo. Empezar de nuevo solo lleva un momento."]),
        M::SignInFailed => ("No se ha podido completar el inicio de sesión", &["La respuesta del servicio de inicio de sesión no ha superado nuestras comprobaciones, así que no se ha utilizado."]),
        M::SignInDeclined => ("No ha iniciado sesión", &["El inicio de sesión se ha cancelado, o su cuenta no puede iniciar sesión aquí."]),
        M::ProviderDown => ("El inicio de sesión no está disponible en este momento", &["Las aplicaciones que ya tiene abiertas siguen funcionando."]),
        M::StoreDown => ("El inicio de sesión no está disponible en este momento", &["Ahora mismo no se puede comprobar quién es usted, así que no se permite la entrada a nadie. Suele pasar rápido."]),
        M::Waiting => ("Preparando su cuenta en {app}", &["Esto ocurre una sola vez y suele tardar unos segundos."]),
        M::AccountFailed => ("No se ha podido preparar su cuenta en {app}", &[]),
        M::AccountUnavailable => ("No se ha podido preparar su cuenta en {app}", &["{app} no acepta cuentas nuevas en este momento."]),
        M::AccountExists => ("Ya existe una cuenta con esta dirección", &["{app} tiene una cuenta que parece la suya, pero nadie ha confirmado que lo sea. Se puede vincular para usted."]),
        M::AccountsOff => ("Todavía no tiene una cuenta en {app}", &[]),
        M::AccountsFull => ("Todavía no tiene una cuenta en {app}", &["{app} ya tiene tantas cuentas como puede tener, así que no se ha creado ninguna para usted."]),
        M::AwaitingApproval => ("Su cuenta en {app} aún no está lista", &[]),
        M::OpenInBrowser => ("Todavía no tiene una cuenta en {app}", &["Abra {app} una vez en el navegador: entonces se creará su cuenta, y después esto funcionará."]),
        M::AppClosed => ("{app} está fuera de servicio en este momento", &["No se permite la entrada a nadie. Su cuenta no se ve afectada."]),
        M::AppUnreachable => ("{app} no responde", &["Su inicio de sesión funciona; es la aplicación que hay detrás la que no está accesible."]),
        M::AppTimeout => ("{app} no responde", &["Su inicio de sesión funciona; es la aplicación que hay detrás la que tarda demasiado."]),
        M::TooManyConnections => ("Demasiadas conexiones", &["Hay más abiertas desde su ubicación, o en total, de las permitidas. Vuelva a intentarlo en un momento."]),
        M::AppRejected => ("{app} no ha aceptado su inicio de sesión", &["Su inicio de sesión y su cuenta están en orden; es la aplicación que hay detrás la que no le reconoce. Vuelva a intentarlo dentro de un minuto."]),
        M::AppUnavailable => ("{app} no está disponible", &["La configuración todavía no está completa."]),
        M::SignedOut => ("Ha cerrado la sesión", &["Cierre esta ventana si otras personas usan este equipo."]),
        M::SignedIn => ("Ha iniciado sesión", &["Puede cerrar esta pestaña y volver a donde estaba."]),
        M::Internal => ("Algo ha salido mal", &["Es culpa nuestra, no suya."]),
    };
    Said { heading, text }
}

const fn reason(reason: R) -> &'static str {
    match reason {
        R::Groups => "Su cuenta no pertenece a ningún grupo con acceso.",
        R::DenyGroups => "El acceso está suspendido para su cuenta.",
        R::Domains => "Aquí no se aceptan direcciones de correo electrónico de su organización.",
        R::EmailUnverified => "Su inicio de sesión no ha verificado su dirección de correo electrónico.",
        R::Networks => "Esto no está disponible desde la red en la que se encuentra.",
        R::When => "En este momento no se cumple una condición de acceso.",
        R::MaxAge => "{app} pide aquí un inicio de sesión más reciente que el suyo.",
        R::Required => "",
        R::Methods => "Este tipo de acción no está permitido aquí.",
        R::Idp => "{app} no acepta el inicio de sesión que ha usado.",
        R::Origin => "La página que hizo la solicitud pertenece a otro sitio.",
        R::LocalSignIn => {
            "Esta página es para contraseñas propias de la aplicación. Aquí se inicia sesión con la cuenta de la organización antes de llegar a {app}."
        }
    }
}

fn attribute(name: &str) -> Option<&'static str> {
    Some(match name {
        "email" => "dirección de correo electrónico",
        "name" | "display" => "nombre completo",
        "given_name" => "nombre de pila",
        "family_name" => "apellidos",
        "username" => "nombre de usuario",
        "groups" => "grupos",
        _ => return None,
    })
}
