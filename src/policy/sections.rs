//! The `[[path]]` sections of a policy, and which of them a path may concern.
//!
//! Lives here: [`PathSections`], the sections with an index over the beginnings and ends of their patterns, made once when the policy is compiled. Apart from
//! `evaluate.rs` because it decides nothing: it names candidates, and every candidate is put to the pattern itself ([`PathPattern::opens`],
//! [`PathPattern::restricts`]). A beginning that is missing here would lift a restriction, so the index is told of both forms of a pattern and asked for every
//! reading of a path; `evaluate/index_tests.rs` holds it against trying every pattern.

use super::path::CanonicalPath;
use super::{PathPattern, PathSection};
use std::cmp::Ordering;
use std::ops::Deref;

/// Sections that are marked in [`Marks`]; a policy with more has the rest tried one by one.
pub(super) const MARKED_MAX: usize = WORDS * 64;
const WORDS: usize = 16;

/// All `[[path]]` sections, in the order of the file. They do not change once the policy is made.
#[derive(Debug, Default)]
pub struct PathSections {
    sections: Vec<PathSection>,
    /// Beginnings of patterns, sorted, each once.
    beginnings: Vec<Beginning>,
}

/// What patterns begin with, up to the first `*`.
#[derive(Debug)]
struct Beginning {
    text: Text,
    /// The longest other beginning that this one begins with.
    within: Option<usize>,
    /// Patterns that are this text and no more.
    whole: Vec<Place>,
    /// Patterns that go on with a `*`, with what they end in behind the last one.
    open: Vec<(Text, Place)>,
}

/// In lower case.
type Text = Box<[u8]>;

/// A pattern: the number of its section, and its own in there.
type Place = (usize, usize);

/// One bit for each of the first sections.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks([u64; WORDS]);

impl Marks {
    pub(super) fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The sections that are marked, of the first `sections`, in order.
    pub(super) fn iter(&self, sections: usize) -> impl Iterator<Item = usize> {
        self.0.iter().take(sections.div_ceil(64)).enumerate().flat_map(|(number, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = usize::try_from(rest.trailing_zeros()).ok().filter(|_| rest != 0)?;
                rest &= rest - 1;
                Some(number * 64 + bit)
            })
        })
    }
}

impl PathSections {
    /// Which of the first [`MARKED_MAX`] sections match `path`. Allocates nothing.
    pub(super) fn matching(&self, path: &CanonicalPath<'_>) -> Marks {
        let mut marks = Marks::default();
        if !self.beginnings.is_empty() {
            path.readings().for_each(|reading| self.mark(reading, path, &mut marks));
        }
        marks
    }

    /// Tries the patterns whose beginning `reading` has, or has with a slash put after it.
    fn mark(&self, reading: &str, path: &CanonicalPath<'_>, marks: &mut Marks) {
        // Patterns are tried with and without a slash at the end, so all readings have one here.
        let reading = reading.trim_end_matches('/').as_bytes();
        let text = || reading.iter().chain(b"/").map(u8::to_ascii_lowercase);
        let length = reading.len() + 1;
        // Of everything that sorts up to `text`, what it begins with is the last, or within the last.
        let after = self.beginnings.partition_point(|beginning| beginning.text.iter().copied().cmp(text()) != Ordering::Greater);
        let Some(last) = after.checked_sub(1) else { return };
        let mut next = self.beginnings.get(last);
        let shared = next.map_or(0, |beginning| beginning.text.iter().zip(text()).take_while(|(one, other)| **one == *other).count());
        while let Some(beginning) = next {
            next = beginning.within.and_then(|index| self.beginnings.get(index));
            if beginning.text.len() > shared {
                continue;
            }
            for (ending, place) in &beginning.open {
                if ends_in(reading, ending) {
                    self.try_one(*place, path, marks);
                }
            }
            let whole = if beginning.text.len() + 1 >= length { beginning.whole.as_slice() } else { &[] };
            for place in whole {
                self.try_one(*place, path, marks);
            }
        }
    }

    fn try_one(&self, (index, pattern): Place, path: &CanonicalPath<'_>, marks: &mut Marks) {
        if marks.has(index) {
            return;
        }
        let Some(section) = self.sections.get(index) else { return };
        if section.patterns.get(pattern).is_some_and(|pattern| section.applies_by(pattern, path)) {
            marks.set(index);
        }
    }
}

/// Whether `reading` ends so, or does with a slash put after it.
fn ends_in(reading: &[u8], ending: &[u8]) -> bool {
    let tail = |ending: &[u8]| {
        let from = reading.len().checked_sub(ending.len());
        from.and_then(|from| reading.get(from..)).is_some_and(|tail| tail.eq_ignore_ascii_case(ending))
    };
    tail(ending) || ending.strip_suffix(b"/").is_some_and(tail)
}

impl From<Vec<PathSection>> for PathSections {
    fn from(sections: Vec<PathSection>) -> Self {
        // A pattern without a `*` has no ending.
        let mut found: Vec<(Text, Option<Text>, Place)> = Vec::new();
        for (index, section) in sections.iter().enumerate().take(MARKED_MAX) {
            for (number, pattern) in section.patterns.iter().enumerate() {
                found.extend(pattern.forms().map(|form| {
                    let bytes = |text: &str| text.to_ascii_lowercase().into_bytes().into_boxed_slice();
                    let beginning = form.split('*').next().unwrap_or_default();
                    (bytes(beginning), form.rsplit_once('*').map(|(_, ending)| bytes(ending)), (index, number))
                }));
            }
        }
        found.sort();
        found.dedup();
        let mut beginnings: Vec<Beginning> = Vec::new();
        for (text, ending, place) in found {
            if beginnings.last().is_none_or(|last| last.text != text) {
                // Sorted: what this one begins with is the last, or within the last.
                let mut within = beginnings.len().checked_sub(1);
                while let Some(outer) = within.and_then(|index| beginnings.get(index)) {
                    if text.starts_with(&outer.text) {
                        break;
                    }
                    within = outer.within;
                }
                beginnings.push(Beginning { text, within, whole: Vec::new(), open: Vec::new() });
            }
            let Some(last) = beginnings.last_mut() else { continue };
            match ending {
                Some(ending) => last.open.push((ending, place)),
                None => last.whole.push(place),
            }
        }
        Self { sections, beginnings }
    }
}

impl Deref for PathSections {
    type Target = [PathSection];

    fn deref(&self) -> &Self::Target {
        &self.sections
    }
}

impl<'a> IntoIterator for &'a PathSections {
    type Item = &'a PathSection;
    type IntoIter = std::slice::Iter<'a, PathSection>;

    fn into_iter(self) -> Self::IntoIter {
        self.sections.iter()
    }
}

impl PathSection {
    /// Whether the section applies to `path`: restricting sections generously, public ones exactly.
    pub(crate) fn applies(&self, path: &CanonicalPath<'_>) -> bool {
        self.patterns.iter().any(|pattern| self.applies_by(pattern, path))
    }

    fn applies_by(&self, pattern: &PathPattern, path: &CanonicalPath<'_>) -> bool {
        if self.public { pattern.opens(path) } else { pattern.restricts(path) }
    }
}
