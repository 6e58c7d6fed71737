//! The languages that pages are written in.
//!
//! Lives here: [`Language`], a closed list, so that a language whose words are missing does not compile. In the core because two files name languages:
//! `[pages] languages` of the gateway, `[messages]` of a policy. Which of them a reader gets is decided in `pages`.

/// A language of the built-in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
    /// French.
    Fr,
    /// Spanish.
    Es,
    /// Dutch.
    Nl,
    /// Japanese.
    Ja,
}

/// Tags of the languages, as `languages = […]` and `[messages]` write them.
pub const TAGS: &[&str] = &["en", "de", "fr", "es", "nl", "ja"];

impl Language {
    /// Every language, in the order of [`TAGS`].
    pub const ALL: [Self; 6] = [Self::En, Self::De, Self::Fr, Self::Es, Self::Nl, Self::Ja];

    /// The language called `tag`, e.g. `de`; `None` for any other word.
    pub fn parse(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }

    /// Its BCP 47 tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Es => "es",
            Self::Nl => "nl",
            Self::Ja => "ja",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Language, TAGS};

    #[test]
    fn tags_and_languages_are_one_list() {
        assert_eq!(Language::parse("DE"), None);
        assert_eq!(Language::parse("it"), None);
        assert_eq!(Language::ALL.map(Language::tag).as_slice(), TAGS);
        assert!(TAGS.iter().all(|tag| Language::parse(tag).is_some_and(|language| language.tag() == *tag)));
    }
}
