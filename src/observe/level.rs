//! How much is logged, and changing it while the gateway runs.
//!
//! Lives here: [`Level`], the filter of `[telemetry] log` behind an `ArcSwap`: tracing's own reloadable layer takes a lock for every event, and so would every
//! request.

use super::ObserveError;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Filter};

/// `[telemetry] log` in force; clones are the same one.
#[derive(Debug, Clone)]
pub struct Level(Arc<ArcSwap<EnvFilter>>);

impl Level {
    /// Of a filter as written.
    ///
    /// # Errors
    /// [`ObserveError::Filter`].
    pub(super) fn parse(written: &str) -> Result<Self, ObserveError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(filter(written)?))))
    }

    /// From now on this filter.
    ///
    /// # Errors
    /// [`ObserveError::Filter`]: the one before stays.
    pub fn change(&self, written: &str) -> Result<(), ObserveError> {
        self.0.store(Arc::new(filter(written)?));
        // Every place that logs remembers whether anybody listens.
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }
}

fn filter(written: &str) -> Result<EnvFilter, ObserveError> {
    EnvFilter::builder().parse(written).map_err(|error| ObserveError::Filter(written.to_owned(), error))
}

impl<S: Subscriber> Filter<S> for Level
where
    EnvFilter: Filter<S>,
{
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        Filter::enabled(&**self.0.load(), metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        Filter::<S>::callsite_enabled(&**self.0.load(), metadata)
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        Filter::event_enabled(&**self.0.load(), event, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&**self.0.load())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        Filter::on_new_span(&**self.0.load(), attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        Filter::on_record(&**self.0.load(), id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        Filter::on_enter(&**self.0.load(), id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        Filter::on_exit(&**self.0.load(), id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        Filter::on_close(&**self.0.load(), id, context);
    }
}

#[cfg(test)]
mod tests {
    use super::Level;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_filter_that_is_none_changes_nothing_and_another_one_holds_at_once() {
        let (level, lines) = (Level::parse("warn").unwrap(), Lines::default());
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone()).with_filter(level.clone());
        let _listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let say = || tracing::debug!("told");
        say();
        assert!(level.change("nonsense=[").is_err());
        say();
        level.change("vestibule=debug").unwrap();
        say();
        level.change("off").unwrap();
        say();
        assert_eq!(String::from_utf8_lossy(&lines.0.lock().unwrap()).matches("told").count(), 1);
    }
}
