//! Spans on standard output, as they come.

use std::io::{self, Write};

use redtape_core::Span;
use redtape_core::config::{Config, TracePrinter};
use serde_json::Value;

use crate::cli::SpanFormat;
use crate::failure::{Failure, Kind, Result};
use crate::sink::{Now, OutputSink};
use crate::stdout::Output;
use crate::write::{write_span_json, write_span_text};

/// Prints spans, or none.
pub(super) struct Printer<'a> {
    pub(super) out: &'a mut Output,
    printer: TracePrinter,
    count: u64,
}

impl<'a> Printer<'a> {
    /// As the command line says, else as the configuration does.
    pub(super) fn new(out: &'a mut Output, asked: Option<SpanFormat>, config: &Config) -> Self {
        let printer = match asked {
            Some(SpanFormat::Json) => TracePrinter::Json,
            Some(SpanFormat::Text) => TracePrinter::Text,
            None if config.print_traces && config.trace_printer == TracePrinter::Disabled => TracePrinter::Text,
            None => config.trace_printer,
        };
        Self { out, printer, count: 0 }
    }

    /// Prints nothing but what is printed at the end.
    pub(super) fn silent(self) -> Self {
        Self { printer: TracePrinter::Disabled, ..self }
    }

    /// Says how many spans there were, if that is wanted.
    pub(super) fn finish(&mut self) -> Result {
        if self.printer == TracePrinter::Counter {
            writeln!(self.out, "{} spans", self.count).map_err(unwritable)?;
        }
        self.out.flush().map_err(unwritable)
    }

    fn print(&mut self, span: &Span) -> io::Result<()> {
        match self.printer {
            TracePrinter::Disabled | TracePrinter::Counter => Ok(()),
            TracePrinter::Text => write_span_text(self.out, span),
            TracePrinter::Json => write_span_json(self.out, span),
            TracePrinter::JsonIndent => {
                let mut lines = Vec::new();
                write_span_json(&mut lines, span)?;
                for line in serde_json::Deserializer::from_slice(&lines).into_iter::<Value>() {
                    serde_json::to_writer_pretty(&mut *self.out, &line?)?;
                    writeln!(self.out)?;
                }
                Ok(())
            }
        }
    }
}

impl OutputSink for Printer<'_> {
    fn span(&mut self, span: &Span) -> Result {
        self.count += 1;
        self.print(span).map_err(unwritable)
    }

    fn attend(&mut self, _: Now<'_>) -> Result {
        self.out.flush().map_err(unwritable)
    }

    fn wants_spans(&self) -> bool {
        self.printer != TracePrinter::Disabled
    }

    fn is_closed(&self) -> bool {
        self.wants_spans() && self.out.closed()
    }
}

fn unwritable(error: io::Error) -> Failure {
    Failure::message(Kind::Environment, format!("standard output cannot be written: {error}"))
}
