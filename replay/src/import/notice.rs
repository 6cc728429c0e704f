//! What a user is told of an import: warnings on standard error when all was read.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::found::Cut;
use super::imported::{Form, FoundSoFar, Imported};
use crate::failure::{Failure, Kind, Result};

/// Tells of one import.
#[derive(Clone)]
pub(crate) struct Notice {
    name: String,
    form: Form,
    found: FoundSoFar,
    told: Arc<AtomicBool>,
}

impl Notice {
    pub(crate) fn new(name: &str, imported: &Imported) -> Self {
        Self { name: name.into(), form: imported.form(), found: imported.found(), told: Arc::default() }
    }

    /// The bytes of `imported`; at their end the user is told.
    pub(crate) fn when_read(&self, imported: Box<Imported>) -> impl Read + Send + use<> {
        Told { imported, notice: self.clone() }
    }

    /// Tells nothing, or nothing more.
    pub(crate) fn hush(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    /// Fails if nothing of the capture was used, though there is something.
    pub(crate) fn check_used(&self) -> Result {
        match self.found.get().unused(self.form.records()) {
            Some(why) => Err(Failure::message(Kind::Input, format!("{}: {why}", self.name))),
            None => Ok(()),
        }
    }

    /// Tells what there is to tell, once.
    fn tell(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let mut found = self.found.get();
            // That is told of every tape without an end.
            found.cut = found.cut.filter(|cut| *cut != Cut::Truncated);
            for warning in found.warnings(self.form.records()) {
                eprintln!("redtape: warning: {}: {warning}", self.name);
            }
        }
    }
}

struct Told {
    imported: Box<Imported>,
    notice: Notice,
}

impl Read for Told {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.imported.read(out)?;
        // Whoever reads a tape does not read on behind its last block.
        if self.imported.is_complete() {
            self.notice.tell();
        }
        Ok(count)
    }
}
