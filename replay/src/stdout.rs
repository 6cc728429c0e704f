//! Standard output, and what is written like it: buffered, and quiet when the reader has gone.

use std::io::{self, BufWriter, ErrorKind, Write};

use crate::failure::{Failure, Kind, Result};

/// Where results go. Once the other end of a pipe is closed, everything written is dropped and no error is reported: a
/// reader that has seen enough (`head`) is no failure.
pub(crate) struct Output {
    out: BufWriter<Box<dyn Write>>,
    closed: bool,
}

impl Output {
    /// Standard output.
    pub(crate) fn stdout() -> Self {
        Self::to(io::stdout())
    }

    /// Something else that may be a pipe.
    pub(crate) fn to(out: impl Write + 'static) -> Self {
        Self { out: BufWriter::with_capacity(64 << 10, Box::new(out)), closed: false }
    }

    /// Whether the reader has gone, so that there is no use in going on.
    pub(crate) const fn closed(&self) -> bool {
        self.closed
    }

    /// Writes what is buffered.
    pub(crate) fn finish(mut self) -> Result {
        self.flush().map_err(|error| Failure::new(Kind::Environment, error))
    }

    fn quiet<T: Default>(&mut self, result: io::Result<T>) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(T::default())
            }
            other => other,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        match self.out.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(bytes.len())
            }
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let result = self.out.flush();
        self.quiet(result)
    }
}
