//! What operators bring along: languages, a logo, own pages.
//!
//! Lives here: [`Look`], `[pages]` made ready to answer with, and [`check`], which makes every page of every template once, so that a template that does
//! not work is found when files are checked and not by a reader.

use super::html;
use super::negotiate;
use super::sheet::{self, Names, Sheet};
use super::template::{EVERY_PAGE, Hole, Template};
use super::{PageContext, Wish};
use crate::config::{self, Language};
use crate::source::{Problem, SourceFile};

/// `[pages]`, ready to answer with.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) settings: config::Pages,
    templates: Vec<(String, Template)>,
}

impl Look {
    /// Templates that are not in order are left out: [`check`] has said so, and the built-in page is a page.
    pub(super) fn new(settings: config::Pages) -> Self {
        let compiled = settings
            .files
            .templates
            .iter()
            .filter_map(|(name, text)| Some((name.clone(), Template::compile(name, &file(&settings, name, text)).ok()?)));
        Self { templates: compiled.collect(), settings }
    }

    /// The context with a language that was settled on.
    pub(super) fn settled<'a>(&self, context: PageContext<'a>) -> PageContext<'a> {
        let asked = match context.language {
            Wish::Chosen(_) => return context,
            Wish::Asked(asked) => asked.and_then(|value| value.to_str().ok()),
        };
        PageContext { language: Wish::Chosen(negotiate::best(&self.settings.languages, asked)), ..context }
    }

    /// The operator's page called `name`, else the one for every page.
    pub(super) fn template(&self, name: &str) -> Option<&Template> {
        let named = |name: &str| self.templates.iter().find(|(of, _)| of == name).map(|(_, template)| template);
        named(name).or_else(|| named(EVERY_PAGE))
    }
}

/// What stands in a hole.
pub(super) fn value(hole: Hole, sheet: &Sheet, context: PageContext<'_>, names: Names<'_>) -> String {
    match hole {
        Hole::Lang => sheet.words.tag.to_owned(),
        Hole::Dir => sheet.words.direction.to_owned(),
        Hole::Title => sheet.title.clone(),
        Hole::Content => html::content(sheet, context.incident),
        Hole::Refresh => html::refresh(sheet),
        Hole::Logo => names.settings.files.logo.as_deref().map(html::logo).unwrap_or_default(),
        Hole::Name | Hole::App | Hole::Person | Hole::Contact | Hole::Incident => sheet::about(hole, context, names),
    }
}

/// Every problem of the own pages of `settings`.
pub fn check(settings: &config::Pages) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, text) in &settings.files.templates {
        let file = file(settings, name, text);
        match Template::compile(name, &file) {
            Err(found) => problems.extend(found),
            Ok(template) => {
                let languages: &[Language] = if settings.languages.is_empty() { &[Language::En] } else { &settings.languages };
                problems.extend(languages.iter().find_map(|language| trial(&template, &file, settings, *language)));
            }
        }
    }
    problems
}

/// The page, made once in this language; a problem when what it must show is not on it.
fn trial(template: &Template, file: &SourceFile, settings: &config::Pages, language: Language) -> Option<Problem> {
    use crate::fault::{Incident, PublicMessage};
    let addresses = super::links::Addresses::new("https://auth.example.com");
    let names = Names { settings, addresses: &addresses };
    let incident = Incident::from_bytes([0; 5]);
    let kind = super::RequestKind::Page;
    let context = PageContext { kind, incident, app: None, person: None, continue_to: Some("/"), language: Wish::Chosen(language) };
    let sheet = sheet::of_message(PublicMessage::LinkExpired, context, names, false);
    let page = template.render(|hole| value(hole, &sheet, context, names));
    let whole = page.contains(&html::content(&sheet, incident)) && page.contains(&sheet.title);
    (!whole).then(|| {
        let mut problem = Problem::error("bad-template", file, 0..0, format!("in the language `{}` the page does not show its text", language.tag()));
        problem.span = None;
        problem
    })
}

fn file(settings: &config::Pages, name: &str, text: &str) -> SourceFile {
    let folder = settings.templates.as_deref().unwrap_or(std::path::Path::new(""));
    SourceFile::new(folder.join(format!("{name}.html")).display().to_string(), text)
}
