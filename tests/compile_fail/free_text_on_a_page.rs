//! A page has no place for a library's words.
use vestibule::fault::PublicMessage;

fn shortcut(error: std::io::Error) -> PublicMessage {
    PublicMessage::Denied(error.to_string())
}

fn main() {}
