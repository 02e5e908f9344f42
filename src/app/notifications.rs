//! Messages to the reader: news until it is dismissed or grows old, and a log of everything that was told.

use std::time::{Duration, Instant};

/// How long good news stays.
const STAY: Duration = Duration::from_secs(6);
/// Messages that the log keeps.
const MOST: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Info,
    Error,
}

#[derive(Debug)]
pub struct Message {
    pub severity: Severity,
    pub text: String,
    since: Instant,
    dismissed: bool,
}

impl Message {
    /// Whether it is to be shown without being asked for: errors until they are dismissed, the rest for a while.
    fn is_news(&self) -> bool {
        !self.dismissed && (self.severity == Severity::Error || self.since.elapsed() < STAY)
    }
}

#[derive(Debug, Default)]
pub struct Notifications {
    /// The newest last.
    log: Vec<Message>,
    /// Whether the reader wants to see the whole log.
    pub is_log_open: bool,
}

impl Notifications {
    pub fn info(&mut self, text: impl Into<String>) {
        self.push(Severity::Info, text.into());
    }

    pub fn error(&mut self, text: impl Into<String>) {
        self.push(Severity::Error, text.into());
    }

    fn push(&mut self, severity: Severity, text: String) {
        // A message repeated is one message.
        self.log.retain(|message| message.text != text);
        self.log.push(Message { severity, text, since: Instant::now(), dismissed: false });
        let old = self.log.len().saturating_sub(MOST);
        self.log.drain(..old);
    }

    /// Every message of this session, the newest last.
    pub fn log(&self) -> &[Message] {
        &self.log
    }

    /// Errors that wait to be dismissed, the newest last.
    pub fn errors(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.log.iter().filter(|message| message.severity == Severity::Error && message.is_news())
    }

    /// The newest good news, and how long it stays.
    pub fn note(&self) -> Option<(&str, Duration)> {
        let is_note = |message: &&Message| message.severity == Severity::Info && message.is_news();
        let note = self.log.iter().rev().find(is_note)?;
        Some((&note.text, STAY.saturating_sub(note.since.elapsed())))
    }

    pub fn dismiss(&mut self, text: &str) {
        self.log.iter_mut().filter(|message| message.text == text).for_each(|message| message.dismissed = true);
    }

    pub fn dismiss_latest(&mut self) {
        if let Some(message) = self.log.iter_mut().rev().find(|message| message.is_news()) {
            message.dismissed = true;
        }
    }

    pub fn dismiss_all(&mut self) {
        self.log.iter_mut().for_each(|message| message.dismissed = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_until_they_are_dismissed_and_the_log_keeps_everything() {
        let mut told = Notifications::default();
        told.error("a");
        told.info("b");
        told.error("c");
        told.error("a");
        let errors = |told: &Notifications| told.errors().map(|m| m.text.clone()).collect::<Vec<_>>();
        assert_eq!(errors(&told), ["c", "a"], "a repeated message is one message");
        assert_eq!(told.note().unwrap().0, "b");
        told.dismiss_latest();
        assert_eq!(errors(&told), ["c"]);
        told.dismiss_all();
        assert!(errors(&told).is_empty() && told.note().is_none());
        assert_eq!(told.log().iter().map(|m| m.text.as_str()).collect::<Vec<_>>(), ["b", "c", "a"]);
        (0..300).for_each(|i| told.info(i.to_string()));
        assert_eq!((told.log().len(), told.log()[0].text.as_str()), (MOST, "100"));
    }
}
