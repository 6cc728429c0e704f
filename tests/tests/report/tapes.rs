//! Tapes that are made for a test.

use std::fs::File;
use std::path::{Path, PathBuf};

use redtape_core::EventBuf;
use redtape_core::tape::{CloseReason, Meta, Writer, WriterOptions};
use redtape_tests::Result;

/// Writes a tape of these events.
pub(super) fn write(folder: &Path, events: impl Iterator<Item = EventBuf>) -> Result<PathBuf> {
    let path = folder.join("made.tape");
    let mut writer = Writer::new(File::create(&path)?, &Meta::default(), WriterOptions::FILE)?;
    for event in events {
        writer.push(&event.as_event())?;
    }
    writer.finish(CloseReason::Done)?;
    Ok(path)
}
